"""SQLite: snapshots for readers, one writer thread that commits in groups.

Readers use a connection per thread and see one snapshot (WAL), so they never wait for a writer. All writes run one
after the other in one thread; whatever waits when a transaction is opened shares it, and with it the cost of making it
durable (group commit). Each write keeps a savepoint of its own: one that is refused leaves no trace and does not touch
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
from ml_assets.lib.devlake.grouping import groups, promise

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

CHECKPOINT_ROWS: Final = 1000
"""Changed rows after which the log goes into the database, once those who wait have their answers."""

T = TypeVar("T")
Row = tuple[Any, ...]
Work = Callable[["Transaction"], T]


class Transaction:
    """One consistent view of the database; a writer's also shows what it has written.

    ``cache`` keeps immutable values by content hash; it may outlive the transaction.
    """

    def __init__(self, connection: sqlite3.Connection, cache: dict[str, Any]) -> None:
        self._connection = connection
        self.cache = cache

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
        self._queue: SimpleQueue[tuple[Work[Any], Future[Any]] | None] = SimpleQueue()
        writer = connect(path)
        schema.prepare(writer, path)
        self._thread = threading.Thread(target=self._write_until_closed, args=(writer,), name="devlake-writer")
        self._thread.daemon = True
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
        result: T = self.submit(work, promise()).result()
        return result

    def submit(self, work: Work[T], done: Future[T]) -> Future[T]:
        """Like :meth:`write`, without waiting: the outcome goes to *done*, a :func:`promise`."""
        self._queue.put((work, done))
        return done

    def close(self) -> None:
        """Finish the writes that wait, then close. The caller has stopped all readers."""
        self._queue.put(None)
        self._thread.join()
        for connection in self._readers:
            connection.close()

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._path)
            self._readers.append(connection)
        return connection

    def _write_until_closed(self, connection: sqlite3.Connection) -> None:
        since = 0
        for group in groups(self._queue):
            self._write_group(connection, group)
            if connection.total_changes - since > CHECKPOINT_ROWS:
                since = connection.total_changes
                # If it fails nothing is lost: the log keeps what it has, and the next one tries again.
                with suppress(sqlite3.Error):
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        connection.close()

    def _write_group(self, connection: sqlite3.Connection, group: list[tuple[Work[Any], Future[Any]]]) -> None:
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [(done, *self._write_one(connection, work)) for work, done in group]
            connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - whoever waits is told; the thread must go on for the others
            with suppress(sqlite3.Error):  # a failing disk may have ended the transaction already
                connection.execute("ROLLBACK")
            outcomes = [(done, None, error) for _, done in group]
        for done, result, refused in outcomes:
            if refused is None:
                done.set_result(result)
            else:
                done.set_exception(refused)

    def _write_one(self, connection: sqlite3.Connection, work: Work[Any]) -> tuple[Any, BaseException | None]:
        connection.execute("SAVEPOINT work")
        try:
            result = work(Transaction(connection, self._cache))
        except BaseException as error:  # handed to the thread that asked, which raises it
            if not connection.in_transaction:  # SQLite itself gave up the transaction: the group is lost
                raise
            connection.execute("ROLLBACK TO work")
            connection.execute("RELEASE work")
            return None, error
        connection.execute("RELEASE work")
        return result, None


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the database file of a lake, as everybody uses it."""
    connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection
