"""The trips as a table that many append to: each file is a batch of trips."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ml_assets.lib.declare import Declarations
from ml_assets.lib.gate.gate import Observer
from ml_assets.lib.gate.machinery import Machinery
from ml_assets_tests.gate.world import Place, changed, declarations, trips, write_trips

BATCH = 20


def appending() -> Declarations:
    """The declarations, with trips that are appended."""
    return changed(sources={"trips": replace(declarations().sources["trips"], append=True)})


@dataclass(frozen=True)
class LogPlace(Place):
    """A place where trips are appended."""

    def new_machinery(
        self, declared: Declarations | None = None, observe: Observer = lambda _step, _unit: None
    ) -> Machinery:
        """As of any place, with these declarations unless others are given."""
        return super().new_machinery(declared or appending(), observe)


def log_place(place: Place) -> LogPlace:
    """*place*, where trips are appended from now on."""
    return LogPlace(place.endpoint, place.repository, place.target, place.home, place.folder)


def batch(number: int, rows: int = BATCH) -> list[dict[str, Any]]:
    """The trips of one batch; those of two batches differ."""
    return [{**row, "trip": f"b{number:03}-{row['trip']}"} for row in trips(rows, seed=number)]


def write_batch(folder: Path, number: int, rows: int = BATCH) -> Path:
    """The file of one batch."""
    return write_trips(folder / f"batch-{number:03}.csv", batch(number, rows))
