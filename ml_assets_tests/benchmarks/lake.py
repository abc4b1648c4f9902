"""The embedded lake against a prototype of it and a real lakeFS, interleaved, as ratios; and at a million objects.

``LAKE_PROTOTYPE`` is the folder of the prototype, if there is one: ``server.py PORT`` serves what is in ``LKROOT``,
with the keys of its line ``AK,SK='…','…'``. The real lakeFS is that of ``LAKECTL_SERVER_ENDPOINT_URL`` and its keys.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from pydantic import SecretStr

from ml_assets.lib.devlake import probe, server, staging
from ml_assets.lib.devlake.database import FILE, Database, Transaction
from ml_assets.lib.devlake.files import Blob
from ml_assets.lib.devlake.objects import entry_of
from ml_assets.lib.devlake.server import Endpoint
from ml_assets_tests.benchmarks.connections import Connection, Writer, seconds, seconds_in_parallel
from ml_assets_tests.devlake.wire import Pairs

ROUNDS: Final = 7
CLIENTS: Final = 16
BULK: Final = 100_000
MANY: Final = 1_000_000
KIB: Final = b"x" * 1024
STAGED: Final = "staged"
"""The branch on which things stay uncommitted."""

_COUNT: Final = itertools.count()


@dataclass
class Candidate:
    """A server, a repository in it, and a way to stage many objects there without uploading each.

    Attributes:
        fill: Stages so many objects on ``main`` of a repository.
        pid: Of the server; 0 if it is not ours.
    """

    name: str
    endpoint: Endpoint
    fill: Callable[[str, int], None]
    pid: int = 0
    repository: str = ""

    def __post_init__(self) -> None:
        self.writer = Writer(self.endpoint)
        self.connection = Connection(self.endpoint)
        self.repository = self.create()

    def create(self) -> str:
        """A new repository. Returns its name."""
        name = f"bench-{secrets.token_hex(6)}"
        self.ask("POST", "/repositories", {"name": name, "storage_namespace": f"local://{name}"})
        self.ask("POST", f"/repositories/{name}/branches", {"name": STAGED, "source": "main"})
        return name

    def ask(self, method: str, path: str, json_body: object = None) -> bytes:
        """A call of the REST API."""
        return self.connection.ask(self.writer.write_rest(method, path, json_body))

    def rest(self, method: str, path: str, json_body: object = None, *, query: Pairs = (), body: bytes = b"") -> bytes:
        """A call about the repository, written down."""
        return self.writer.write_rest(
            method, f"/repositories/{self.repository}{path}", json_body, query=query, body=body
        )

    def put(self, path: str, branch: str) -> bytes:
        """An upload of 1 KiB that nobody has uploaded before, written down."""
        return self.rest("POST", f"/branches/{branch}/objects", query={"path": path}, body=os.urandom(1024))


def uploads(lake: Candidate) -> float:
    """16 clients upload 1 KiB: seconds for each object."""
    shares = [[lake.put(f"up/{next(_COUNT)}", STAGED) for _ in range(20)] for _ in range(CLIENTS)]
    return seconds_in_parallel(lake.endpoint, shares) / (CLIENTS * 20)


def gets(lake: Candidate) -> float:
    """16 clients get 1 KiB over S3: seconds for each object."""
    lake.connection.ask(lake.put("get", STAGED))
    request = lake.writer.write_s3("GET", f"/{lake.repository}/{STAGED}/get")
    return seconds_in_parallel(lake.endpoint, [[request] * 40] * CLIENTS) / (CLIENTS * 40)


def large_upload(lake: Candidate) -> float:
    """An upload over S3 of 8 MiB that nobody has uploaded before."""
    path = f"/{lake.repository}/{STAGED}/large"
    return seconds(lake.connection, [lake.writer.write_s3("PUT", path, os.urandom(8 << 20))])


def bulk_commit(lake: Candidate) -> float:
    """The first commit of a hundred thousand objects."""
    lake.repository = lake.create()
    lake.fill(lake.repository, BULK)
    return seconds(lake.connection, [lake.rest("POST", "/branches/main/commits", {"message": "bulk"})])


def list_1000(lake: Candidate) -> float:
    """A listing of 1,000 committed objects."""
    request = lake.rest("GET", "/refs/main/objects/ls", query={"prefix": "data/0050/", "amount": "1000"})
    assert len(json.loads(lake.connection.ask(request))["results"]) == 1000
    return seconds(lake.connection, [request] * 5) / 5


def stat(lake: Candidate) -> float:
    """A stat of one of 100,000 objects."""
    return (
        seconds(lake.connection, [lake.rest("GET", "/refs/main/objects/stat", query={"path": key(BULK // 2)})] * 100)
        / 100
    )


def branch(lake: Candidate) -> float:
    """A new branch."""
    bodies = [{"name": f"b{next(_COUNT)}", "source": "main"} for _ in range(10)]
    return seconds(lake.connection, [lake.rest("POST", "/branches", body) for body in bodies]) / 10


def changes(lake: Candidate) -> Iterator[tuple[str, float]]:
    """A commit of one change, the difference it makes, and its merge, among 100,000 objects."""
    name = f"c{next(_COUNT)}"
    lake.connection.ask(lake.rest("POST", "/branches", {"name": name, "source": "main"}))
    lake.connection.ask(lake.put(f"new/{name}", name))
    yield (
        "commit of one change",
        seconds(lake.connection, [lake.rest("POST", f"/branches/{name}/commits", {"message": "m"})]),
    )
    yield "diff", seconds(lake.connection, [lake.rest("GET", f"/refs/main/diff/{name}")])
    yield "merge", seconds(lake.connection, [lake.rest("POST", f"/refs/{name}/merge/main", {})])


MEASURES: Final[tuple[tuple[str, str, Callable[[Candidate], float]], ...]] = (
    ("1 KiB uploads of 16 clients", "at most 0.48 of the prototype's time, goal 0.33", uploads),
    ("S3 GETs of 16 clients", "at most 0.67", gets),
    ("8 MiB upload", "at most 0.75", large_upload),
    ("list of 1,000", "at most 0.6", list_1000),
    ("stat", "at most 1", stat),
    ("new branch", "at most 1", branch),
)
ONE_CHANGE: Final = ("commit of one change", "diff", "merge")


def measure() -> Iterator[str]:
    """Lines with the figures: medians, and the median of the ratios of each round."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        lakes = [stack.enter_context(found) for found in candidates(Path(folder))]
        yield from _compared("first commit of 100,000", "at most 0.6", [[bulk_commit(lake) for lake in lakes]], lakes)
        for name, goal, run in MEASURES:
            rounds = [[run(lake) for lake in lakes] for _ in range(ROUNDS)]
            yield from _compared(name, goal, rounds, lakes)
        found = [[dict(changes(lake)) for lake in lakes] for _ in range(ROUNDS)]
        for name in ONE_CHANGE:
            yield from _compared(name, "at most 1", [[each[name] for each in one] for one in found], lakes)
        yield from _a_million(lakes[0])


