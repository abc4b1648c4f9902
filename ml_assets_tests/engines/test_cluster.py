"""A real cluster on this machine: a master and two workers of Spark, whose Python does not know this project."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from ml_assets.lib.core.digest import row_sum
from ml_assets.lib.core.refs import Branch, Commit
from ml_assets.lib.engines import engine
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.engines.on_cluster import RESULT, result
from ml_assets_tests.lakes import LakeEndpoint, lake, lake_endpoint
from ml_assets_tests.spark import MARKS, ROOT, program
from ml_assets_tests.tables.examples import TABLE, write

__all__ = ["lake", "lake_endpoint"]

pytestmark = [*MARKS, pytest.mark.slow]

MAIN = Branch("main")
SEED = range(400)


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
        url: Where applications find it.
        workers: Processes of the workers; executors are their children.
        python: The interpreter of the executors.
        folder: Where all of them log.
    """

    url: str
    workers: tuple[subprocess.Popen[bytes], ...]
    python: Path
    folder: Path

    @property
    def conf(self) -> str:
        """Spark's settings for an application on it."""
        return f"""
spark.master              {self.url}
spark.driver.host         127.0.0.1
spark.driver.bindAddress  127.0.0.1
spark.executor.memory     1g
spark.executor.cores      1
spark.task.maxFailures    4
"""

    def executors(self) -> list[psutil.Process]:
        """Executors that run now."""
        return [child for worker in self.workers for child in psutil.Process(worker.pid).children() if _executes(child)]


def _executes(process: psutil.Process) -> bool:
    """Whether it is an executor that runs; one that has just ended is still its worker's child."""
    try:
        return "CoarseGrainedExecutorBackend" in " ".join(process.cmdline())
    except psutil.Error:
        return False


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A master and two workers with one core each, all on loopback."""
    import pyspark

    folder = tmp_path_factory.mktemp("cluster")
    python = _other_python(folder / "python")
    port = _free_port()
    url = f"spark://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "SPARK_CONF_DIR": str(folder),
        "PYSPARK_PYTHON": str(python),
        "PYTHONPATH": "",
    }
    command = [str(Path(pyspark.__file__).parent / "bin" / "spark-class")]
    here = ["--host", "127.0.0.1", "--webui-port", "0"]
    with ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen[bytes]:
            return stack.enter_context(_running([*command, *arguments], environment, folder))

        start("org.apache.spark.deploy.master.Master", *here, "--port", str(port))
        _wait_for(port)
        kind = "org.apache.spark.deploy.worker.Worker"
        size = ["--cores", "1", "--memory", "1g"]
        workers = [start(kind, *here, *size, "--work-dir", str(folder / str(n)), url) for n in range(2)]
        yield Cluster(url, tuple(workers), python, folder)


def _other_python(folder: Path) -> Path:
    """An environment that has PySpark, NumPy and PyArrow, and not this project."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    python = folder / "bin" / "python"
    asked = [str(python), "-c", "import pyarrow, ml_assets"]
    bare = {**os.environ, "PYTHONPATH": ""}
    found = subprocess.run(asked, cwd=folder, env=bare, capture_output=True, text=True, check=False)
    assert "No module named 'ml_assets'" in found.stderr
    return python


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on port {port}")


@contextmanager
def _running(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the cluster and its children, which end with the block."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def tables(lake: Lake) -> Tables:
    """A lake whose main has the seed."""
    tables, work = Tables(lake), Branch("run-seed")
    lake.branch(work, MAIN)
    write(tables, work, *SEED)
    lake.merge(lake.commit(work, "seed", {}), MAIN, "publish", {})
    return tables


@dataclass(frozen=True)
class Job:
    """Starts `on_cluster` on a branch of its own."""

    cluster: Cluster
    endpoint: LakeEndpoint
    tables: Tables
    folder: Path

    def start(self, branch: str) -> subprocess.Popen[str]:
        """Begin; the key is in the environment."""
        self.tables.lake.branch(Branch(branch), MAIN)
        where = (self.endpoint.url, self.tables.lake.repository, self.endpoint.access_key_id, branch)
        conf = f"{self.cluster.conf}spark.driver.maxResultSize 1m\n"
        return program("ml_assets_tests.engines.on_cluster", *where, folder=self.folder, conf=conf)

    def publish(self, branch: str) -> Commit:
        """What the gate does after a write: check, commit, check, merge."""
        lake, tables = self.tables.lake, self.tables
        tables.check_before_commit(Branch(branch))
        commit = lake.commit(Branch(branch), "result", {})
        tables.check_closure(RESULT, commit)
        return lake.merge(commit, MAIN, "publish", {})

    def is_right(self, commit: Commit) -> bool:
        """Whether the result is that of DuckDB."""
        with engine("duckdb", threads=2).session(self.tables) as session:
            expected = session.row_sum(result(session.read(TABLE, MAIN, ["key"])))
        return expected == row_sum(self.tables.scan(RESULT, commit)) and expected.rows == len(SEED) ** 2


@pytest.fixture
def job(
    cluster: Cluster, lake_endpoint: LakeEndpoint, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Job:
    """On the lake of the test."""
    monkeypatch.setenv("LAKE_SECRET", lake_endpoint.secret_access_key.get_secret_value())
    monkeypatch.setenv("PYSPARK_PYTHON", str(cluster.python))
    monkeypatch.setenv("PYSPARK_DRIVER_PYTHON", sys.executable)
    return Job(cluster, lake_endpoint, tables, tmp_path)


def _read_until(running: subprocess.Popen[str], word: str) -> None:
    """Until the program says *word*."""
    assert running.stdout
    said = []
    for line in running.stdout:
        said.append(line)
        if line.startswith(word):
            return
    raise AssertionError("".join(said))


def test_rows_stay_in_the_executors(job: Job) -> None:
    """A driver that takes 1 MB of results reads, writes, digests and judges ten times as much; the key is in no log."""
    with job.start("run-1") as running:
        told, _ = running.communicate(timeout=500)
    assert running.returncode == 0, told
    assert f"audit {{'other: ge': {len(SEED)}}}" in told
    commit = job.publish("run-1")
    assert job.is_right(commit)
    assert job.tables.head(RESULT, commit).bytes > 5 * 2**20
    secret = job.endpoint.secret_access_key.get_secret_value().encode()
    files = [path for folder in (job.folder, job.cluster.folder) for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if secret in path.read_bytes()]


def test_a_killed_executor_costs_time_only(job: Job) -> None:
    """The tasks that it had run anew on others; what is written is right, and nothing of the first try is in it."""
    with job.start("run-1") as running:
        _read_until(running, "writing")
        time.sleep(1)  # anywhere in the write
        victims = job.cluster.executors()
        assert victims
        victims[0].kill()
        told, _ = running.communicate(timeout=500)
    assert running.returncode == 0, told
    assert job.is_right(job.publish("run-1"))


def test_a_killed_driver_publishes_nothing(job: Job) -> None:
    """The target has not moved, and the next run completes."""
    before = job.tables.lake.head(MAIN)
    with job.start("run-1") as running:
        _read_until(running, "writing")
        time.sleep(1)
        running.kill()
    assert job.tables.lake.head(MAIN) == before
    with job.start("run-2") as running:
        told, _ = running.communicate(timeout=500)
    assert running.returncode == 0, told
    assert job.is_right(job.publish("run-2"))


def test_the_packs_pass_on_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """Whose executors are other processes with another Python, to which the functions of the digest travel."""
    (tmp_path / "spark-defaults.conf").write_text(cluster.conf)
    environment = {**os.environ, "SPARK_CONF_DIR": str(tmp_path), "PYSPARK_PYTHON": str(cluster.python)}
    command = [sys.executable, "-m", "pytest", "ml_assets_tests/engines/test_spark.py", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
