"""Labels, classes and types of what a model is trained on, scored on and served with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest

from ml_assets.lib.core.errors import ContractError, DeclarationError, FunctionError
from ml_assets.lib.core.names import SPLITS, Unit
from ml_assets.lib.declare import FrameContract, frame, model
from ml_assets.lib.declare.declarations import Frame, Model
from ml_assets.lib.gate.rows import RowCache, Rows
from ml_assets.lib.gate.units import training
from ml_assets.lib.gate.units.models import _floors
from ml_assets.lib.tracking import runs
from ml_assets.lib.tracking.metrics import score
from ml_assets.lib.tracking.models import CLASSES, INPUT_TYPES, load_model, log_model
from ml_assets.lib.tracking.store import Tracking

ROWS: Final = 240
CATEGORIES: Final = ("code", "flag", "merchant", "place")


def fit(train: Any, val: Any, *, params: Any, seed: int) -> Any:
    """Trees that take missing values and categories of any type."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    categories = [name for name in CATEGORIES if name in train]
    trees = HistGradientBoostingClassifier(
        max_iter=5, min_samples_leaf=3, early_stopping=False, random_state=seed, categorical_features=categories or None
    )
    return trees.fit(train.drop(columns="label"), train["label"])


MODEL: Final[Model] = model(frame="late", categories=CATEGORIES)(fit)


def declared(positive: Any = None) -> Frame:
    """A frame whose label says which value is positive."""
    return frame(split="trips", contract=FrameContract, positive=positive, name="late")(fit)


def cache(folder: Path, table: pa.Table) -> Rows:
    """*table* as the rows of a frame."""
    return RowCache(folder).put(table.to_reader())


def table(labels: list[Any], kind: pa.DataType, **columns: pa.Array) -> pa.Table:
    """A key, a number that goes with the label, the label and a part: every third row is val, every fifth test."""
    count = len(labels)
    parts = ["test" if n % 5 == 0 else "val" if n % 3 == 0 else "train" for n in range(count)]
    given = {"key": [f"k{n:04}" for n in range(count)], "label": pa.array(labels, kind), "split": parts}
    return pa.table({**given, **columns})


def loaded(folder: Path, rows: pa.Table, columns: tuple[str, ...] = ("x",)) -> dict[str, training.Part]:
    """The parts of *rows*."""
    return training.load(cache(folder, rows), MODEL, key="key", columns=columns, label="label")


LABELS: Final = {
    "bool": (pa.bool_(), False, True, None),
    "int32": (pa.int32(), 0, 1, None),
    "int64": (pa.int64(), 0, 1, None),
    "text": (pa.string(), "legit", "fraud", "fraud"),
    "text whose positive class comes last": (pa.string(), "early", "late", "late"),
    "one and two": (pa.int32(), 1, 2, 2),
    "false is the positive one": (pa.bool_(), True, False, False),
}


@pytest.mark.parametrize("name", LABELS)
def test_scores_are_those_of_the_positive_class(name: str, tmp_path: Path) -> None:
    """Whatever the label's type and the order of `classes_`: the same truth gives the same scores."""
    kind, negative, positive, given = LABELS[name]
    truth = [n % 4 == 0 for n in range(ROWS)]
    x = pa.array([float(n % 4 == 0) + (n * 37 % 100) / 80 for n in range(ROWS)])
    parts = loaded(tmp_path, table([positive if t else negative for t in truth], kind, x=x))
    classes = training.classes_of(MODEL, declared(given), parts)
    assert (classes.negative, classes.positive) == (negative, positive)
    estimator = fit(parts["train"].known("label"), None, params={}, seed=0)
    classes.check(MODEL, estimator)
    chances = {split: classes.chances(MODEL, estimator, part.inputs) for split, part in parts.items()}
    figures = training.figures(classes, parts, chances)
    own = [truth[int(key[1:])] for key in parts["test"].keys]
    assert score(own, chances["test"]) == figures["scores"]["test"]
    assert figures["scores"]["test"]["roc_auc"] > 0.7
    assert 0.5 < figures["scores"]["test"]["accuracy"] < 1.0
    assert "unlabelled" not in figures


def test_rows_without_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    """They are predicted, and neither learned from nor scored."""
    labels = [None if n % 2 else int(n % 4 == 0) for n in range(ROWS)]
    x = pa.array([float(n % 4 == 0) + (n * 37 % 100) / 80 for n in range(ROWS)])
    parts = loaded(tmp_path, table(labels, pa.int32(), x=x))
    classes = training.classes_of(MODEL, declared(), parts)
    known = parts["train"].known("label")
    assert (str(known["label"].dtype), known["label"].isna().sum()) == ("int32", 0)
    assert [int(float(v) >= 1) for v in known["x"]].count(1) > 0
    estimator = fit(known, None, params={}, seed=0)
    chances = {split: classes.chances(MODEL, estimator, part.inputs) for split, part in parts.items()}
    figures = training.figures(classes, parts, chances)
    test = [(labels[int(key[1:])], chance) for key, chance in zip(parts["test"].keys, chances["test"], strict=True)]
    assert figures["unlabelled"] == {split: int((~part.labelled).sum()) for split, part in parts.items()}
    assert figures["unlabelled"]["test"] == sum(label is None for label, _ in test) > 0
    assert (
        score([label == 1 for label, _ in test if label is not None], [c for lab, c in test if lab is not None])
        == (figures["scores"]["test"])
    )
    assert figures["predictions"]["rows"] == ROWS


