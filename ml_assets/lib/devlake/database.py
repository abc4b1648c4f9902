"""SQLite: snapshots for readers, one writer that commits in groups.

Readers use a connection per thread and see one snapshot (WAL), so they never wait for a writer. All writes run one
after the other; whatever waits when a transaction is opened shares it, and with it the cost of making it durable (group
commit). Whoever waits for a write and finds nobody writing does it himself, with all that waits beside it: no other
thread has to be woken. Each write keeps a savepoint of its own: one that is refused leaves no trace and does not touch
the others.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from ml_assets.lib.devlake import schema

FILE: Final = "lake.db"
"""Where a lake's folder has its database."""

PRAGMAS: Final = (
    "journal_mode=WAL",  # readers do not wait
    "synchronous=FULL",  # a commit is on disk when it returns
    "wal_autocheckpoint=10000",  # 40 MB; mostly it goes into the database before, when nobody waits (CHECKPOINT_ROWS)
    "cache_size=-65536",  # 64 MiB
    "temp_store=FILE",  # what a large commit would have to take back has somewhere to go
    "journal_size_limit=67108864",  # the log of a large commit is given back
)

PATIENCE_MS: Final = 60_000
"""How long a connection waits for one of another process."""

CHECKPOINT_ROWS: Final = 1000
"""Changed rows after which the log goes into the database, once those who wait have their answers."""

GROUP: Final = 64
"""Writes that share a transaction at most: bounds how long the first of them waits."""

T = TypeVar("T")
Row = tuple[Any, ...]
Work = Callable[["Transaction"], T]
_Outcome = tuple[Any, BaseException | None]


class Transaction:
    """One consistent view of the database; a writer's also shows what it has written.

    ``cache`` keeps immutable values by content hash; it may outlive the transaction.
    """

    def __init__(self, connection: sqlite3.Connection, cache: dict[str, Any]) -> None:
        self._connection = connection
        self.cache = cache

    @property
    def is_open(self) -> bool:
        """Whether it goes on: SQLite ends one that it cannot complete."""
        return self._connection.in_transaction

    def one(self, sql: str, *values: object) -> Row | None:
        """The first row, if there is one."""
        row: Row | None = self._connection.execute(sql, values).fetchone()
        return row

    def all(self, sql: str, *values: object) -> list[Row]:
        """All rows."""
        return self._connection.execute(sql, values).fetchall()

    def each(self, sql: str, *values: object) -> Iterator[Row]:
        """The rows one by one, read as they are asked for."""
        return self._connection.execute(sql, values)

    def run(self, sql: str, *values: object) -> int:
        """Change rows. Returns how many."""
        return self._connection.execute(sql, values).rowcount

    def run_many(self, sql: str, rows: Iterable[Row]) -> None:
        """Change rows, once per row of values."""
        self._connection.executemany(sql, rows)


class Database:
    """The database file of a lake."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._cache: dict[str, Any] = {}
        self._waiting: SimpleQueue[tuple[Work[Any], Future[Any]]] = SimpleQueue()
        self._writing = threading.Lock()
        self._writer = connect(path)
        schema.prepare(self._writer, path)
        self._checkpointed = self._writer.total_changes
        self._calls: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(target=self._write_when_called, name="devlake-writer", daemon=True)
        self._thread.start()

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A snapshot. It does not change while the block runs, and waits for nobody."""
        connection = self._reader()
        connection.execute("BEGIN")
        try:
            yield Transaction(connection, self._cache)
        finally:
            connection.execute("COMMIT")

    def look(self) -> Transaction:
        """For a single statement, which is a snapshot of its own: a third of the cost of :meth:`read`."""
        return Transaction(self._reader(), self._cache)

    def write(self, work: Work[T]) -> T:
        """Run *work* in a transaction; when this returns, what it wrote is durable.

        If *work* raises, nothing of it is written, and the error is raised here.
        """
        if self._waiting.empty() and self._writing.acquire(blocking=False):
            try:
                return self._transact(work)
            finally:
                self._end_writing()
        done = self._enqueue(work)
        if self._writing.acquire(blocking=False):
            try:
                while not done.done():
                    self._write_group()
            finally:
                self._end_writing()
        # Else somebody is writing, and sees to it that what waits is written after him.
        return done.result()

    def submit(self, work: Work[T]) -> Future[T]:
        """Like :meth:`write`, without waiting. What is submitted is done: nobody can cancel it, only stop waiting."""
        done = self._enqueue(work)
        self._calls.put(True)
        return done

    def close(self) -> None:
        """Finish the writes that wait, then close. The caller has stopped all others who read and write."""
        self._calls.put(False)
        self._thread.join()
        for connection in (*self._readers, self._writer):
            connection.close()

    def _enqueue(self, work: Work[T]) -> Future[T]:
        done: Future[T] = Future()
        done.set_running_or_notify_cancel()
        self._waiting.put((work, done))
        return done

    def _end_writing(self) -> None:
        self._writing.release()
        if self._is_log_long or not self._waiting.empty():
            self._calls.put(True)

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._path)
            self._readers.append(connection)
        return connection

    def _write_when_called(self) -> None:
        """Write what was submitted, and put a long log into the database, until told to end."""
        going_on = True
        while going_on:
            going_on = self._calls.get()
            with self._writing:
                while not self._waiting.empty():
                    self._write_group()
                if self._is_log_long:
                    self._checkpointed = self._writer.total_changes
                    # If it fails nothing is lost: the log keeps what it has, and the next one tries again.
                    with suppress(sqlite3.Error):
                        self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)")
            if not self._waiting.empty():
                self._calls.put(True)

    @property
    def _is_log_long(self) -> bool:
        return self._writer.total_changes - self._checkpointed > CHECKPOINT_ROWS

    def _write_group(self) -> None:
        """Write what waits, and tell those who wait. For one thread at a time."""
        # Nobody else takes from the queue, so there are as many as it says.
        group = [self._waiting.get() for _ in range(min(self._waiting.qsize(), GROUP))]
        outcomes: list[_Outcome]
        try:
            if len(group) == 1:  # a savepoint would copy every page that changes
                outcomes = [(self._transact(group[0][0]), None)]
            else:
                outcomes = self._transact(lambda transaction: [_write_one(transaction, work) for work, _ in group])
        except BaseException as error:  # noqa: BLE001 - whoever waits is told; who writes goes on for the others
            outcomes = [(None, error)] * len(group)
        for (_, done), (result, refused) in zip(group, outcomes, strict=True):
            if refused is None:
                done.set_result(result)
            else:
                done.set_exception(refused)

    def _transact(self, work: Work[T]) -> T:
        """Run *work* in a transaction of its own. For one thread at a time."""
        connection = self._writer
        try:
            connection.execute("BEGIN IMMEDIATE")
            result = work(Transaction(connection, self._cache))
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # a failing disk may have ended the transaction already
                connection.execute("ROLLBACK")
            raise
        return result


def _write_one(transaction: Transaction, work: Work[Any]) -> _Outcome:
    """Run *work* among others in *transaction*: if it raises, nothing of it stays."""
    transaction.run("SAVEPOINT work")
    try:
        result = work(transaction)
    except BaseException as error:  # handed to the thread that asked, which raises it
        if not transaction.is_open:  # SQLite itself gave up the transaction: the group is lost
            raise
        transaction.run("ROLLBACK TO work")
        transaction.run("RELEASE work")
        return None, error
    transaction.run("RELEASE work")
    return result, None


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the database file of a lake, as everybody uses it."""
    connection = sqlite3.connect(path, timeout=PATIENCE_MS / 1000, isolation_level=None, check_same_thread=False)
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection
