"""What a check of a lake has found so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Findings:
    """Counts what is looked at, and hands on each problem as it is found.

    Attributes:
        say: Is given each problem, one line.
        problems: How many there were.
        files: In the store, with ``bytes`` in them.
        collected: Objects of old commits whose bytes garbage collection has removed: no problem.
        garbage: Files that nothing names, with ``garbage_bytes`` in them: no problem either.
    """

    say: Callable[[str], None]
    problems: int = 0
    commits: int = 0
    trees: int = 0
    entries: int = 0
    files: int = 0
    bytes: int = 0
    collected: int = 0
    garbage: int = 0
    garbage_bytes: int = 0

    def problem(self, text: str) -> None:
        """Something is broken."""
        self.problems += 1
        self.say(text)