@pytest.mark.parametrize(
    ("labels", "kind", "positive", "says"),
    [
        ([1] * ROWS, pa.int32(), None, r"only the value 1 in the \d+ labelled of \d+ training rows"),
        ([None] * ROWS, pa.int32(), None, r"no value in the 0 labelled"),
        ([n % 3 for n in range(ROWS)], pa.int32(), None, r"has the values \(0, 1, 2\)"),
        ([1 + n % 2 for n in range(ROWS)], pa.int64(), None, r"has the values \(1, 2\)"),
        ([("a", "b", "c")[n % 3] for n in range(ROWS)], pa.string(), "a", r"has the values \('a', 'b', 'c'\)"),
        ([("a", "b")[n % 2] for n in range(ROWS)], pa.string(), "c", r"has the values \('a', 'b'\)"),
    ],
    ids=["one class", "no label", "three values", "one and two", "three texts", "never positive"],
)
def test_a_label_of_other_classes_is_refused(
    labels: list[Any], kind: pa.DataType, positive: Any, says: str, tmp_path: Path
) -> None:
    """Before anything is trained, with the place of the model and what the label has."""
    parts = loaded(tmp_path, table(labels, kind, x=pa.array([float(n) for n in range(ROWS)])))
    with pytest.raises(ContractError, match=says) as caught:
        training.classes_of(MODEL, declared(positive), parts)
    assert "test_training.py:" in caught.value.problem
    assert "models/fit: label 'label' of frame late" in caught.value.problem


def test_a_part_of_one_class_has_no_auc_and_its_floor_says_so() -> None:
    """A floor for what is not defined fails, and not because of a number."""
    verdict = _floors({"test/roc_auc": 0.5, "test/accuracy": 0.9}, {"test": {"accuracy": 0.8}})
    assert verdict.counts == {"test/roc_auc undefined": 1, "test/accuracy below 0.9": 1}


def _estimators() -> dict[str, Any]:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    x = np.arange(30.0).reshape(-1, 1)
    return {
        "regressor": HistGradientBoostingRegressor(max_iter=1).fit(x, x[:, 0]),
        "no probabilities": LinearSVC().fit(x, x[:, 0] > 9),
        "nothing": None,
        "other classes": LogisticRegression().fit(x, np.where(x[:, 0] > 9, "yes", "no")),
        "three classes": LogisticRegression().fit(x, x[:, 0] // 10),
        "not fitted": LogisticRegression(),
    }


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("regressor", r"HistGradientBoostingRegressor, which gives no probabilities \(predict_proba\)"),
        ("no probabilities", "LinearSVC, which gives no probabilities"),
        ("nothing", "NoneType, which gives no probabilities"),
        ("other classes", r"of the classes \('no', 'yes'\), and the label has \(0, 1\)"),
        ("three classes", r"of the classes \(0.0, 1.0, 2.0\), and the label has \(0, 1\)"),
        ("not fitted", r"of the classes \(\), and"),
    ],
)
def test_what_is_no_classifier_of_the_label_is_refused(name: str, says: str) -> None:
    """With the place of the function that returned it."""
    with pytest.raises(DeclarationError, match=says) as caught:
        training.Classes(negative=0, positive=1).check(MODEL, _estimators()[name])
    assert "test_training.py:" in caught.value.problem


def rows_of_every_type(gaps: bool) -> pa.Table:
    """Every type that a model may have as input, as category and as value, with and without missing values."""

    def some(values: list[Any], kind: pa.DataType) -> pa.Array:
        return pa.array([None if gaps and n % 7 == 0 else value for n, value in enumerate(values)], kind)

    numbers = range(ROWS)
    return table(
        [int(n % 4 == 0) for n in numbers],
        pa.int32(),
        code=some([5400 + n % 8 for n in numbers], pa.int32()),
        flag=some([n % 4 == 0 for n in numbers], pa.bool_()),
        merchant=some([n % 5 for n in numbers], pa.int64()),
        place=some([f"{n % 9:02}" for n in numbers], pa.string()),
        late=some([n % 3 == 0 for n in numbers], pa.bool_()),
        cents=some([n * 31 % 1000 for n in numbers], pa.int64()),
        legs=some([n % 6 for n in numbers], pa.int32()),
        km=some([n * 37 % 101 / 3 for n in numbers], pa.float64()),
    )


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """An embedded store."""
    made = Tracking.embedded(tmp_path_factory.mktemp("home"))
    made.prepare()
    return made


