"""What becomes durable when. A kill leaves the page cache alone, a power failure does not: so the order is what counts.

Recorded are the syncs of files and folders, renames, and commits of SQLite, which syncs its log by itself.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_assets.lib.devlake import database
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.small_files import SMALL
from ml_assets_tests.devlake.local import REPO, USER, commit, opened, pieces, put

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
            found.store.files._durable.add(tmp_path / "lake" / "objects" / f"{number:02x}")
        seen.clear()
        yield found


@pytest.mark.parametrize("size", [SMALL + 1, 3_000_000])
def test_an_upload(lake: Lake, seen: list[str], size: int) -> None:
    """The file, its name, its folder, and only then the row; and the answer only after that."""
    put(lake, "main", "a", "x" * size)
    assert seen == [*NEW_FILE, "row"]


@pytest.mark.parametrize("size", [0, SMALL])
def test_a_small_upload(lake: Lake, seen: list[str], size: int) -> None:
    """Its bytes and its row are one transaction."""
    put(lake, "main", "a", "x" * size)
    assert seen == ["row"]


def test_small_uploads_together(lake: Lake, seen: list[str]) -> None:
    """Those that arrive together share a transaction, and with it the wait for the disk."""

    async def all_of_them() -> None:
        uploads = (
            lake.objects.upload(REPO, "main", f"{n}", pieces(b"%d" % n), content_type=str, metadata={})
            for n in range(20)
        )
        await asyncio.gather(*uploads)

    def wait_for_them(_transaction: database.Transaction) -> None:
        while lake._database._waiting.qsize() < 20:
            time.sleep(0.001)

    lake._database.submit(wait_for_them)
    asyncio.run(all_of_them())
    assert seen == ["row", "row"]  # of who waited, and of all of them


def test_a_new_folder_is_durable_before_its_files(tmp_path: Path, seen: list[str]) -> None:
    """The name of the folder itself is made durable before the first file in it gets its own."""
    with opened(tmp_path / "fresh") as fresh:
        seen.clear()
        put(fresh, "main", "a", "a" * (SMALL + 1))
        assert seen == ["sync file", "sync folder", "rename", "sync folder", "row"]


def test_a_multipart_upload(lake: Lake, seen: list[str]) -> None:
    """Each part is durable before its row; the list of parts before the row of the object, which ends the upload."""
    started = lake.uploads.create(REPO, "main", "big", content_type="", metadata={})
    assert seen == ["row"]
    for number in (1, 2):
        seen.clear()
        lake.uploads.put_part(REPO, started, number, lake.store.files.write(b"%d" % number))
        assert seen == [*NEW_FILE, "row"]
    seen.clear()
    lake.uploads.complete(REPO, started)
    assert seen == [*NEW_FILE, "row"]


def test_commits_and_merges_are_one_transaction(lake: Lake, seen: list[str]) -> None:
    """They write rows alone, all of them at once."""
    lake.branches.create(REPO, "dev", "main")
    put(lake, "main", "a", "a")
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
