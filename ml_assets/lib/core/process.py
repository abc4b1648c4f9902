"""Which process did something, in a form that another process can check for life: host, pid and start time."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import psutil

_CLOCK_TOLERANCE_S: Final = 2.0
"""The start time is reckoned from the boot time, which moves a little when the clock is set."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of one machine. A pid alone is used again by others; with its start time it is not.

    Attributes:
        host: Name of the machine.
        pid: Process id there.
        started: Start of the process, in seconds since the epoch.
    """

    host: str
    pid: int
    started: float

    @classmethod
    def here(cls) -> Self:
        """The process that asks."""
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

    def is_alive(self) -> bool | None:
        """Whether it still runs; ``None`` if it belongs to another machine, where nobody can tell from here."""
        if self.host != socket.gethostname():
            return None
        try:
            found = psutil.Process(self.pid)
            # One that has ended stays in the process table until its parent asks; in a container, perhaps for ever.
            ended: bool = found.status() == psutil.STATUS_ZOMBIE
            started: float = found.create_time()
        except psutil.NoSuchProcess:
            return False
        return not ended and abs(started - self.started) < _CLOCK_TOLERANCE_S

    def as_text(self) -> dict[str, str]:
        """Its three parts as text, for tags and commit metadata."""
        return {"host": self.host, "pid": str(self.pid), "started": repr(self.started)}

    @classmethod
    def from_text(cls, parts: Mapping[str, str]) -> Self:
        """Read what `as_text` wrote.

        Raises:
            KeyError: A part is missing.
            ValueError: A part is not a number.
        """
        return cls(parts["host"], int(parts["pid"]), float(parts["started"]))