@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "with gaps"])
@pytest.mark.parametrize("nullable", [False, True], ids=["required", "nullable"])
def test_the_served_model_takes_the_rows_of_its_frame(
    gaps: bool, nullable: bool, tracking: Tracking, tmp_path: Path
) -> None:
    """MLflow's pyfunc gives exactly the scored probabilities, for the rows as Arrow has them and for complete ones."""
    if gaps and not nullable:
        pytest.skip("no frame: its contract would refuse the rows")
    whole = rows_of_every_type(gaps)
    columns = (*CATEGORIES, "cents", "km", "late", "legs")
    parts = loaded(tmp_path, whole, columns)
    estimator = fit(parts["train"].known("label"), None, params={}, seed=0)
    schema = pa.schema([whole.schema.field(name).with_nullable(nullable) for name in columns])
    with runs.begin(tracking, "typed", Unit.of_both("models", "typed", "s", "v"), owner={}, tags={}) as run:
        logged = log_model(run, estimator, name="typed", inputs=schema)
    import mlflow.pyfunc  # after `log_model`, which keeps MLflow's warning about itself quiet

    served = mlflow.pyfunc.load_model(tracking.client.get_logged_model(logged.id).artifact_location)
    for rows in (whole, whole.drop_null()):
        part = rows.sort_by("key").select(columns).to_pandas()
        assert np.array_equal(estimator.predict_proba(part), served.predict(part))
    kept = load_model(tracking, logged.id, sha256=logged.sha256)
    for part in (parts[split].inputs for split in SPLITS):
        assert np.array_equal(estimator.predict_proba(part), kept.predict_proba(part))
        assert np.array_equal(estimator.predict_proba(part), served.predict(part))
    types = {c["name"]: c["type"] for c in served.metadata.signature.inputs.to_dict()}
    whole_number = {"int32": "any" if nullable else "integer", "int64": "any" if nullable else "long"}
    named = {"string": "string", "bool": "boolean", "double": "double", **whole_number}
    assert types == {name: named[str(whole.schema.field(name).type)] for name in columns}
    assert served.metadata.metadata[INPUT_TYPES] == {name: str(whole.schema.field(name).type) for name in columns}
    assert served.metadata.metadata[CLASSES] == list(estimator.classes_)


def test_training_gets_the_types_of_the_frame(tmp_path: Path) -> None:
    """Complete columns keep their type; text that looks like numbers stays text."""
    train = loaded(tmp_path, rows_of_every_type(gaps=False), (*CATEGORIES, "cents", "legs", "late"))["train"]
    types = {name: str(kind) for name, kind in train.inputs.dtypes.items()}
    assert types == {
        "code": "int32", "flag": "bool", "merchant": "int64", "place": "object", "cents": "int64", "legs": "int32",
        "late": "bool",
    }  # fmt: skip
    assert set(train.inputs["place"]) <= {f"{n:02}" for n in range(9)}


def test_large_numbers_beside_missing_values_are_refused(tmp_path: Path) -> None:
    """Pandas would round them; alone they stay what they are."""
    big = [2**60 + n for n in range(ROWS)]
    kept = loaded(tmp_path, table([n % 2 for n in range(ROWS)], pa.int32(), x=pa.array(big, pa.int64())))
    assert set(kept["train"].inputs["x"]) <= set(big)
    gaps = pa.array([None, *big[1:]], pa.int64())
    with pytest.raises(ContractError, match=r"column 'x' has 1 missing values and whole numbers up to \d+"):
        loaded(tmp_path, table([n % 2 for n in range(ROWS)], pa.int32(), x=gaps))


def test_too_many_categories_are_named(tmp_path: Path) -> None:
    """The library's refusal comes with the column and how many values it has."""
    place = pa.array([f"p{n}" for n in range(3 * ROWS)])
    parts = loaded(tmp_path, table([n % 2 for n in range(3 * ROWS)], pa.int32(), place=place), ("place",))
    with (
        pytest.raises(ContractError, match=r"models/fit failed on categories of many values: 'place' \(384 distinct"),
        training.failures_of(MODEL, parts),
    ):
        fit(parts["train"].known("label"), None, params={}, seed=0)


def test_what_a_function_raises_is_told_with_its_line(tmp_path: Path) -> None:
    """It is a mistake in the function, not of the project, and named so."""
    parts = loaded(tmp_path, table([n % 2 for n in range(ROWS)], pa.int32(), x=pa.array(range(ROWS))))

    def broken(train: Any, val: Any, *, params: Any, seed: int) -> Any:
        raise IndexError(f"no row {seed}")

    declared = model(frame="late")(broken)
    with (
        pytest.raises(FunctionError, match=r"models/broken failed: IndexError: no row 7 \(.*test_training.py:\d+\)"),
        training.failures_of(declared, parts),
    ):
        declared(None, None, params={}, seed=7)
