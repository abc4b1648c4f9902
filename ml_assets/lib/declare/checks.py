"""The checks that every asset of a stage has, beside the rules of its declaration.

Each has a number, which is part of what an output is judged by. Whoever changes what a check finds raises its number:
everything published is then judged again, and nothing is computed again. No rule may have the name of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class BuiltinCheck:
    """A check that comes with a stage.

    Attributes:
        name: Name of the check, as Dagster and the verdict show it.
        number: Raised when the check begins to find something else in the same data.
        description: What holds when it passes.
    """

    name: str
    number: int
    description: str


CONTRACT: Final = BuiltinCheck(
    "contract", 2, "Columns, types, nulls, bounds, patterns and keys are as the contract says; every number is finite."
)
NOT_EMPTY: Final = BuiltinCheck("not_empty", 1, "There is at least one row.")
KNOWN_IN_TIME: Final = BuiltinCheck(
    "known_in_time", 2, "No fact becomes known only after it was ingested; what is always known has not changed."
)
NO_FUTURE: Final = BuiltinCheck(
    "no_future",
    2,
    "No row asked by a moment knows what became known later: falsified, it moves no feature. Looked at: some moments.",
)
PREDICTIONS: Final = BuiltinCheck("predictions", 1, "Every prediction is a probability; none is null.")
FLOORS: Final = BuiltinCheck("floors", 1, "Every metric with a declared floor reaches it.")

BUILTIN: Final[Mapping[str, tuple[BuiltinCheck, ...]]] = {
    "sources": (CONTRACT, NOT_EMPTY, KNOWN_IN_TIME),
    "splits": (CONTRACT,),
    "features": (CONTRACT,),
    "frames": (CONTRACT, NO_FUTURE),
    "models": (PREDICTIONS, FLOORS),
}
"""The built-in checks of each stage, in the order in which they are shown."""

RESERVED: Final = frozenset(check.name for checks in BUILTIN.values() for check in checks)
"""Names that no rule may have."""

DESCRIPTIONS: Final[Mapping[str, str]] = {
    check.name: check.description for checks in BUILTIN.values() for check in checks
}
"""What each built-in check asks, by name."""


def names(stage: str) -> tuple[str, ...]:
    """The names of the built-in checks of *stage*, in order."""
    return tuple(check.name for check in BUILTIN[stage])


def numbers(stage: str) -> dict[str, int]:
    """The number of each built-in check of *stage*, by name: part of what its outputs are judged by."""
    return {check.name: check.number for check in BUILTIN[stage]}
