"""Snapshots, groups of writes, and refusals that leave no trace."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ml_assets.lib.devlake.database import Database, Transaction
from ml_assets.lib.devlake.errors import Invalid
from ml_assets.lib.devlake.schema import VERSION, SchemaVersionError

INSERT = "INSERT INTO tag (repository, name, commit_id) VALUES ('r', ?, '')"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    found = Database(tmp_path / "lake.db")
    yield found
    found.close()


def tags(transaction: Transaction) -> list[str]:
    """The names of all tags."""
    return [name for (name,) in transaction.each("SELECT name FROM tag ORDER BY name")]


def test_a_refused_write_leaves_no_trace_and_the_others_land(database: Database) -> None:
    """Writes that share a transaction do not share their fate."""

    def work(number: int) -> int:
        def insert(transaction: Transaction) -> int:
            transaction.run(INSERT, f"{number:03}")
            if number % 3 == 0:
                raise Invalid(str(number))
            return number

        with contextlib.suppress(Invalid):
            return database.write(insert)
        return -1

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(work, range(200)))
    landed = [number for number in range(200) if number % 3]
    assert [number for number in outcomes if number >= 0] == landed
    with database.read() as transaction:
        assert tags(transaction) == [f"{number:03}" for number in landed]


def test_waiting_writes_share_a_transaction(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits while a transaction is committed goes into the next one together."""
    entered, release = threading.Event(), threading.Event()
    sizes: list[int] = []
    write_group = Database._write_group

    def counted(self: Database, connection: sqlite3.Connection, group: list[Any]) -> None:
        sizes.append(len(group))
        write_group(self, connection, group)

    def block(_transaction: Transaction) -> None:
        entered.set()
        release.wait(10)

    monkeypatch.setattr(Database, "_write_group", counted)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(database.write, block)]
        entered.wait(10)
        waiting += [pool.submit(database.write, lambda tx, n=n: tx.run(INSERT, str(n))) for n in range(6)]
        while database._queue.qsize() < 6:
            time.sleep(0.001)
        release.set()
        for done in waiting:
            done.result(10)
    assert sizes == [1, 6]


def test_readers_do_not_wait_and_see_a_snapshot(database: Database) -> None:
    """While a write is under way, a read answers with what was before; a snapshot stays as it is after the commit."""
    inserted, release = threading.Event(), threading.Event()

    def slow(transaction: Transaction) -> None:
        transaction.run(INSERT, "new")
        inserted.set()
        release.wait(10)

    with ThreadPoolExecutor(1) as pool, database.read() as before:
        assert tags(before) == []
        writing = pool.submit(database.write, slow)
        inserted.wait(10)
        assert tags(before) == []
        release.set()
        writing.result(10)
        assert tags(before) == []
    with database.read() as after:
        assert tags(after) == ["new"]


def test_writes_go_on_after_an_error_of_the_machine(database: Database) -> None:
    """Whatever a write raises, whoever asked is told, and the next write works."""

    def broken(_transaction: Transaction) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        database.write(broken)
    with pytest.raises(sqlite3.OperationalError):
        database.write(lambda transaction: transaction.run("nonsense"))
    database.write(lambda transaction: transaction.run(INSERT, "fine"))
    with database.read() as transaction:
        assert tags(transaction) == ["fine"]


def test_closing_finishes_what_waits(tmp_path: Path) -> None:
    """What was asked before the end is written."""
    database = Database(tmp_path / "lake.db")
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(database.write, lambda tx, n=n: tx.run(INSERT, str(n))) for n in range(8)]
        for done in waiting:
            done.result(10)
    database.close()
    reopened = Database(tmp_path / "lake.db")
    with reopened.read() as transaction:
        assert len(tags(transaction)) == 8
    reopened.close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """A database of a newer version is left alone, and the error says what to do."""
    Database(tmp_path / "lake.db").close()
    connection = sqlite3.connect(tmp_path / "lake.db")
    connection.execute(f"PRAGMA user_version={VERSION + 1}")
    connection.close()
    with pytest.raises(SchemaVersionError, match="upgrade ml_assets"):
        Database(tmp_path / "lake.db")
