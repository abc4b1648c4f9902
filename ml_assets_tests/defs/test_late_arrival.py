"""The frame and the model ``late_arrival`` on the twin."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # it has no annotations

from ml_assets.lib.declare import Declarations, lock
from ml_assets_tests.defs.build import FRAME, Demo

COLUMNS: Final = {"v1": 14, "v2": 25, "v3": 32}
PARTS: Final = ("train", "val", "test")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So few rows are fitted faster by one thread than by several that wait for each other on a busy machine."""
    with threadpool_limits(1):
        yield


def model_input(demo: Demo, split: str, features: str) -> dict[str, pd.DataFrame]:
    """Input columns and label of each part, as a model gets them: in order of key, values as doubles."""
    rows = demo.session.batches(demo.frame(demo.spine(split), features)).read_all().sort_by("flight_key").to_pandas()
    refs = demo.declarations.feature_versions[features]
    values = [name for ref in refs for name in demo.declarations.view_values(ref)]
    rows[values] = rows[values].astype("float64")
    inputs = sorted([*demo.declarations.models[FRAME].categories, *values])
    return {part: rows.loc[rows["split"] == part, [*inputs, "label"]] for part in PARTS}


def test_the_spine_is_what_arrived(demo: Demo) -> None:
    """One row per flight with a known delay, asked for two hours ahead, late from the sixteenth minute on."""
    landed = {row["flight_key"]: row for row in demo.sources["flights"].to_pylist() if row["arr_delay"] is not None}
    rows = demo.rows(demo.declarations.frames[FRAME])
    assert rows.schema.field("label").type == pa.int32()
    assert sorted(rows["flight_key"].to_pylist()) == sorted(landed)
    for row in rows.to_pylist():
        flight = landed[row["flight_key"]]
        assert row["label"] == int(flight["arr_delay"] >= 16)
        assert row["event_timestamp"] == flight["sched_dep_ts"] - timedelta(hours=2)
        assert all(row[name] == flight[name] for name in ("carrier", "origin", "dest", "tailnum", "sched_dep_ts"))


@pytest.mark.parametrize("features", COLUMNS)
def test_a_frame_keeps_its_contract(demo: Demo, features: str) -> None:
    """Spine, values and split in the contract's columns; no row is lost or doubled; no value is always null."""
    spine = demo.spine("hash-s42")
    table = demo.frame(spine, features)
    contract = demo.declarations.contract(demo.declarations.frames[FRAME], features)
    verdict = contract.audit(table)
    assert verdict.passed, verdict
    rows = demo.session.batches(table).read_all()
    assert rows.schema == contract.arrow_schema()
    assert len(rows.column_names) == COLUMNS[features]
    assert rows.num_rows == demo.session.batches(spine).read_all().num_rows
    assert all(rows[name].null_count < rows.num_rows for name in rows.column_names)


@pytest.mark.parametrize(
    ("split", "features"), [("time-2013", "v1"), ("hash-s42", "v1"), ("group-tail", "v1"), ("time-2013", "v3")]
)
def test_the_model_is_better_than_its_floor(demo: Demo, split: str, features: str) -> None:
    """What the twin holds can be learned, in every split and with the fewest features."""
    model, data = demo.declarations.models[FRAME], model_input(demo, split, features)
    fitted = model(data["train"], data["val"], params={**model.params, "max_iter": 50}, seed=model.seed)
    scores = fitted.predict_proba(data["test"].drop(columns="label"))[:, 1]
    assert ((scores >= 0) & (scores <= 1)).all()
    assert roc_auc_score(data["test"]["label"], scores) > model.floors["test/roc_auc"]


def test_the_model_repeats_itself(demo: Demo) -> None:
    """Equal rows, parameters and seed give equal predictions to the bit; an unknown carrier counts as a missing one."""
    model, data = demo.declarations.models[FRAME], model_input(demo, "hash-s42", "v3")
    fits = [model(data["train"], data["val"], params={**model.params, "max_iter": 20}, seed=1) for _ in range(2)]
    test = data["test"].drop(columns="label")
    first, second = (fit.predict_proba(test) for fit in fits)
    assert np.array_equal(first, second)
    unknown, missing = (fits[0].predict_proba(test.assign(carrier=name)) for name in ("ZZ", None))
    assert np.array_equal(unknown, missing)
    assert not np.array_equal(unknown, first)


def test_declared_parameters_reach_the_model(demo: Demo) -> None:
    """Each parameter is one that the trees know, and does something."""
    model, data = demo.declarations.models[FRAME], model_input(demo, "hash-s42", "v1")
    fitted = model(data["train"], data["val"], params={**model.params, "max_iter": 3}, seed=7)
    known = fitted.get_params()
    assert {name: known[name] for name in model.params} == {**model.params, "max_iter": 3}
    assert (fitted.n_iter_, known["random_state"]) == (3, 7)


def test_every_view_is_locked(declarations: Declarations) -> None:
    """No version has come to mean something else, and none is missing in the lock."""
    assert lock.check(declarations) == []
    assert lock.unlocked(declarations) == ()


def test_the_graph_loads_without_heavy_libraries() -> None:
    """Loading what is declared imports neither the libraries of models nor those of the machinery above."""
    heavy = ("sklearn", "dagster", "mlflow", "pyspark", "feast", "lakefs", "pyiceberg", "duckdb")
    code = f"import sys; from ml_assets.lib.declare import load; load(); print({set(heavy)!r} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
