"""The gate with Spark: large frames, partitioned tables and maintenance, each with the digests that DuckDB's have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ml_assets.lib.core.digest import digest
from ml_assets.lib.core.names import Unit
from ml_assets.lib.declare import Declarations
from ml_assets.lib.engines import engine
from ml_assets.lib.gate import look
from ml_assets.lib.gate.machinery import Machinery
from ml_assets.lib.gate.maintain import State
from ml_assets.lib.gate.outcome import Published, Unchanged
from ml_assets.lib.tables import maintain
from ml_assets_tests.gate.leaks import GALLERY
from ml_assets_tests.gate.logs import log_place, write_batch
from ml_assets_tests.gate.test_maintain import run_maintenance
from ml_assets_tests.gate.test_no_future import declared_with, frame_over
from ml_assets_tests.gate.test_partition_by import BY_CAR, spec
from ml_assets_tests.gate.world import FRAME, MODEL, SOURCE, VIEW, Place, World, changed, declarations
from ml_assets_tests.spark import JARS, MARKS

pytestmark = MARKS


def on_spark(place: Place, declared: Declarations | None = None) -> Machinery:
    """A machinery whose engine is Spark, and to which every frame is large."""
    return replace(place.new_machinery(declared), engine=engine("spark", threads=2, jars=JARS), frame_rows=0)


def test_a_large_frame(world: World, place_before: Callable[[Unit], Place]) -> None:
    """Its table is written and judged by Spark; a model learns the same from it, and DuckDB rebuilds and proves it."""
    place = place_before(FRAME)
    machinery = on_spark(place)
    assert isinstance(place.materialize(FRAME, machinery=machinery), Published)
    publication, small = place.publication(FRAME), world.base.publication(FRAME)
    assert [output.name for output in publication.outputs] == [FRAME.object_path, FRAME.table]
    assert {output.digest for output in publication.outputs} == {small.digest}
    assert digest(machinery.systems.tables.scan(FRAME.table, place.head).read_all()) == small.digest
    assert {"contract", "no_future"} <= {result.check for result in publication.verdict if result.passed}
    assert isinstance(place.materialize(FRAME, machinery=machinery), Unchanged)
    assert isinstance(place.materialize(MODEL, machinery=machinery), Published)
    assert place.publication(MODEL).digest == world.base.publication(MODEL).digest
    found = look.frame(place.new_machinery(), FRAME.name, split_version="hash-s42", feature_version="v1")
    assert found.digest == small.digest
    place.check_whole()


def test_a_partitioned_source_and_view(place: Place) -> None:
    """Spark writes the partitions that DuckDB would, with the same digest."""
    found = declarations()
    source = replace(found.sources["trips"], partition_by=("month(started)", "car"))
    view = replace(found.views["longest", 1], partition_by=BY_CAR)
    parted = changed(sources={"trips": source}, views={**found.views, ("longest", 1): view})
    before = {unit: place.publication(unit).digest for unit in (SOURCE, VIEW)}
    machinery = on_spark(place, parted)
    for unit, names in ((SOURCE, ["started_month", "car"]), (VIEW, ["car"])):
        outcome = place.materialize(unit, machinery=machinery)
        assert isinstance(outcome, Published)
        assert outcome.recomputed
        assert spec(place, unit) == names
        assert outcome.publication.digest == before[unit]
        loaded = machinery.systems.tables.catalog(place.head).load_table(unit.table)
        cars = [task.file.partition[len(names) - 1] for task in loaded.scan().plan_files()]
        assert len(set(cars)) == 10
    place.check_whole()


def test_maintenance(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too large for one process is merged by the engine of the machinery, and stays what it was."""
    log = log_place(place)
    for number in range(6):
        assert isinstance(log.materialize(SOURCE, path=write_batch(tmp_path, number)), Published)
    rows, before = sorted(row["trip"] for row in log.rows(SOURCE)), log.publication(SOURCE)
    monkeypatch.setattr(maintain, "LARGE_BYTES", 100)
    left = run_maintenance(log, "sources/trips", dry_run=True)[SOURCE]
    assert "left to Spark" in left.note
    machinery = on_spark(log, log.new_machinery().declarations)
    maintained = run_maintenance(log, "sources/trips", machinery=machinery)[SOURCE]
    assert maintained.state == State.MAINTAINED
    assert maintained.before is not None
    assert maintained.after is not None
    assert (maintained.before.files, maintained.after.files) == (7, 1)
    assert log.publication(SOURCE).digest == before.digest
    assert sorted(row["trip"] for row in log.rows(SOURCE)) == rows
    assert run_maintenance(log, "sources/trips", machinery=machinery)[SOURCE].state == State.IN_ORDER
    log.check_whole()


@pytest.mark.parametrize("name", ["count per entity", "status overwritten later"])
def test_a_leak(place: Place, name: str) -> None:
    """Spark finds the rows that DuckDB finds."""
    declared = declared_with(GALLERY[name].leak, moments=3)
    found = frame_over(place, replace(place.new_machinery(declared), engine=engine("spark", threads=2, jars=JARS)))
    assert found.rows_failed > 0
    assert "sources/trips" in str(found.examples[0]["moved by"])
    assert found.counts == frame_over(place, place.new_machinery(declared)).counts


def test_an_honest_view(place: Place) -> None:
    """Its twin is published."""
    machinery = place.new_machinery(declared_with(GALLERY["count per entity"].honest, moments=3))
    assert frame_over(place, replace(machinery, engine=engine("spark", threads=2, jars=JARS))).passed
