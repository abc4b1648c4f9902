"""The connection to MLflow: explicit, quiet, prepared once, its errors ours."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ml_assets.lib.core.errors import TrackingError
from ml_assets.lib.core.lineage import Lineage
from ml_assets.lib.tracking import runs, store
from ml_assets.lib.tracking.store import Tracking
from ml_assets_tests.tracking.examples import EXAMPLE, files, unit


def in_new_process(script: str, folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """What *script* prints, run in *folder* by a Python that has imported nothing yet; it must be silent otherwise."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "DO_NOT_TRACK"))}
    own["PYTHONPATH"] = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(
        command, check=False, cwd=folder, env={**own, **(environment or {})}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_importing_costs_nothing(tmp_path: Path) -> None:
    """MLflow, scikit-learn and pandas are imported when they are needed, not before."""
    script = """
        import sys
        from ml_assets.lib.tracking import metrics, models, registry, reproduce, runs, store, trace
        store.Tracking("http://127.0.0.1:1")
        print({"mlflow", "sklearn", "skops", "pandas", "numpy", "pyarrow"} & set(sys.modules))
    """
    assert in_new_process(script, tmp_path) == "set()\n"


@pytest.mark.slow
def test_a_run_leaves_no_trace_elsewhere_and_no_secret_anywhere(tmp_path: Path) -> None:
    """No file in the current folder, no chatter, no telemetry, no global state, no secret of the environment."""
    home, folder = tmp_path / "home", tmp_path / "folder"
    folder.mkdir()
    secret = "correct-horse-battery-staple"
    names = "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY MLFLOW_TRACKING_PASSWORD MLFLOW_TRACKING_TOKEN AWS_SECRET_ACCESS_KEY"
    script = f"""
        from pathlib import Path
        from ml_assets.lib.tracking import registry
        from ml_assets.lib.tracking.store import Tracking
        from ml_assets_tests.tracking.examples import train
        tracking = Tracking.embedded(Path({str(home)!r}))
        run_id, _ = train(tracking, "late_arrival")
        registry.register(tracking, "late_arrival", run_id)
        import mlflow, mlflow.telemetry
        assert mlflow.telemetry.get_telemetry_client() is None
        assert mlflow.active_run() is None
        assert mlflow.get_tracking_uri() != tracking.uri
    """
    assert in_new_process(script, folder, dict.fromkeys(names.split(), secret)) == ""
    assert list(folder.iterdir()) == []
    written = [path for path in home.rglob("*") if path.is_file()]
    assert {"mlflow.db", "model.skops", "complete_lineage.json"} <= {path.name for path in written}
    assert not [path for path in written if secret.encode() in path.read_bytes()]


def test_embedded_artifacts_lie_in_the_state_folder(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the current folder is, and also when the state folder is named relative to it."""
    monkeypatch.chdir(tmp_path)
    tracking = Tracking.embedded(Path("state"))
    tracking.prepare()
    with runs.begin(tracking, model, unit(model), owner={}, tags={}) as run:
        run.log_files({"notes/a.txt": b"a"})
    (kept,) = (tmp_path / "state" / "mlflow" / "artifacts" / model).rglob("a.txt")
    assert kept.read_bytes() == b"a"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_server_places_artifacts_itself(server: Tracking, model: str) -> None:
    """No path of this machine is sent to a server."""
    experiment = server.client.get_experiment(server.experiment(model))
    assert experiment.artifact_location.startswith("mlflow-artifacts:/")


def test_an_experiment_is_made_once(tracking: Tracking, model: str) -> None:
    """Four that ask at once get the same one."""
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(tracking.experiment, [model] * 4))
    assert {tracking.experiment(model)} == found


def test_a_deleted_experiment_is_named(tracking: Tracking, model: str) -> None:
    """MLflow keeps the name of a deleted experiment: the error says how to get it back."""
    tracking.client.delete_experiment(tracking.experiment(model))
    with pytest.raises(TrackingError, match=rf"'{model}' is deleted; restore it"):
        tracking.experiment(model)


def test_threads_share_a_store(tracking: Tracking, model: str) -> None:
    """There is no active run that one thread could take from another."""

    def write(number: int) -> tuple[str, str]:
        name = f"{model}_{number}"
        with runs.begin(tracking, name, unit(name), owner={}, tags={}) as run:
            run.log_lineage(EXAMPLE)
            run.log_files(files(EXAMPLE))
        return run.id, str(unit(name))

    with ThreadPoolExecutor(4) as pool:
        for run_id, name in pool.map(write, range(4)):
            found = tracking.client.get_run(run_id)
            assert ("FINISHED", name) == (found.info.status, found.data.tags["ml_assets/unit"])
            assert Lineage.from_params(found.data.params, found.data.metrics) == EXAMPLE


def test_an_unreachable_server_is_our_error_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to check, and neither it nor its traceback shows what the URL contains."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracking = Tracking("http://somebody:hunter2@127.0.0.1:9")
    assert "hunter2" not in repr(tracking)
    with pytest.raises(TrackingError, match="MLFLOW_TRACKING_URI") as error:
        tracking.prepare()
    assert "hunter2" not in "".join(traceback.format_exception(error.value))


def test_what_somebody_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our defaults for MLflow's environment give way to a person's."""
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "DEBUG")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    store.set_environment()
    assert (os.environ["MLFLOW_LOGGING_LEVEL"], os.environ["MLFLOW_DISABLE_TELEMETRY"]) == ("DEBUG", "true")
