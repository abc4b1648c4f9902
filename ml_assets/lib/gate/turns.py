"""Advisory locks between the processes of one machine: waiting is bounded, and correctness never rests on them."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil
from filelock import FileLock, Timeout

from ml_assets.lib.core.process import Process

PATIENCE_S: Final = 600
"""Seconds to wait for a lock before going on without it."""
REMIND_S: Final = 30
"""Seconds between two log messages of a process that waits."""
_LOG: Final = logging.getLogger(__name__)


@contextmanager
def turn(lock: Path, what: str) -> Iterator[bool]:
    """Hold *lock*, or go on without it after `PATIENCE_S`; what is in the block runs either way.

    While waiting, the process that holds the lock is logged: one that is stopped (Ctrl-Z) would keep it for ever.

    Args:
        lock: The lock file; its folder is made.
        what: What the lock is for, for the log.

    Yields:
        Whether the lock is held.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    file = FileLock(lock)
    if not _acquired(file, lock, what):
        yield False
        return
    note = _note_of(lock)
    try:
        note.write_text(json.dumps(Process.here().as_text()))
        yield True
    finally:
        note.unlink(missing_ok=True)
        file.release()


def _acquired(file: FileLock, lock: Path, what: str) -> bool:
    begun = time.monotonic()
    while True:
        left = PATIENCE_S - (time.monotonic() - begun)
        try:
            file.acquire(timeout=max(0.0, min(REMIND_S, left)))
        except Timeout:
            if left > REMIND_S:
                _LOG.warning("%s: waiting for %s, held by %s", what, lock, holder(lock))
                continue
            _LOG.warning(
                "%s: %s was not free in %s s (held by %s); going on without it", what, lock, PATIENCE_S, holder(lock)
            )
            return False
        return True


def holder(lock: Path) -> str:
    """The process that holds *lock*, as far as it said so."""
    try:
        found = Process.from_text(json.loads(_note_of(lock).read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that is not known"
    try:
        state = psutil.Process(found.pid).status() if found.is_alive() else "ended"
    except psutil.NoSuchProcess:
        state = "ended"
    return f"process {found.pid} on {found.host} ({state})"


def _note_of(lock: Path) -> Path:
    """The file beside *lock* in which its holder writes who it is: the lock file itself is emptied by whoever waits."""
    return lock.with_suffix(".holder")
