"""`partition_by` of a declaration: the files of its table, its recipe, and nothing of its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ml_assets.lib.core.names import Unit
from ml_assets.lib.gate.outcome import Published, Unchanged
from ml_assets_tests.gate.logs import appending, batch, write_batch
from ml_assets_tests.gate.world import FRAME, SOURCE, VIEW, Place, changed, declarations

BY_CAR = ("car",)


def spec(place: Place, unit: Unit) -> list[str]:
    """Names of the fields that the unit's table is partitioned by on the target."""
    loaded = place.machinery.systems.tables.catalog(place.head).load_table(unit.table)
    return [field.name for field in loaded.spec().fields]


def files(place: Place, unit: Unit) -> int:
    """Data files of the unit's table on the target."""
    loaded = place.machinery.systems.tables.catalog(place.head).load_table(unit.table)
    return len(list(loaded.scan().plan_files()))


def test_a_source_and_a_view(place: Place) -> None:
    """The table is written anew with the same digest, and what rests on it has nothing to do."""
    found = declarations()
    source = replace(found.sources["trips"], partition_by=("month(started)", "car"))
    view = replace(found.views["longest", 1], partition_by=BY_CAR)
    parted = changed(sources={"trips": source}, views={**found.views, ("longest", 1): view})
    before = {unit: place.publication(unit) for unit in (SOURCE, VIEW)}
    machinery = place.new_machinery(parted)
    for unit, names in ((SOURCE, ["started_month", "car"]), (VIEW, ["car"])):
        outcome = place.materialize(unit, machinery=machinery)
        assert isinstance(outcome, Published)
        assert outcome.recomputed
        assert names == spec(place, unit)
        assert files(place, unit) == 10
        assert before[unit].digest == outcome.publication.digest
        assert before[unit].recipe != outcome.publication.recipe
        assert isinstance(place.materialize(unit, machinery=machinery), Unchanged)
    assert isinstance(place.materialize(FRAME, machinery=machinery), Unchanged)
    place.check_whole()


def test_a_source_that_grows(place_before: Callable[[Unit], Place], tmp_path: Path) -> None:
    """Batches are appended to the partitions that they belong to."""
    place = place_before(SOURCE)
    found = appending()
    parted = replace(found, sources={"trips": replace(found.sources["trips"], partition_by=BY_CAR)})
    machinery = place.new_machinery(parted)
    for number in range(2):
        outcome = place.materialize(SOURCE, machinery=machinery, path=write_batch(tmp_path, number))
        assert isinstance(outcome, Published)
    assert spec(place, SOURCE) == ["car"]
    expected = sorted(row["trip"] for number in range(2) for row in batch(number))
    assert expected == sorted(row["trip"] for row in place.rows(SOURCE))
    place.check_whole()