def _compared(name: str, goal: str, rounds: list[list[float]], lakes: list[Candidate]) -> Iterator[str]:
    times = zip(lakes, zip(*rounds, strict=True), strict=True)
    medians = ", ".join(f"{lake.name} {statistics.median(found) * 1000:.2f} ms" for lake, found in times)
    ratios = [
        f"{statistics.median(one[0] / one[number] for one in rounds):.2f} of {lake.name}"
        for number, lake in enumerate(lakes)
        if number
    ]
    yield f"{name}: {medians}" + (f"; {', '.join(ratios)} ({goal} of the prototype)" if ratios else "")


def _a_million(lake: Candidate) -> Iterator[str]:
    lake.repository = lake.create()
    lake.fill(lake.repository, MANY)
    first = seconds(lake.connection, [lake.rest("POST", "/branches/main/commits", {"message": "a million"})])
    commits = [dict(changes(lake))["commit of one change"] for _ in range(20)]
    one, resident = statistics.median(commits) * 1000, psutil.Process(lake.pid).memory_info().rss / 2**20
    yield f"a million objects: first commit {first:.1f} s, commit of one change {one:.1f} ms (at most 25)"
    yield f"  resident {resident:.0f} MiB (at most 300)"


def key(number: int) -> str:
    """Where an object lies: folders of a thousand."""
    return f"data/{number // 1000:04}/{number % 1000:03}.parquet"


