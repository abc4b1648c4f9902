"""The UIs on this machine: Dagster's webserver and daemon, and MLflow's server on the embedded store. Loopback only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ml_assets.lib.assets.instance import open_instance
from ml_assets.lib.core.errors import ConfigError

if TYPE_CHECKING:
    from ml_assets.lib.tracking.store import Tracking

HOST: Final = "127.0.0.1"
_STOP_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.3
_ENVIRONMENT: Final = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Unless the user says otherwise: MLflow starts seven processes for jobs that judge language models."""


def serve(
    dagster_folder: Path, tracking: Tracking, *, dagster_port: int, mlflow_port: int | None, say: Callable[[str], None]
) -> None:
    """Run the UIs until one ends or the user interrupts; then all end.

    Args:
        dagster_folder: Dagster's instance folder; prepared before two processes race for it.
        tracking: MLflow; its store is prepared too.
        dagster_port: Port of the Dagster UI.
        mlflow_port: Port of the MLflow UI; ``None`` where MLflow is a server already.
        say: Told where to look.

    Raises:
        ConfigError: A process ended by itself, for instance because its port is taken.
    """
    open_instance(dagster_folder).dispose()
    tracking.prepare()
    location = ["-m", "ml_assets.definitions", "-d", str(Path(__file__).parents[3])]
    commands = {
        "dagster-webserver": ["dagster_webserver", "-h", HOST, "-p", str(dagster_port), *location],
        "dagster-daemon": ["dagster._daemon", "run", *location],
    }
    if mlflow_port is not None:
        stores = ["--backend-store-uri", tracking.uri, "--default-artifact-root", tracking.artifact_root or "./mlruns"]
        commands["mlflow"] = ["mlflow", "server", "--host", HOST, "--port", str(mlflow_port), "--workers", "1", *stores]
    with _running(commands, dagster_folder) as processes:
        say(f"Dagster  http://{HOST}:{dagster_port}")
        say(f"MLflow   {f'http://{HOST}:{mlflow_port}' if mlflow_port else tracking.uri}")
        say("Ctrl-C ends them; the embedded lake stays (ml-assets lake stop)")
        while all(process.poll() is None for process in processes.values()):
            time.sleep(_POLL_S)
        name = next(name for name, process in processes.items() if process.poll() is not None)
    raise ConfigError(
        f"{name} ended by itself; its log is {dagster_folder / f'{name}.log'}",
        remedy="free the port, or choose another with ML_ASSETS_DAGSTER_PORT or ML_ASSETS_MLFLOW_PORT",
    )


@contextmanager
def _running(commands: dict[str, list[str]], folder: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """The processes, each with its log in *folder*; all ended with the body, which SIGINT and SIGTERM end.

    SIGINT even where it was ignored when this process began, as for a command behind ``nohup … &``: the processes would
    inherit that.
    """
    processes: dict[str, subprocess.Popen[bytes]] = {}
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for name, command in commands.items():
            with (folder / f"{name}.log").open("wb") as log:
                processes[name] = subprocess.Popen(
                    [sys.executable, "-m", *command],
                    stdout=log,
                    stderr=log,
                    env={**_ENVIRONMENT, **os.environ, "DAGSTER_HOME": str(folder)},
                    start_new_session=True,
                )
        yield processes
    except KeyboardInterrupt:
        sys.exit(0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for process in processes.values():
            process.send_signal(signal.SIGINT)
        for process in processes.values():
            _wait(process)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
