"""The checks that come with a kind of unit, beside the rules of its declaration: their names, and what each asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CONTRACT: Final = "contract"
NOT_EMPTY: Final = "not_empty"
KNOWN_IN_TIME: Final = "known_in_time"
NO_FUTURE: Final = "no_future"
PREDICTIONS: Final = "predictions"
FLOORS: Final = "floors"

DESCRIPTIONS: Final[Mapping[str, str]] = {
    CONTRACT: "Columns, types, nulls, bounds and keys are as the contract says.",
    NOT_EMPTY: "There is at least one row.",
    KNOWN_IN_TIME: "No fact becomes known only after it was ingested.",
    NO_FUTURE: "No row knows the future: facts that become known later are falsified, and no feature moves.",
    PREDICTIONS: "Every prediction is a probability; none is null.",
    FLOORS: "Every metric with a declared floor reaches it.",
}
