"""Group commit: whatever waits is done together, so that it shares the cost of becoming durable."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final, TypeVar

GROUP: Final = 64
"""Jobs that are done together at most: bounds how long the first of them waits."""

T = TypeVar("T")


def groups(queue: SimpleQueue[T | None]) -> Iterator[list[T]]:
    """What waits in *queue*, group by group, until a ``None`` comes. Waits for the first of each. For one consumer."""
    job = queue.get()
    while job is not None:
        group = [job]
        while len(group) < GROUP and not queue.empty():
            job = queue.get()
            if job is None:
                break
            group.append(job)
        yield group
        job = job and queue.get()


def promise() -> Future[Any]:
    """The outcome of a job that will be done: nobody can cancel it, only stop waiting."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future
