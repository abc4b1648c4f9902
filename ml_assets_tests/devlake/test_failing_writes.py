"""A full or broken disk: clients are told, nothing is corrupt, and the server goes on when the disk does."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import secrets
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pydantic import SecretStr

from ml_assets.lib.devlake import files
from ml_assets.lib.devlake.app import App
from ml_assets.lib.devlake.check import check
from ml_assets.lib.devlake.credentials import Credentials
from ml_assets.lib.devlake.database import Transaction
from ml_assets.lib.devlake.failures import refusal
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.server import Endpoint, ensure, root_of, status, stop
from ml_assets.lib.devlake.small_files import SMALL
from ml_assets_tests.devlake.local import REPO, contents
from ml_assets_tests.devlake.test_s3_multipart import Upload
from ml_assets_tests.devlake.wire import Answer, Wire

BRANCH = f"/repositories/{REPO}/branches/main"


@pytest.fixture
def wire(lake: Lake) -> Iterator[Wire]:
    """A connection to a server of *lake* in this process, so that its insides can be made to fail."""
    credentials = Credentials("KEY", SecretStr("secret"))
    server = uvicorn.Server(uvicorn.Config(App(lake, credentials), lifespan="off", ws="none", log_config=None))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        connection = Wire(Endpoint(url, credentials.access_key_id, credentials.secret_access_key))
        yield connection
        connection.close()
        server.should_exit = True
        thread.join()


@dataclass(frozen=True)
class Write:
    """Something that a client writes: *prepare* gives what *send* sends, over and over again."""

    prepare: Callable[[Wire], Any]
    send: Callable[[Wire, Any], Answer]


def started(wire: Wire) -> Upload:
    """A multipart upload with two parts."""
    upload = Upload(wire, REPO, "big")
    for number in (1, 2):
        assert upload.part(number, b"%d" % number).status == 200
    return upload


def staged(wire: Wire) -> None:
    """Something to be committed."""
    assert wire.s3("PUT", f"/{REPO}/main/staged", body=secrets.token_hex(8).encode()).status == 200


def nothing(_wire: Wire) -> None:
    """No preparation."""


def rest_put(size: int) -> Write:
    """An upload through REST."""
    return Write(
        nothing,
        lambda wire, _: wire.rest("POST", f"{BRANCH}/objects", query={"path": "rest"}, body=bytes(size)),
    )


def s3_put(size: int) -> Write:
    """An upload through S3."""
    return Write(nothing, lambda wire, _: wire.s3("PUT", f"/{REPO}/main/s3", body=bytes(size)))


WRITES = {
    "small rest": rest_put(10),
    "large rest": rest_put(SMALL + 1),
    "small s3": s3_put(10),
    "large s3": s3_put(SMALL + 1),
    "part": Write(started, lambda _, upload: upload.part(3, b"3")),
    "complete": Write(started, lambda _, upload: upload.complete()),
    "commit": Write(staged, lambda wire, _: wire.rest("POST", f"{BRANCH}/commits", json_body={"message": "m"})),
}
FILES = ["large rest", "large s3", "part", "complete"]
CODES = {507: "InsufficientStorage", 500: "InternalError"}


def is_told(answer: Answer, expected: int) -> None:
    """The answer is a clear refusal, in the form of its API, and says nothing about the machine."""
    assert answer.status == expected
    if answer.body.startswith(b"{"):
        assert answer.json()["message"].startswith("no space left" if expected == 507 else "internal error")
    else:
        assert answer.code == CODES[expected]
    assert b"/" not in answer.body.replace(b"</", b"").replace(b"/big", b"").replace(b"/s3", b"")


def fails(error: int) -> Callable[..., Any]:
    """A call that fails as the system does."""

    def fail(*_arguments: object) -> None:
        raise OSError(error, os.strerror(error))

    return fail


POINTS: dict[str, Callable[[pytest.MonkeyPatch, int], None]] = {
    "open": lambda patch, error: patch.setattr(files.BlobWriter, "__init__", fails(error)),
    "write": lambda patch, error: patch.setattr(files.BlobWriter, "write_besides_md5", fails(error)),
    "sync": lambda patch, error: patch.setattr(os, "fsync", fails(error)),
    "rename": lambda patch, error: patch.setattr(Path, "rename", fails(error)),
    "sync folder": lambda patch, error: patch.setattr(files, "sync_folder", fails(error)),
}


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("point", POINTS)
def test_the_store_cannot_write(lake: Lake, wire: Wire, tmp_path: Path, point: str, error: int) -> None:
    """Wherever writing a file fails: 507 for a full disk, else 500; nothing is there by halves; then it works."""
    expected = 500 if error == errno.EIO else 507
    assert wire.s3("PUT", f"/{REPO}/main/before", body=b"before").status == 200
    for name in FILES:
        write = WRITES[name]
        prepared = write.prepare(wire)
        before = contents(lake, "main")
        with pytest.MonkeyPatch.context() as patch:
            POINTS[point](patch, error)
            is_told(write.send(wire, prepared), expected)
        assert contents(lake, "main") == before
        assert list((tmp_path / "lake" / "temporary").iterdir()) == []
        assert write.send(wire, prepared).status < 300
    assert contents(lake, "main")["before"] == "before"
    assert check(tmp_path / "lake", pytest.fail).problems == 0


def limit_pages(lake: Lake, most: str) -> None:
    """Let the database grow to *most* pages."""
    lake._database.write(lambda transaction: transaction.one(f"PRAGMA max_page_count={most}"))


def test_the_database_is_full(lake: Lake, wire: Wire, tmp_path: Path) -> None:
    """SQLite says so itself: what does not fit is 507 and leaves no trace, what fits is done, and then all is again."""
    prepared = {name: write.prepare(wire) for name, write in WRITES.items()}
    with lake._database.read() as transaction:
        (pages,) = transaction.one("PRAGMA page_count") or (0,)
    limit_pages(lake, str(pages + 1))
    answers: list[Answer] = []
    while not answers or answers[-1].status == 201:  # fill what is left of the last pages
        path = f"{len(answers)}{'x' * 1000}"
        answers.append(wire.rest("POST", f"{BRANCH}/objects", query={"path": path}, body=b"x"))
    is_told(answers[-1], 507)
    assert len(contents(lake, "main")) == len(answers)  # but for the last one, and with what was prepared
    for name, write in WRITES.items():
        before = contents(lake, "main")
        answer = write.send(wire, prepared[name])
        if answer.status >= 300:
            is_told(answer, 507)
            assert contents(lake, "main") == before
    assert check(tmp_path / "lake", pytest.fail).problems == 0
    limit_pages(lake, "1000000")
    for write in WRITES.values():
        assert write.send(wire, write.prepare(wire)).status < 300
    assert check(tmp_path / "lake", pytest.fail).problems == 0


def test_the_writer_outlives_everything(lake: Lake) -> None:
    """Whatever SQLite says, whoever waits is told, and the thread goes on."""

    def give_up(transaction: Transaction) -> None:
        transaction.run("ROLLBACK")  # as SQLite itself does after some errors
        raise sqlite3.OperationalError("disk I/O error")

    for name in ("one", "two"):
        with pytest.raises(sqlite3.OperationalError, match="disk I/O"):
            lake._database.write(give_up)
        lake.branches.create(REPO, name, "main")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A state folder with a running server."""
    yield tmp_path
    stop(tmp_path)


