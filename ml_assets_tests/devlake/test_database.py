"""Snapshots, groups of writes, and refusals that leave no trace."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

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


def insert(name: str, transaction: Transaction) -> int:
    """Write a tag."""
    return transaction.run(INSERT, name)


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

    def counted(self: Database) -> None:
        sizes.append(self._waiting.qsize())
        write_group(self)

    def block(_transaction: Transaction) -> None:
        entered.set()
        release.wait(10)

    monkeypatch.setattr(Database, "_write_group", counted)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(database.write, block)]
        entered.wait(10)
        waiting += [pool.submit(database.write, lambda tx, n=n: tx.run(INSERT, str(n))) for n in range(6)]
        while database._waiting.qsize() < 6:
            time.sleep(0.001)
        release.set()
        for done in waiting:
            done.result(10)
    assert sizes == [6]


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


def test_submitted_writes_need_nobody_who_waits(database: Database) -> None:
    """They are done without one, also while others wait for theirs, each once and in order; and so are many."""
    entered, release = threading.Event(), threading.Event()

    def block(_transaction: Transaction) -> None:
        entered.set()
        release.wait(10)

    blocked = database.submit(block)
    entered.wait(10)
    submitted = [database.submit(partial(insert, f"{n:04}")) for n in range(1000)]
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(database.write, tags) for _ in range(4)]
        release.set()
        expected = [f"{number:04}" for number in range(1000)]
        assert [done.result(10) for done in waiting] == [expected] * 4
    assert [done.result(10) for done in submitted] == [1] * 1000
    blocked.result(10)


def test_nobody_waits_for_those_who_come_later(database: Database) -> None:
    """Whose write is done is told so, though others submit more and more."""
    going_on = threading.Event()
    going_on.set()

    def again(_transaction: Transaction) -> None:
        if going_on.is_set():
            database.submit(again)

    database.submit(again)
    try:
        with ThreadPoolExecutor(1) as pool:
            for _ in range(20):
                assert pool.submit(database.write, tags).result(10) == []
            going_on.clear()
    finally:
        going_on.clear()


def test_what_was_submitted_is_written_before_it_closes(tmp_path: Path) -> None:
    """Closing waits for it."""
    database = Database(tmp_path / "other.db")
    submitted = [database.submit(partial(insert, str(n))) for n in range(100)]
    database.close()
    assert [done.result(0) for done in submitted] == [1] * 100
