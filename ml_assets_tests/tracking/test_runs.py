"""One run per materialized partition: what it holds, and that it always ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from ml_assets.lib.core.errors import TrackingError
from ml_assets.lib.core.lineage import Lineage
from ml_assets.lib.tracking import registry, runs
from ml_assets.lib.tracking.store import Tracking
from ml_assets_tests.tracking.examples import DIGESTS, EXAMPLE, fitted, lives, rows, train, unit


def test_a_run_holds_the_whole_lineage(tracking: Tracking, model: str) -> None:
    """Params and metrics come back from MLflow as they were, odd characters and long values included."""
    views = {f"view_{n}": replace(EXAMPLE.views["route"], table="t" * 300) for n in range(30)}
    parameters = {"text": " ' \"\n\t%§€日本 ", "list": [1, 2.5, None, {"a": True}], "tiny": 5e-324}
    lineage = replace(EXAMPLE, views=views, parameters=parameters, scores={"val": {"brier": 1 / 3}})
    run_id, _ = train(tracking, model, lineage=lineage)
    data = tracking.client.get_run(run_id).data
    assert lineage == Lineage.from_params(data.params, data.metrics)


def test_params_are_written_once(tracking: Tracking, model: str) -> None:
    """The same lineage again is fine, another one is refused: a run says one thing for ever."""
    with runs.begin(tracking, model, unit(model), owner={}, tags={}) as run:
        run.log_lineage(EXAMPLE)
        run.log_lineage(EXAMPLE)
        with pytest.raises(TrackingError):
            run.log_lineage(replace(EXAMPLE, frame_digest="tbl1:other"))
    assert EXAMPLE.frame_digest == tracking.client.get_run(run.id).data.params["data/frame_digest"]


def test_a_hyperparameter_is_never_cut(tracking: Tracking, model: str) -> None:
    """MLflow would cut a long value; it is refused instead, by name."""
    lineage = replace(EXAMPLE, parameters={"weights": list(range(3000))})
    with (
        runs.begin(tracking, model, unit(model), owner={}, tags={}) as run,
        pytest.raises(TrackingError, match="weights"),
    ):
        run.log_lineage(lineage)


def test_splits_are_three_inputs(tracking: Tracking, model: str) -> None:
    """Even with equal digests MLflow keeps all three, each with its place in the lake, its digest and its rows."""
    run_id, _ = train(tracking, model)
    inputs = tracking.client.get_run(run_id).inputs
    assert inputs is not None
    found = {entry.tags[0].value: entry.dataset for entry in inputs.dataset_inputs}
    assert set(DIGESTS) == set(found)
    for split, dataset in found.items():
        assert dataset.source_type == "lakefs"
        assert f"lakefs://ml-assets/{EXAMPLE.lakefs_commit}/" == json.loads(dataset.source)["uri"]
        assert {"digest": DIGESTS[split], "num_rows": EXAMPLE.samples[split]} == json.loads(dataset.profile or "")


def test_artifacts_are_kept(tracking: Tracking, model: str, tmp_path: Path) -> None:
    """Lineage, script, a sample of at most a hundred rows and the schema of each split."""
    run_id, _ = train(tracking, model)
    folder = Path(tracking.client.download_artifacts(run_id, "lineage", str(tmp_path)))
    names = {"complete_lineage.json", "reproduce.sh"}
    names |= {f"{split}_{what}" for split in DIGESTS for what in ("sample.csv", "schema.json")}
    assert names == {path.name for path in folder.iterdir()}
    sample = pd.read_csv(folder / "train_sample.csv")
    assert (100, list(rows().columns)) == (len(sample), list(sample.columns))
    schema = json.loads((folder / "val_schema.json").read_text())
    assert {"name": "delay", "type": "double", "nullable": True} in schema


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("bad rows"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(1), "KILLED")],
    ids=["error", "interrupt", "exit"],
)
def test_a_run_ends_as_its_body_does(tracking: Tracking, model: str, error: BaseException, status: str) -> None:
    """Whatever leaves the body leaves no RUNNING run behind, and is passed on."""

    def body() -> None:
        with runs.begin(tracking, model, unit(model), owner={}, tags={}):
            raise error

    with pytest.raises(type(error)):
        body()
    found = tracking.client.search_runs([tracking.experiment(model)])
    assert [status] == [run.info.status for run in found]


def test_an_error_is_not_hidden_when_mlflow_is_gone(
    embedded: Tracking, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the run cannot even be ended, the first error is still the one that is raised, with a note."""

    def refuse(*_: object, **__: object) -> None:
        raise TrackingError("MLflow is gone", remedy="start it")

    monkeypatch.setattr(runs, "end", refuse)
    with (
        pytest.raises(ValueError, match="bad rows") as error,
        runs.begin(embedded, model, unit(model), owner={}, tags={}),
    ):
        raise ValueError("bad rows")
    assert "MLflow is gone" in error.value.__notes__[0]


def test_a_killed_run_is_ended_by_the_next(tracking: Tracking, model: str) -> None:
    """After ``kill -9`` the run stays RUNNING until a later one sees that its process is gone."""
    script = f"""
        import os, signal
        from ml_assets.lib.core.process import Process
        from ml_assets.lib.tracking import runs
        from ml_assets.lib.tracking.store import Tracking
        from ml_assets_tests.tracking.examples import unit
        tracking = Tracking({tracking.uri!r}, artifact_root={tracking.artifact_root!r})
        with runs.begin(tracking, {model!r}, unit({model!r}), owner=Process.here().as_text(), tags={{}}):
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    (killed,) = tracking.client.search_runs([tracking.experiment(model)])
    assert killed.info.status == "RUNNING"
    published, _ = train(tracking, model, estimator=fitted())
    ended = registry.end_losers(tracking, model, unit(model), published, lives)
    assert (killed.info.run_id,) == ended
    assert tracking.client.get_run(killed.info.run_id).info.status == "KILLED"


def test_samples_of_rows_can_be_switched_off() -> None:
    """With no rows wanted there is no file of rows, only the schema."""
    table = pa.Table.from_pandas(rows(), preserve_index=False)
    assert {"lineage/train_schema.json"} == runs.split_files("train", table, 0).keys()
    assert 8 == runs.split_files("train", table, 7)["lineage/train_sample.csv"].count(b"\n")
