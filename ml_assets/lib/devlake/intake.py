"""Small uploads: those that arrive together are made durable together.

A small object costs little but the waiting for the disk: for its file, for its folder, for its row. So whatever waits
is checked, written to the store as one, and handed to the database as one group.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final

from ml_assets.lib.devlake.database import Database, Transaction
from ml_assets.lib.devlake.errors import DevlakeError
from ml_assets.lib.devlake.grouping import groups, promise
from ml_assets.lib.devlake.store import Blob, Store
from ml_assets.lib.devlake.tree import Entry

SMALL: Final = 1 << 16
"""Bytes up to which an upload is held in memory and goes this way."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A small upload.

    Attributes:
        content: Its bytes.
        check: Refuses it before anything is stored.
        land: Stages it.
    """

    content: bytes
    check: Callable[[Transaction], None]
    land: Callable[[Transaction, Blob], Entry]


class Intake:
    """Takes small uploads from any thread; one thread of its own stores them."""

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store
        self._queue: SimpleQueue[tuple[Arrival, Future[Entry]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._take_until_closed, name="devlake-intake", daemon=True)
        self._thread.start()

    def submit(self, arrival: Arrival) -> Future[Entry]:
        """Store and stage an upload. It is durable when the future is done; a refusal is the future's error."""
        done = promise()
        self._queue.put((arrival, done))
        return done

    def close(self) -> None:
        """Finish what waits. The database must be open until then."""
        self._queue.put(None)
        self._thread.join()

    def _take_until_closed(self) -> None:
        for group in groups(self._queue):
            try:
                self._take(self._welcome(group))
            except BaseException as error:  # noqa: BLE001 - whoever waits is told; the thread must go on for the others
                for _, done in group:
                    if not done.done():
                        done.set_exception(error)

    def _welcome(self, group: list[tuple[Arrival, Future[Entry]]]) -> list[tuple[Arrival, Future[Entry]]]:
        """Those that are not refused."""
        welcome: list[tuple[Arrival, Future[Entry]]] = []
        with self._database.read() as transaction:
            for arrival, done in group:
                try:
                    arrival.check(transaction)
                except DevlakeError as refusal:
                    done.set_exception(refusal)
                else:
                    welcome.append((arrival, done))
        return welcome

    def _take(self, group: list[tuple[Arrival, Future[Entry]]]) -> None:
        blobs = self._store.write_many([arrival.content for arrival, _ in group])
        for (arrival, done), blob in zip(group, blobs, strict=True):
            self._database.submit(_landing(arrival, blob), done)


def _landing(arrival: Arrival, blob: Blob) -> Callable[[Transaction], Any]:
    return lambda transaction: arrival.land(transaction, blob)
