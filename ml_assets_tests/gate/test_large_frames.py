"""A frame with more rows than the setting says has a table of its own: published, read, proved and dropped with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ml_assets.lib.core.digest import digest
from ml_assets.lib.core.names import Unit
from ml_assets.lib.gate import look
from ml_assets.lib.gate.machinery import Machinery
from ml_assets.lib.gate.outcome import Published, Unchanged
from ml_assets_tests.gate.world import (
    FRAME,
    MODEL,
    SOURCE,
    SPLIT,
    TRIPS,
    VIEW,
    Place,
    World,
    trips,
    write_trips,
)


def splitting(place: Place, rows: int) -> Machinery:
    """A machinery to which frames with more than so many rows are large."""
    return replace(place.machinery, frame_rows=rows)


@pytest.fixture
def large(place_before: Callable[[Unit], Place]) -> tuple[Place, Machinery]:
    """A place whose frame is published as a table."""
    place = place_before(FRAME)
    machinery = splitting(place, 0)
    assert isinstance(place.materialize(FRAME, machinery=machinery), Published)
    return place, machinery


def test_the_table_is_an_output_of_the_frame(world: World, large: tuple[Place, Machinery]) -> None:
    """Its rows are those of the small frame, by digest; no row lies in this machine's cache."""
    place, machinery = large
    publication, small = place.publication(FRAME), world.base.publication(FRAME)
    assert [output.name for output in publication.outputs] == [FRAME.object_path, FRAME.table]
    assert {output.digest for output in publication.outputs} == {small.digest}
    assert digest(machinery.systems.tables.scan(FRAME.table, place.head).read_all()) == small.digest
    assert not (place.home / "rows").exists()
    told, before = (json.loads(at.lake.read(at.head, FRAME.object_path) or b"") for at in (place, world.base))
    assert told == {**before, "table": FRAME.table}
    place.check_whole()


def test_the_frame_is_judged_by_its_table(large: tuple[Place, Machinery]) -> None:
    """Every check of a frame, the future included; and the same again is nothing to be done."""
    place, machinery = large
    verdict = place.publication(FRAME).verdict
    assert all(result.passed for result in verdict)
    assert {"contract", "no_future"} <= {result.check for result in verdict}
    assert isinstance(place.materialize(FRAME, machinery=machinery), Unchanged)


def test_a_model_learns_from_the_table(world: World, large: tuple[Place, Machinery]) -> None:
    """And says the same of every row as one that learned from a small frame."""
    place, machinery = large
    assert isinstance(place.materialize(MODEL, machinery=machinery), Published)
    assert place.publication(MODEL).digest == world.base.publication(MODEL).digest


def test_the_frame_is_rebuilt_and_proved(large: tuple[Place, Machinery]) -> None:
    """From its inputs, not from its table."""
    place, machinery = large
    found = look.frame(machinery, FRAME.name, split_version="hash-s42", feature_version="v1")
    assert found.digest == place.publication(FRAME).digest
    assert f"equal to the published digest of {FRAME}" in found.notes


def test_a_table_changed_behind_the_gate_is_found(large: tuple[Place, Machinery]) -> None:
    """As any other output; computed anew, it is right again."""
    place, machinery = large
    lost = next(stat.path for stat in place.lake.ls(place.head, FRAME.table_path) if stat.path.endswith(".parquet"))
    place.lake.delete(place.target, [lost])
    place.lake.commit(place.target, "by hand", {})
    assert not machinery.systems.records.valid(place.publication(FRAME), place.head)
    assert isinstance(place.materialize(FRAME, machinery=machinery, recompute=True), Published)
    place.check_whole()


def test_a_frame_that_became_small_loses_its_table(large: tuple[Place, Machinery], tmp_path: Path) -> None:
    """What is published is its object alone; earlier commits still have the table."""
    place, _ = large
    before = place.head
    place.materialize(SOURCE, path=write_trips(tmp_path / "fewer.csv", trips(TRIPS - 20)))
    for unit in (SPLIT, VIEW):
        place.materialize(unit)
    assert isinstance(place.materialize(FRAME, machinery=splitting(place, 10**6)), Published)
    assert [output.name for output in place.publication(FRAME).outputs] == [FRAME.object_path]
    assert not list(place.lake.ls(place.head, FRAME.table_path))
    assert list(place.lake.ls(before, FRAME.table_path))
    place.check_whole()
