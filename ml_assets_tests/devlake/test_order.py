"""What becomes durable when. A kill leaves the page cache alone, a power failure does not: so the order is what counts.

Recorded are the syncs of files and folders, renames, and commits of SQLite, which syncs its log by itself.
"""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ml_assets.lib.devlake import database
from ml_assets.lib.devlake.intake import SMALL
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.tree import Entry
from ml_assets_tests.devlake.local import REPO, USER, commit, opened

NEW_FILE = ["sync file", "rename", "sync folder"]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What has been done since it was last cleared."""
    done: list[str] = []
    fsync, rename, connect = os.fsync, Path.rename, database.connect

    def watched_fsync(descriptor: int) -> None:
        fsync(descriptor)
        done.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")

    def watched_rename(path: Path, target: Path) -> Path:
        done.append("rename")
        return rename(path, target)

    connections: list[sqlite3.Connection] = []

    def watched_connect(path: Path) -> sqlite3.Connection:
        connections.append(connection := connect(path))
        if len(connections) == 1:  # the first connection to a database is its writer's
            connection.set_trace_callback(lambda sql: done.append("row") if sql == "COMMIT" else None)
        return connection

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "rename", watched_rename)
    monkeypatch.setattr(database, "connect", watched_connect)
    return done


@pytest.fixture
def lake(seen: list[str], tmp_path: Path) -> Iterator[Lake]:
    """A lake whose folders all exist, so that only what belongs to a call is seen."""
    with opened(tmp_path / "lake") as found:
        for number in range(256):
            (tmp_path / "lake" / "objects" / f"{number:02x}").mkdir()
            found.store._durable.add(tmp_path / "lake" / "objects" / f"{number:02x}")
        seen.clear()
        yield found


async def one(content: bytes) -> AsyncIterator[bytes]:
    """*content* in one piece."""
    yield content


def upload(lake: Lake, path: str, content: bytes) -> Entry:
    """An upload, as both APIs do it."""
    sending = lake.objects.upload(REPO, "main", path, one(content), content_type=str, metadata={})
    return asyncio.run(sending)


@pytest.mark.parametrize("size", [0, SMALL, SMALL + 1, 3_000_000])
def test_an_upload(lake: Lake, seen: list[str], size: int) -> None:
    """The file, its name, its folder, and only then the row; and the answer only after that."""
    upload(lake, "a", bytes(size))
    assert seen == [*NEW_FILE, "row"]


def test_uploads_together(lake: Lake, seen: list[str]) -> None:
    """Uploads that arrive together: all files before all names, all folders before any row."""

    async def all_of_them() -> None:
        uploads = (
            lake.objects.upload(REPO, "main", f"{n}", one(f"{n}".encode()), content_type=str, metadata={})
            for n in range(20)
        )
        await asyncio.gather(*uploads)

    asyncio.run(all_of_them())
    letters = {"sync file": "f", "rename": "n", "sync folder": "d", "row": ""}  # rows of one round fall into the next
    events = "".join(letters[event] for event in seen)
    assert re.fullmatch("(f+n+d+)+", events)
    assert all(round_.count("f") == round_.count("n") for round_ in re.findall("f+n+", events))
    assert events.count("n") == 20
    assert seen[-1] == "row"


def test_a_new_folder_is_durable_before_its_files(tmp_path: Path, seen: list[str]) -> None:
    """The name of the folder itself is made durable before the first file in it gets its own."""
    with opened(tmp_path / "fresh") as fresh:
        seen.clear()
        upload(fresh, "a", b"a")
        assert seen == ["sync file", "sync folder", "rename", "sync folder", "row"]


def test_a_multipart_upload(lake: Lake, seen: list[str]) -> None:
    """Each part is durable before its row; the list of parts before the row of the object, which ends the upload."""
    started = lake.uploads.create(REPO, "main", "big", content_type="", metadata={})
    assert seen == ["row"]
    for number in (1, 2):
        seen.clear()
        lake.uploads.put_part(REPO, started, number, lake.store.write(b"%d" % number))
        assert seen == [*NEW_FILE, "row"]
    seen.clear()
    lake.uploads.complete(REPO, started)
    assert seen == [*NEW_FILE, "row"]


def test_commits_and_merges_are_one_transaction(lake: Lake, seen: list[str]) -> None:
    """They write rows alone, all of them at once."""
    lake.branches.create(REPO, "dev", "main")
    upload(lake, "a", b"a")
    seen.clear()
    commit(lake, "main")
    assert seen == ["row"]
    seen.clear()
    lake.merges.merge(REPO, "main", "dev", committer=USER)
    assert seen == ["row"]


def test_sqlite_syncs_every_commit(lake: Lake) -> None:
    """It is told to write a log, and to sync it at every commit."""

    def settings(transaction: database.Transaction) -> list[object]:
        rows = (transaction.one(f"PRAGMA {name}") for name in ("journal_mode", "synchronous"))
        return [row[0] for row in rows if row is not None]

    full = 2
    assert lake._database.write(settings) == ["wal", full]
