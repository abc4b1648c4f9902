"""Things that are done one after the other, beside whatever else a pool of threads does."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Final, Generic, TypeVar

TURN: Final = 16
"""Things after which a thread is given back, so that others get their turn."""

T = TypeVar("T")


class SequentialExecutor(Generic[T]):
    """Does *act* with one thing after the other. It takes a thread of *pool* only while there is something to do.

    The thread stays until nothing is left: waking another for each thing costs more than most things, and an operating
    system puts a thread that was just woken beside the one that woke it, where both share a core.
    """

    def __init__(self, pool: Executor, act: Callable[[T], object]) -> None:
        self._pool = pool
        self._act = act
        self._lock = threading.Lock()
        self._waiting: deque[tuple[T, Future[None]]] = deque()
        self._running = False

    def submit(self, thing: T) -> Future[None]:
        """Do *act* with *thing*, after all that was submitted before, whether that fails or not."""
        done: Future[None] = Future()
        with self._lock:
            self._waiting.append((thing, done))
            start, self._running = not self._running, True
        if start:
            self._pool.submit(self._run)
        return done

    def _run(self) -> None:
        for _ in range(TURN):
            with self._lock:
                if not self._waiting:
                    self._running = False
                    return
                thing, done = self._waiting.popleft()
            if done.set_running_or_notify_cancel():
                try:
                    self._act(thing)
                except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                    done.set_exception(error)
                else:
                    done.set_result(None)
        self._pool.submit(self._run)