def test_a_real_disk_fails(home: Path) -> None:
    """The system refuses every write of a real server beyond a size, in files and in SQLite; then it allows them."""
    endpoint = ensure(home)
    pid = status(home).pid
    assert pid is not None
    no_limit = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    with contextlib.closing(Wire(endpoint)) as wire:
        made = wire.rest("POST", "/repositories", json_body={"name": REPO, "storage_namespace": "local://x"})
        assert made.status == 201
        expected: dict[str, bytes] = {}
        for round_ in range(3):
            for number in range(5):
                path = f"{round_}/{number}"
                content = os.urandom(100 if number % 2 else SMALL + 1)
                if wire.s3("PUT", f"/{REPO}/main/{path}", body=content).status == 200:
                    expected[path] = content
            commit = wire.rest("POST", f"{BRANCH}/commits", json_body={"message": "m"})
            assert commit.status == 201
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1000, no_limit[1]))
            for write in (rest_put(10), rest_put(SMALL + 1), s3_put(10), s3_put(SMALL + 1)):
                is_told(write.send(wire, None), 500)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, no_limit)
        for path, content in expected.items():
            assert wire.s3("GET", f"/{REPO}/main/{path}").body == content
    assert len(expected) == 15
    assert check(root_of(home), pytest.fail).problems == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/secret/path"), 507),
        (OSError(errno.EIO, "Input/output error", "/secret/path"), 500),
        (sqlite3.OperationalError("disk I/O error"), 500),
        (MemoryError(), 500),
        (ValueError("secret"), 500),
    ],
)
def test_what_clients_are_told(error: Exception, status: int) -> None:
    """The status, and never the text of an error of the machine."""
    refused = refusal(error, "PUT '/x'")
    assert refused.status == status
    assert "secret" not in str(refused)
