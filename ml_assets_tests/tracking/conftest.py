"""The same tests on both stores of the product: the embedded SQLite file, and a real MLflow server on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_assets.lib.tracking.store import ENVIRONMENT, Tracking

_START_TIMEOUT_S = 100


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """The default: SQLite and files."""
    return Tracking.embedded(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracking]:
    """A real MLflow server, which is gone when the tests are."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", address.rpartition(":")[2]]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(  # in a group of its own: it starts workers
            command, cwd=folder, env={**os.environ, **ENVIRONMENT}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_for(f"http://{address}/health", process, folder / "log")
        yield Tracking(f"http://{address}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # asked nicely it takes ten seconds, and there is nothing to save
        process.wait(timeout=30)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    pytest.fail(f"the MLflow server did not start: {log.read_text()[-2000:]}")


@pytest.fixture(params=["embedded", "server"])
def tracking(request: pytest.FixtureRequest) -> Tracking:
    """Each of the two."""
    store: Tracking = request.getfixturevalue(request.param)
    return store


@pytest.fixture
def model() -> str:
    """A model name, and so an experiment, that no other test uses."""
    return f"model_{uuid.uuid4().hex[:8]}"
