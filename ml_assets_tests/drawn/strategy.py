"""The strategy: whole packages, with frames and models over what their sources and views have."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from ml_assets_tests.drawn.choices import Chooser, Draw
from ml_assets_tests.drawn.columns import Column, Names, contract_text
from ml_assets_tests.drawn.packages import Drawn
from ml_assets_tests.drawn.tables import SPLITS_HEAD, Source, View, source, split, view

_ODDS: Final = (0, 0, 25, 70)
"""In how many of a thousand choices something wrong is taken: most packages are meant to be lawful."""


@st.composite
def packages(draw: Draw) -> Drawn:
    """A package of one or two sources, splits and views, a frame and a model."""
    choose = Chooser(draw, draw(st.sampled_from(_ODDS)))
    names = Names(choose)
    events = source(choose, names, "events")
    sources = [events, *([source(choose, names, "facts", events.groups)] if choose.chance(1, 3) else [])]
    versions = ("hash-a", *(["B2"] if choose.chance(1, 4) else []))
    views = [view(choose, names, f"view{number}", choose.of(sources)) for number in range(choose.number(1, 2))]
    frame, spine, unique, label = _frame(choose, names, events, views)
    files = {
        "__init__.py": "",
        "contracts/__init__.py": _contracts(sources, views, spine, unique),
        **{f"sources/{of.name}.py": of.text for of in sources},
        "splits/events.py": SPLITS_HEAD + "".join(split(choose, version, events) for version in versions),
        **{f"features/{of.name}.py": of.text for of in views},
        "frames/asked.py": frame,
        "models/guess.py": _model(choose, events, views, label),
        "versions.py": _versions(choose, versions, views),
    }
    return Drawn(files, {of.name: of.rows for of in sources}, tuple(choose.odd))


def _contracts(sources: list[Source], views: list[View], spine: list[Column], unique: tuple[str, ...]) -> str:
    head = '"""Drawn."""\n\nfrom datetime import UTC, date, datetime\n\nfrom ml_assets.lib.declare import FeatureContract, Field, FrameContract, Int32, SourceContract, Timestamp\n'
    made = [
        *(contract_text("SourceContract", of.contract, of.columns, of.unique) for of in sources),
        *(contract_text("FeatureContract", of.contract, (*of.keys, of.stamp, *of.values), of.unique) for of in views),
        contract_text("FrameContract", "Asked", spine, unique),
    ]
    return "\n\n".join([head, *made])


_LABELS: Final = (
    ("{c}.notnull().cast('int32')", "Int32", "isin=(0, 1)"),
    ("{c}.isnull()", "bool", ""),
    ("({c}.count().over(ibis.window(group_by=events[{g!r}])) > 3).cast('int32')", "Int32", ""),
    ("{c}.notnull().cast('int64')", "int", ""),
    ("(events[{k!r}].cast('string').hexdigest('md5') < '8').cast('int32')", "Int32", "isin=(0, 1)"),
    ("(events[{k!r}].cast('string').hexdigest('md5') < '8').cast('int32')", "Int32", ""),
    ("(events[{k!r}].cast('string').hexdigest('md5') < 'c')", "bool", ""),
)
_ODD_LABELS: Final = (
    ("ibis.ifelse({c}.isnull(), 'no', 'yes')", "str", "isin=('no', 'yes')"),
    ("{c}.notnull().cast('float64')", "float", ""),
    ("ibis.ifelse({c}.isnull(), 2, 1).cast('int32')", "Int32", "isin=(1, 2)"),
    ("ibis.literal(1).cast('int32')", "Int32", ""),
    ("ibis.ifelse({c}.isnull(), ibis.null('int32'), 1).cast('int32')", "Int32", "nullable=True"),
    ("{c}", "str", ""),
    ("{c}", "int", "nullable=True"),
)


def _frame(
    choose: Chooser, names: Names, events: Source, views: list[View]
) -> tuple[str, list[Column], tuple[str, ...], str]:
    """The module of the frame, the columns of its contract, what that is unique in, and its label."""
    column = choose.of(events.columns[1:])
    text, kind, asked = choose.of(_LABELS, _ODD_LABELS, what="label")
    label_name = choose.of(
        ("label", "label", names.of("target")), ("split", "event_timestamp"), what="name of the label"
    )
    label = Column(label_name, kind, constraints=(asked,) if asked else ())
    made = text.format(c=f"events[{column.name!r}]", g=events.groups[0].name, k=events.key.name)
    keys = {key.name: key for of in views for key in of.keys if key.name != events.key.name}
    groups = [of for of in events.groups if of.name in keys or choose.chance(1, 2)]
    if groups and choose.odd_one("spine without a key of a view"):
        groups = groups[1:]
    spine = [
        Column(events.key.name, events.key.type),
        *(Column(of.name, of.type, nullable=of.nullable) for of in groups),
        Column("event_timestamp", "Timestamp"),
        label,
        Column("split", "str", constraints=choose.of((("isin=('train', 'val', 'test')",), ()))),
    ]
    moment = events.event if events.event.type == "Timestamp" else events.columns[4]
    selected = "".join(f"{c.name!r}, " for c in spine[: 1 + len(groups)])
    given = [
        f"split={choose.of(('events',), ('facts', 'nothing'), what='split of a frame')!r}",
        "contract=contracts.Asked",
        *([f"label={label_name!r}"] if label_name != "label" else []),
        f"moments={choose.of(('2', '3'), ('1', '0', '-1', '2.5', '10**9', 'True', 'None'), what='moments')}",
    ]
    filtered = f"\n    events = events.filter(events[{moment.name!r}].notnull())" if moment.nullable else ""
    unique = choose.of(((events.key.name,),), ((), (events.key.name, "event_timestamp")), what="unique of a frame")
    module = f'''"""Drawn."""

import ibis

from ml_assets.lib.declare import frame

from .. import contracts


@frame({", ".join(given)})
def asked(events):
    """Drawn rows to be filled."""{filtered}
    return events.select({selected}event_timestamp=events[{moment.name!r}], **{{{label_name!r}: {made}}})
'''
    return module, spine, unique, label_name


_HEAD: Final = '''"""Drawn."""

from ml_assets.lib.declare import model

'''
_MODELS: Final = {
    "trees": ("HistGradientBoostingClassifier", "ensemble", {"max_iter": 3, "min_samples_leaf": 2}),
    "line": ("LogisticRegression", "linear_model", {"C": 0.5}),
    "forest": ("RandomForestClassifier", "ensemble", {"n_estimators": 3}),
    "prior": ("DummyClassifier", "dummy", {"strategy": "prior"}),
}


def _model(choose: Chooser, events: Source, views: list[View], label: str) -> str:
    """The module of the model: what is a number goes in, the rest is dropped."""
    name, module, params = _MODELS[choose.of(tuple(_MODELS))]
    more = choose.of(
        ({}, {"\u00fcber": 1}, {"note": "x"}, {"deep": {"a": [1, 2]}}, {"share": 0.1}, {"flag": True}),
        ({"none": None}, {"pair": (1, 2)}, {"nan": float("nan")}, {"big": 2**60}, {"": 1}, {"a b": 1}, {"set": {1}}),
        what="parameters",
    )
    passed = f"**{{name: params[name] for name in {sorted(params)!r}}}"
    labels = choose.of(
        ((), (), tuple(g.name for g in events.groups[:1]), (events.key.name,)),
        (("nothing",), ("label",), ("split",), tuple(v.name for v in views[0].values)),
        what="categories",
    )
    floors = choose.of(
        ({}, {"test/accuracy": 0.0}, {"val/brier": 0.0, "train/f1": 0}),
        (
            {"test/auc": 0.5},
            {"accuracy": 0.5},
            {"test/accuracy": "0.5"},
            {"test/accuracy": float("nan")},
            {"test/accuracy": 2.0},
            {"test/accuracy": None},
        ),
        what="floors",
    )
    libraries = choose.of(
        (("scikit-learn",), ()), (("sklearn",), ("nothing-at-all",), ("scikit_learn",)), what="libraries of a model"
    )
    seed = choose.of((0, 42), ("-1", "True", "2**40", "1.5", "None", "'x'"), what="seed of a model")
    given = [
        f"frame={choose.of(('asked',), ('nothing',), what='frame of a model')!r}",
        f"params={params | more!r}", f"seed={seed}", f"categories={labels!r}", f"floors={floors!r}", f"libraries={libraries!r}",
    ]  # fmt: skip
    text = ",\n    ".join(given).replace("nan}", "float('nan')}").replace("nan,", "float('nan'),")
    return f'''{_HEAD}
@model(
    {text},
)
def guess(train, val, *, params, seed):
    """Drawn guesses."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.{module} import {name}

    given = train.drop(columns={label!r})
    numbers = list(given.select_dtypes("number").columns)
    inputs = make_column_transformer((SimpleImputer(keep_empty_features=True), numbers))
    guesser = make_pipeline(inputs, {name}({passed}, random_state=seed))
    return guesser.fit(given, train[{label!r}])
'''


def _versions(choose: Chooser, splits: tuple[str, ...], views: list[View]) -> str:
    """The module of versions."""
    whole = [f"{of.name}@1" for of in views]
    chosen = f"{views[0].name}@1[{views[0].values[0].name}]"
    features = {"v1": tuple(whole)}
    if choose.chance(1, 3):
        features["v2"] = (chosen,)
    odd = choose.of(
        ("",), ("nothing@1", "view0@2", "view0", "view0@1[nothing]", "view0@1[]", f"{chosen},"), what="feature version"
    )
    if odd:
        features["v3"] = (odd,)
    named = choose.of(
        (splits,),
        ((*splits, "nothing"), ("a__b",), (*splits, splits[0]), (), ("hash_a", *splits), ("x|y",)),
        what="split versions",
    )
    key = choose.of(("v1",), ("v1__2", "", "v1,2", "ü", "v1_"), what="name of a feature version")
    features = {key if name == "v1" else name: refs for name, refs in features.items()}
    return f'"""Drawn."""\n\nSPLIT_VERSIONS = {named!r}\n\nFEATURE_VERSIONS = {features!r}\n'