def candidates(folder: Path) -> Iterator[AbstractContextManager[Candidate]]:
    """The embedded lake first, then what else there is."""
    yield embedded(folder)
    if code := os.environ.get("LAKE_PROTOTYPE"):
        yield prototype(Path(code).resolve(), folder)
    if "LAKECTL_SERVER_ENDPOINT_URL" in os.environ:
        yield real()


@contextmanager
def embedded(folder: Path) -> Iterator[Candidate]:
    """The embedded lake, started as the others are: detached, it would be scheduled apart from its clients."""
    home = folder / "embedded"
    home.mkdir()
    command = [sys.executable, "-m", server.MODULE, "--home", str(home)]

    def fill(repository: str, count: int) -> None:
        def work(transaction: Transaction) -> None:
            for number in range(count):
                blob = Blob(address="0" * 64, size=1024, md5=f"{number:032x}", sha256="0" * 64)
                staging.put(transaction, repository, "main", entry_of(key(number), blob, "x/y", {}))

        with closing(Database(server.root_of(home) / FILE)) as database:
            database.write(work)

    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            while server.status(home).url is None:
                assert process.poll() is None, "the lake does not start"
                time.sleep(0.1)
            yield Candidate("embedded", server.ensure(home), fill, process.pid)
        finally:
            process.terminate()


@contextmanager
def prototype(code: Path, folder: Path) -> Iterator[Candidate]:
    """The prototype in the folder *code*."""
    keys = re.search(r"^AK,SK='(.+?)','(.+?)'", (code / "server.py").read_text(), re.MULTILINE)
    assert keys, "the prototype says what its keys are"
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    root = folder / "prototype"
    environment = {**os.environ, "LKROOT": str(root), "PYTHONDONTWRITEBYTECODE": "1"}

    def fill(repository: str, count: int) -> None:
        with closing(sqlite3.connect(root / "meta.db", timeout=60)) as database, database:
            (token,) = database.execute("SELECT token FROM branch WHERE repo = ?", (repository,)).fetchone()
            rows = ((token, key(number).encode(), f"{number:032x}") for number in range(count))
            database.executemany("INSERT INTO staging VALUES (?, ?, 1024, ?, 'none', 0, 'x/y', '{}')", rows)

    with subprocess.Popen([sys.executable, str(code / "server.py"), str(port)], cwd=folder, env=environment) as process:
        try:
            endpoint = Endpoint(f"http://127.0.0.1:{port}", keys[1], SecretStr(keys[2]))
            while not probe.is_healthy(endpoint.url):
                assert process.poll() is None, "the prototype does not start"
                time.sleep(0.1)
            yield Candidate("prototype", endpoint, fill)
        finally:
            process.terminate()


@contextmanager
def real() -> Iterator[Candidate]:
    """The real lakeFS."""
    names = ("LAKECTL_CREDENTIALS_ACCESS_KEY_ID", "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY")
    access_key_id, secret_access_key = (os.environ[name] for name in names)
    endpoint = Endpoint(os.environ["LAKECTL_SERVER_ENDPOINT_URL"], access_key_id, SecretStr(secret_access_key))

    def fill(repository: str, count: int) -> None:
        path = f"/repositories/{repository}/branches/main/objects"
        writer = Writer(endpoint)
        shares = [
            [
                writer.write_rest("POST", path, query={"path": key(number)}, body=KIB)
                for number in range(first, count, CLIENTS)
            ]
            for first in range(CLIENTS)
        ]
        seconds_in_parallel(endpoint, shares)

    yield Candidate("lakeFS", endpoint, fill)
