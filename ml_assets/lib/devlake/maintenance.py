"""A lake opened to be looked after: by its folder, in the caller's own process, whether a server runs on it or not.

Collecting garbage, checking and backing up are no calls of lakeFS's API, so they are none of the server's either. They
work on the same files through SQLite, whose write lock holds between processes: they need no running server, take
nothing from one that answers clients, and can be killed like any client.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout
from tenacity import RetryError, Retrying, retry_if_exception, stop_after_delay, wait_fixed

from ml_assets.lib.core.errors import LakeError
from ml_assets.lib.devlake import schema
from ml_assets.lib.devlake.database import FILE, PATIENCE_MS, Transaction, connect
from ml_assets.lib.devlake.files import Files
from ml_assets.lib.devlake.store import Store

LOCK: Final = "maintenance.lock"
"""Held while a lake is looked after, so that nothing is collected that is being checked or backed up."""

TURN_S: Final = 60.0
"""How long a write waits for those of clients."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A lake that is being looked after."""

    connection: sqlite3.Connection
    store: Store

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A snapshot, for as long as the block runs."""
        self.connection.execute("BEGIN")
        with self._transaction() as transaction:
            yield transaction

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction beside which nobody writes. If the block raises, nothing of it is written.

        Raises:
            LakeError: Clients wrote all the time.
        """
        self._wait_for_turn()
        with self._transaction() as transaction:
            yield transaction

    def _wait_for_turn(self) -> None:
        """Begin to write.

        SQLite's own waiting asks ten times a second. A busy server gives the lock back for an instant only, which would
        be missed for minutes.
        """
        asking = Retrying(
            retry=retry_if_exception(_is_busy), wait=wait_fixed(0.001), stop=stop_after_delay(TURN_S), sleep=time.sleep
        )
        self.connection.execute("PRAGMA busy_timeout=0")
        try:
            asking(self.connection.execute, "BEGIN IMMEDIATE")
        except RetryError:
            raise LakeError(
                f"clients kept writing to the lake for {TURN_S:.0f} s", remedy="try again when they are done"
            ) from None
        finally:
            self.connection.execute(f"PRAGMA busy_timeout={PATIENCE_MS}")

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        try:
            yield Transaction(self.connection, {})
            self.connection.execute("COMMIT")
        finally:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")


@contextmanager
def opened(root: Path) -> Iterator[Opened]:
    """The lake in *root*, which nobody else looks after meanwhile.

    Raises:
        LakeError: There is no lake, or somebody else is looking after it.
        SchemaVersionError: It was written by a newer version of this project.
    """
    path = root / FILE
    if not path.is_file():
        raise LakeError(f"there is no lake in {root}", remedy="name the folder that holds lake.db")
    with exclusive(root), closing(connect(path)) as connection:
        schema.prepare(connection, path)
        with closing(Files(root)) as files:
            yield Opened(connection, Store(files, lambda: Transaction(connection, {})))


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_BUSY


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Keep others from looking after the lake in *root*.

    Raises:
        LakeError: Somebody does.
    """
    try:
        held = FileLock(root / LOCK).acquire(timeout=0)
    except Timeout:
        raise LakeError(
            f"another process collects, checks or backs up {root}", remedy="try again when it is done"
        ) from None
    with held:
        yield
