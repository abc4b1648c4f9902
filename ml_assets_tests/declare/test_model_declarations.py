"""Labels, categories, parameters, seeds, libraries and trusted types are judged where they are declared."""

from __future__ import annotations

import re

import pytest

from ml_assets.lib.core.errors import ConfigError, DeclarationError
from ml_assets.lib.declare.params import adopt
from ml_assets_tests.declare.packages import Package

CONTRACTS = "contracts/__init__.py"
MODEL = "models/late.py"
FRAME = "frames/late.py"
LABEL = 'label: Int32 = Field(description="1 if long")'
EXPRESSION = 'label=(trips.minutes > 60).cast("int32")'


def labelled(package: Package, column: str, expression: str, positive: str = "") -> None:
    """Give the frame another label."""
    package.edit(CONTRACTS, LABEL, column)
    package.edit(FRAME, EXPRESSION, f"label={expression}")
    package.edit(CONTRACTS, "SourceContract, Timestamp", "SourceContract, Timestamp\nfrom datetime import date")
    if positive:
        package.edit(FRAME, 'split="trips"', f'split="trips", positive={positive}')


LAWFUL = {
    "bool": ("label: bool = Field(description='Long')", "trips.minutes > 60", ""),
    "zero and one": ("label: Int32 = Field(isin=(0, 1), description='Long')", '(trips.minutes > 60).cast("int32")', ""),
    "one and zero": ("label: int = Field(isin=[1, 0], description='Long')", '(trips.minutes > 60).cast("int64")', ""),
    "nullable": ("label: bool = Field(nullable=True, description='Long')", "trips.minutes > 60", ""),
    "zero is positive": (
        "label: int = Field(isin=(0, 1), description='Long')",
        '(trips.minutes > 60).cast("int64")',
        "0",
    ),
    "one and two": (
        "label: int = Field(isin=(1, 2), description='Long')",
        '(trips.minutes > 60).cast("int64") + 1',
        "2",
    ),
    "text": ("label: str = Field(isin=('a', 'b'), description='Long')", '(trips.minutes > 60).ifelse("a", "b")', "'a'"),
    "any text": ("label: str = Field(description='Long')", '(trips.minutes > 60).ifelse("a", "b")', "'a'"),
}


@pytest.mark.parametrize("name", LAWFUL)
def test_a_label_of_two_values(name: str, package: Package) -> None:
    """It is declared without a mistake, and what counts as true is part of the model's definition only when named."""
    before = package.load()
    column, expression, positive = LAWFUL[name]
    labelled(package, column, expression.replace('.cast("int64") + 1', '.cast("int64").fill_null(0) + 1'), positive)
    after = package.load()
    same = before.definition(before.models["late"]).identity == after.definition(after.models["late"]).identity
    assert same == (not positive)


WRONG = {
    "text": ("label: str = Field(description='L')", "trips.car", "", r"is text, and nobody says", r"@frame\(positive="),
    "texts": (
        "label: str = Field(isin=('a', 'b', 'c'), description='L')", "trips.car", "'a'",
        r"may have the values \(a, b, c\)", r"two values",
    ),
    "float": ("label: float = Field(description='L')", "trips.km", "", r"is float64, and models", r"isin=\(0, 1\)"),
    "time": ("label: Timestamp = Field(description='L')", "trips.started", "", r"is timestamp", r"isin=\(0, 1\)"),
    "date": ("label: date = Field(description='L')", "trips.started.date()", "", r"is date, and models", r"isin"),
    "three values": (
        "label: Int32 = Field(isin=(0, 1, 2), description='L')", "trips.minutes", "",
        r"may have the values \(0, 1, 2\)", r"isin=\(0, 1\)",
    ),
    "one value": (
        "label: Int32 = Field(isin=(1,), description='L')", "trips.minutes", "", r"values \(1\)", r"two values",
    ),
    "one and two": (
        "label: Int32 = Field(isin=(1, 2), description='L')", "trips.minutes", "",
        r"values \(1, 2\), and nobody says", r"@frame\(positive=2\)",
    ),
    "positive of another type": (
        "label: bool = Field(description='L')", "trips.minutes > 6", "1", r"is boolean, and positive=1", r"can have",
    ),
    "never positive": (
        "label: str = Field(isin=('a', 'b'), description='L')", "trips.car", "'c'", r"never is positive='c'", r"one of",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_label_that_is_not_two_valued(name: str, package: Package) -> None:
    """One mistake, with file and line of the frame, the contract and a remedy."""
    column, expression, positive, says, remedy = WRONG[name]
    labelled(package, column, expression, positive)
    (error,) = (error for error in package.mistakes() if re.search(says, error.problem))
    assert re.match(rf"{package.name}/{FRAME}:\d+: frames/late: label 'label' of LateFrame \(", error.problem)
    assert re.search(remedy, error.remedy)


MODELS = {
    "categories without comma": (
        'categories=("car",)',
        'categories=("car")',
        r"='car', which is not a tuple",
    ),
    "label as category": ('categories=("car",)', 'categories=("car", "label")', r"'label', which is the frame's label"),
    "split as category": (
        'categories=("car",)',
        'categories=("split",)',
        r"'split', which is the frame's label, split",
    ),
    "key as category": ('categories=("car",)', 'categories=("trip",)', r"'trip', which is the frame's label, split or"),
    "time as category": ('categories=("car",)', 'categories=("event_timestamp",)', r"which is timestamp"),
    "category twice": ('categories=("car",)', 'categories=("car", "car")', r"names a category twice"),
    "import name": ("seed=0,", 'seed=0, libraries=("sklearn",),', r"library 'sklearn', and no distribution"),
    "library without comma": ("seed=0,", 'seed=0, libraries=("numpy"),', r"libraries='numpy', which is not a tuple"),
    "unknown library": ("seed=0,", 'seed=0, libraries=("numpyy",),', r"library 'numpyy', and no distribution"),
    "no full name": ("seed=0,", 'seed=0, trusted=("Own",),', r"trusts 'Own', which is no full name"),
    "trusted of nothing": ("seed=0,", 'seed=0, trusted=("nopackage.Own",),', r"no package 'nopackage' is installed"),
    "trusted without comma": ("seed=0,", 'seed=0, trusted=("a.B"),', r"trusted='a.B', which is not a tuple"),
    "negative seed": ("seed=0,", "seed=-1,", r"seed is -1"),
    "boolean seed": ("seed=0,", "seed=True,", r"seed=True, which is not a whole number"),
    "no seed": ("seed=0,", "seed=None,", r"seed=None, which is not a whole number"),
    "fractional seed": ("seed=0,", "seed=1.0,", r"seed=1.0, which is not a whole number"),
    "large seed": ("seed=0,", "seed=2**32,", r"seed is 4294967296"),
    "large number": ('{"depth": 3}', '{"depth": 2**53}', r"depth: 9007199254740992 is beyond 2\*\*53"),
    "no number": ('{"depth": 3}', '{"depth": float("nan")}', r"depth: nan is no finite number"),
    "infinite": ('{"depth": 3}', '{"depth": {"a": [float("-inf")]}}', r"depth: -inf is no finite number"),
    "number as key": ('{"depth": 3}', '{"depth": {1: 2}}', r"depth: the key 1 of a dict is no text"),
    "set": ('{"depth": 3}', '{"depth": {1}}', r"depth: \{1\} is of type set"),
    "double of NumPy": ('{"depth": 3}', '{"depth": __import__("numpy").float64(1)}', r"is of type float64"),
    "parameter called seed": ('{"depth": 3}', '{"seed": 3}', r"params: 'seed' is the name of a fact"),
    "parameter without name": ('{"depth": 3}', '{"a b": 3}', r"params: 'a b' is no name"),
    "floor that is no number": (
        '{"test/roc_auc": 0.5}',
        '{"test/roc_auc": float("nan")}',
        r"roc_auc': nan\}, which",
    ),
    "floor that is true": (
        '{"test/roc_auc": 0.5}',
        '{"test/roc_auc": True}',
        r"roc_auc': True\}, which",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_wrong_model(name: str, package: Package) -> None:
    """Each mistake is told once, with file and line of the model."""
    old, new, says = MODELS[name]
    package.edit(MODEL, old, new)
    (error,) = package.mistakes()
    assert re.search(says, error.problem), error
    assert re.match(rf"{package.name}/{MODEL}:\d+: (?:models/)?late", error.problem)
    assert error.remedy


def test_the_distribution_that_was_meant(package: Package) -> None:
    """Whoever names what is imported, or misspells it, is told the distribution; for sources, too."""
    package.edit(MODEL, "seed=0,", 'seed=0, libraries=("sklearn",),')
    package.edit("sources/trips.py", "@source(", '@source(libraries=("pyarow",),')
    told = {error.remedy for error in package.mistakes()}
    assert told == {"do you mean scikit-learn?", "do you mean pyarrow?"}


def test_parameters_that_are_lawful(package: Package) -> None:
    """``None``, tuples and nested values, and trusted types, which are part of the definition only when named."""
    before = package.load()
    package.edit(MODEL, '{"depth": 3}', '{"depth": None, "layers": (10, 5), "grid": {"C": [0.1, None]}, "on": True}')
    package.edit(MODEL, "seed=0,", "seed=2**32 - 1,")
    loaded = package.load()
    identity = before.definition(before.models["late"]).identity
    assert identity == loaded.definition(loaded.models["late"]).identity
    package.edit(MODEL, "seed=2**32 - 1,", 'seed=0, trusted=("json.JSONDecoder",),')
    assert identity != (again := package.load()).definition(again.models["late"]).identity


def test_split_seeds(package: Package) -> None:
    """The seed of a split is recorded, so it must be one that a record can hold."""
    package.edit("splits/trips.py", "seed=42", "seed=2**53")
    (error,) = package.mistakes()
    assert re.search(r"splits/trips@hash-s42: seed is 9007199254740992", error.problem)


VALUE_TYPES = {
    "text": ("str", r"which is string", r"name it in categories=\('longest',\)"),
    "date": ("date", r"which is date", r"make a number of it"),
    "time": ("Timestamp", r"which is timestamp", r"make a number of it"),
}
VALUES = {"str": '"s"', "date": "known.ended.max().date()", "Timestamp": "known.ended.max()"}


@pytest.mark.parametrize("name", VALUE_TYPES)
def test_a_feature_that_no_model_takes(name: str, package: Package) -> None:
    """The error names model, view, column, type and what to do; text may be a category, which is a column of a view."""
    kind, says, remedy = VALUE_TYPES[name]
    package.edit(CONTRACTS, "longest: Int32", f"longest: {kind}")
    package.edit(CONTRACTS, "SourceContract, Timestamp", "SourceContract, Timestamp\nfrom datetime import date")
    package.edit("features/speed.py", "known.minutes.max()", VALUES[kind].replace('"s"', "known.trip.max()"))
    (error,) = package.mistakes()
    assert re.search(
        rf"models/late learns from 'longest' of speed@1 \(.*features/speed.py:\d+\).*{says}", error.problem
    )
    assert re.search(remedy, error.remedy)
    package.edit(MODEL, '("car",)', '("car", "longest")')
    assert ([] == list(package.mistakes())) == (name == "text")


@pytest.mark.parametrize(
    ("declared", "given", "expected"),
    [
        (None, 5, 5), (None, None, None), (None, [1], [1]), (3, 4, 4), (0.5, 1, 1.0), ("a", "b", "b"),
        (True, False, False), ((10, 5), [3], (3,)), ([1], [2, 3], [2, 3]), (((1, 2), 3), [[1, 2], 3], ((1, 2), 3)),
        ({"a": 1}, {"b": None}, {"b": None}),
    ],
)  # fmt: skip
def test_given_parameters(declared: object, given: object, expected: object) -> None:
    """What is given comes in the declared kind: a tuple stays one although JSON has none."""
    found = adopt("models/late", {"p": declared}, {"p": given})["p"]
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("declared", "given", "says"),
    [
        (3, True, "p of models/late is True"), (True, 1, "is 1"), (3, 0.5, "is 0.5"), (3, None, "is None"),
        ("a", 5, "is 5"), ((1,), 5, "is 5"), ({}, [], r"is \[\]"), (0.5, float("nan"), "nan is no finite"),
        (3, 2**53, r"beyond 2\*\*53"), (None, float("inf"), "inf is no finite"), (0.5, False, "is False"),
    ],
)  # fmt: skip
def test_given_parameters_of_another_kind(declared: object, given: object, says: str) -> None:
    """They are refused with the name and what to give."""
    with pytest.raises(ConfigError, match=says):
        adopt("models/late", {"p": declared}, {"p": given})


def test_an_undeclared_parameter() -> None:
    """The declared ones are named."""
    with pytest.raises(ConfigError, match=r"models/late has no parameter 'q'; it declares p"):
        adopt("models/late", {"p": 1}, {"q": 1})


def test_the_model_input_of_each_feature_version(package: Package) -> None:
    """A category of a view is input where the feature version has it, and left out elsewhere."""
    from ml_assets.lib.declare.models import input_columns

    package.edit(MODEL, '("car",)', '("longest", "car")')
    package.edit("versions.py", '("speed@1",)}', '("speed@1",), "v0": ()}')
    loaded = package.load()
    columns = {name: input_columns(loaded, loaded.models["late"], name) for name in ("v1", "v0")}
    assert columns == {"v1": ("longest", "car"), "v0": ("car",)}


def test_a_wrong_declaration_is_a_declaration_error(package: Package) -> None:
    """So `load` raises it as one."""
    package.edit(MODEL, "seed=0,", "seed=-1,")
    with pytest.raises(DeclarationError, match="seed is -1"):
        package.load()
