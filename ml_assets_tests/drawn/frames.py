"""Drawn frames and models over what sources and views have, and the versions in which they are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ml_assets_tests.drawn.choices import Chooser
from ml_assets_tests.drawn.columns import Column, Names
from ml_assets_tests.drawn.sources import Source
from ml_assets_tests.drawn.views import MOMENT, View

_HASHED: Final = "events[{k!r}].cast('{t}').cast('string').hexdigest('md5')"
_LABELS: Final = (
    (f"({_HASHED} < '8').cast('int32')", "Int32", "isin=(0, 1)"),
    (f"({_HASHED} < '8').cast('int32')", "Int32", ""),
    (f"({_HASHED} < 'c').cast('int64')", "int", ""),
    (f"({_HASHED} < 'c')", "bool", ""),
    ("{c}.notnull().cast('int32')", "Int32", "isin=(0, 1)"),
    ("{c}.isnull()", "bool", ""),
)
_ODD_LABELS: Final = (
    ("ibis.ifelse({c}.isnull(), 'no', 'yes')", "str", "isin=('no', 'yes')"),
    ("{c}.notnull().cast('float64')", "float", ""),
    ("ibis.ifelse({c}.isnull(), 2, 1).cast('int32')", "Int32", "isin=(1, 2)"),
    ("ibis.literal(1).cast('int32')", "Int32", ""),
    ("ibis.ifelse({c}.isnull(), ibis.null('int32'), 1).cast('int32')", "Int32", "nullable=True"),
    ("{c}", "str", ""),
    ("{c}", "int", "nullable=True"),
    (f"({_HASHED} < 'c')", "bool", "nullable=True"),
)
_MOMENTS: Final = ("2", "3")
_ODD_MOMENTS: Final = ("1", "0", "-1", "2.5", "10**9", "True", "None")


@dataclass(frozen=True)
class Frame:
    """A drawn frame.

    Attributes:
        columns: Of its contract.
        unique: What the contract says.
        label: Name of its label.
        text: The module.
    """

    columns: tuple[Column, ...]
    unique: tuple[str, ...]
    label: str
    text: str


def frame(choose: Chooser, names: Names, events: Source, views: Sequence[View]) -> Frame:
    """A frame of *events* with the keys of *views*."""
    label, made = _label(choose, names, events)
    joined = {key.name for of in views for key in of.keys}
    groups = [group for group in events.groups if group.name in joined or choose.chance(1, 2)]
    if groups and choose.odd_one("spine without a key of a view"):
        groups = groups[1:]
    spine = [Column(events.key.name, events.key.type), *(Column(g.name, g.type, nullable=g.nullable) for g in groups)]
    parts = choose.of((("isin=('train', 'val', 'test')",), ()))
    unique = choose.of(((events.key.name,),), ((), (events.key.name, MOMENT.name)), what="unique of a frame")
    given = [
        f"split={choose.of(('events',), ('facts', 'nothing'), what='split of a frame')!r}",
        "contract=contracts.Asked",
        *([f"label={label.name!r}"] if label.name != "label" else []),
        f"moments={choose.of(_MOMENTS, _ODD_MOMENTS, what='moments')}",
    ]
    text = _text(given, events, [column.name for column in spine], f"{label.name!r}: {made}")
    return Frame((*spine, MOMENT, label, Column("split", "str", constraints=parts)), unique, label.name, text)


def _label(choose: Chooser, names: Names, events: Source) -> tuple[Column, str]:
    """The label, and its expression."""
    column = choose.of(events.columns[1:]).name
    text, kind, asked = choose.of((*_LABELS[:4] * 3, *_LABELS[4:]), _ODD_LABELS, what="label")
    name = choose.of(("label", "label", names.of("target")), ("split", "event_timestamp"), what="name of the label")
    kept = (
        "date" if events.key.type == "Timestamp" else {"int": "int64", "Int32": "int64"}.get(events.key.type, "string")
    )
    made = text.format(c=f"events[{column!r}]", k=events.key.name, t=kept)
    return Column(name, kind, constraints=(asked,) if asked else ()), made


def _text(given: list[str], events: Source, spine: list[str], label: str) -> str:
    """The module of a frame."""
    moment = events.moment
    filtered = f"\n    events = events.filter(events[{moment.name!r}].notnull())" if moment.nullable else ""
    return f'''"""Drawn."""

import ibis

from ml_assets.lib.declare import frame

from .. import contracts


@frame({", ".join(given)})
def asked(events):
    """Drawn rows to be filled."""{filtered}
    return events.select({", ".join(map(repr, spine))}, event_timestamp=events[{moment.name!r}], **{{{label}}})
'''


_ESTIMATORS: Final = {
    "HistGradientBoostingClassifier": ("ensemble", "'max_iter': 3, 'min_samples_leaf': 2"),
    "LogisticRegression": ("linear_model", "'C': 0.5"),
    "RandomForestClassifier": ("ensemble", "'n_estimators': 3"),
    "DummyClassifier": ("dummy", "'strategy': 'prior'"),
}
_MORE: Final = ("", "'über': 1", "'note': 'x'", "'deep': {'a': [1, 2]}", "'share': 0.1", "'flag': True", "'none': None")
_ODD_MORE: Final = ("'pair': (1, 2)", "'nan': float('nan')", "'big': 2**60", "'': 1", "'a b': 1", "'set': {1}", "1: 2",
                    "'long': 'x' * 7000", "'when': __import__('datetime').date(2023, 1, 1)")  # fmt: skip
_FLOORS: Final = ("{}", "{'test/accuracy': 0.0}", "{'val/brier': 0.0, 'train/f1': 0}")
_ODD_FLOORS: Final = (
    "{'test/auc': 0.5}",
    "{'accuracy': 0.5}",
    "{'test/accuracy': '0.5'}",
    "{'test/accuracy': 2.0}",
    "{'test/accuracy': float('nan')}",
    "{'test/accuracy': None}",
    "{'test/accuracy': True}",
)
_SEEDS: Final = ("0", "42")
_ODD_SEEDS: Final = ("-1", "True", "2**40", "1.5", "None", "'x'")
_LIBRARIES: Final = ("('scikit-learn',)", "()")
_ODD_LIBRARIES: Final = ("('sklearn',)", "('nothing-at-all',)", "('scikit_learn',)", "'scikit-learn'", "(None,)")


def model(choose: Chooser, of: Frame, views: Sequence[View]) -> str:
    """The module of a model: what is a number goes in, the rest is dropped."""
    estimator = choose.of(tuple(_ESTIMATORS))
    module, params = _ESTIMATORS[estimator]
    more = choose.of(_MORE, _ODD_MORE, what="parameters")
    texts = [value.name for of in views for value in of.values if value.type == "str"]
    groups = [column.name for column in of.columns[1:-3] if column.type in {"str", "int", "Int32", "bool"}]
    odd = ("nothing", of.label, "split", "event_timestamp", of.columns[0].name)
    categories = choose.of((tuple(texts), (*texts, *groups)), [(name,) for name in odd], what="categories")
    given = [
        f"frame={choose.of(('asked',), ('nothing',), what='frame of a model')!r}",
        f"params={{{params}{', ' if more else ''}{more}}}",
        f"seed={choose.of(_SEEDS, _ODD_SEEDS, what='seed of a model')}",
        f"categories={categories!r}",
        f"floors={choose.of(_FLOORS, _ODD_FLOORS, what='floors')}",
        f"libraries={choose.of(_LIBRARIES, _ODD_LIBRARIES, what='libraries of a model')}",
    ]
    used = ", ".join(f"{name}=params[{name!r}]" for name in params.split("'")[1::2] if name != "prior")
    return f'''"""Drawn."""

from ml_assets.lib.declare import model


@model({", ".join(given)})
def guess(train, val, *, params, seed):
    """Drawn guesses."""
    from sklearn.compose import make_column_transformer
    from sklearn.dummy import DummyClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.{module} import {estimator}

    given = train.drop(columns={of.label!r})
    numbers = list(given.select_dtypes("number").columns)
    if not numbers:
        return DummyClassifier().fit(given, train[{of.label!r}])
    inputs = make_column_transformer((SimpleImputer(keep_empty_features=True), numbers))
    return make_pipeline(inputs, {estimator}({used}, random_state=seed)).fit(given, train[{of.label!r}])
'''


def learnable(of: View) -> list[str]:
    """Values that a model can learn from."""
    return [value.name for value in of.values if value.type not in {"date", "Timestamp"}]


def versions(choose: Chooser, splits: tuple[str, ...], views: Sequence[View], *, learnt: bool) -> str:
    """The module of versions; where something is *learnt* from them without values that nothing can learn from."""
    key = choose.of(("v1",), ("v1__2", "", "v1,2", "ü", "v1_", 1), what="name of a feature version")
    features: dict[object, tuple[object, ...]] = {key: tuple(_reference(choose, of, learnt=learnt) for of in views)}
    if choose.chance(1, 4) and not any(value.type == "str" for of in views[1:] for value in of.values):
        features["v2"] = (_reference(choose, views[0], learnt=learnt),)
    if choose.odd_one("a feature version"):
        odd = (
            "nothing@1",
            "view0@2",
            "view0",
            "view0@1[nothing]",
            "view0@1[]",
            "view0@1[event_timestamp]",
            "view0@01",
            1,
        )
        features["v3"] = (choose.of(odd),)
    named = choose.of(
        (splits,),
        (
            (*splits, "nothing"),
            ("a__b",),
            (*splits, splits[0]),
            (),
            ("hash_a", *splits),
            ("x|y",),
            ("hash-a_",),
            "hash-a",
        ),
        what="split versions",
    )
    return f'"""Drawn."""\n\nSPLIT_VERSIONS = {named!r}\n\nFEATURE_VERSIONS = {features!r}\n'


def _reference(choose: Chooser, of: View, *, learnt: bool) -> str:
    """A view with all of its values, or with some."""
    names = learnable(of) if learnt else [value.name for value in of.values]
    texts = [value.name for value in of.values if value.type == "str"]
    if not texts and choose.chance(1, 4):
        names = names[:1]
    return f"{of.name}@1" if len(names) == len(of.values) else f"{of.name}@1[{', '.join(names)}]"
