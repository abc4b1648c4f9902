"""Publications at a commit: which are valid, which are fresh, what they rest on; and how often the lake is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ml_assets.lib.core.errors import MissingInput, StaleInput
from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.refs import Commit
from ml_assets.lib.gate.records import Records, output_prefixes
from ml_assets_tests.gate.world import (
    CARS,
    FRAME,
    KINDS,
    MODEL,
    SOURCE,
    SPLIT,
    TRIPS,
    UNITS,
    VIEW,
    Place,
    World,
    trips,
    write_trips,
)


@pytest.fixture
def records(world: World) -> Records:
    """Records that have asked nothing yet, of a lake that counts from here."""
    lake = world.base.endpoint.lake(world.base.repository)
    return Records(lake, lambda _publication: True)


def test_listing(world: World, records: Records) -> None:
    """Every publication is found at each commit from its own on, and none before."""
    assert [unit.publication_path for unit in sorted(UNITS, key=lambda unit: unit.publication_path)] == [
        found.unit.publication_path for found in records.all(world.complete)
    ]
    for number, unit in enumerate(UNITS):
        assert records.get(unit, world.before[unit]) is None
        assert number == len(records.all(world.before[unit]))
    assert records.get(CARS, world.complete) is None


def test_everything_is_read_once(world: World) -> None:
    """A commit is listed once and a body is read once, however often it is asked for, at whatever commit."""
    lake = world.base.endpoint.lake(world.base.repository)
    records = Records(lake, lambda _publication: True)
    for _ in range(3):
        for commit in (world.complete, *world.before.values()):
            records.all(commit)
            assert all(records.valid(found, commit) for found in records.all(commit))
    assert len(UNITS) == lake.calls["get_object"]
    assert 1 + len(UNITS) == lake.calls["list_objects"]


@pytest.mark.parametrize(
    ("unit", "rests_on"),
    [
        (SOURCE, {SOURCE}),
        (SPLIT, {SOURCE, SPLIT}),
        (FRAME, {SOURCE, SPLIT, VIEW, FRAME}),
        (MODEL, {SOURCE, SPLIT, VIEW, FRAME, MODEL}),
    ],
    ids=["source", "split", "frame", "model"],
)
def test_closure(world: World, records: Records, unit: Unit, rests_on: set[Unit]) -> None:
    """The closure is everything that a unit was made from, each once, in order, with itself."""
    at = records.at(world.complete)
    published = at.get(unit)
    assert published is not None
    found = [publication.unit for publication in at.closure([published, published])]
    assert sorted(rests_on) == found


def test_freshness_goes_all_the_way_up(place: Place, tmp_path: Path) -> None:
    """What rests on something that has moved on is stale, however far down; what was made from the new is not."""
    place.materialize(SOURCE, path=write_trips(tmp_path / "more.csv", trips(TRIPS + 20)))
    expected = {SOURCE: False, SPLIT: True, VIEW: True, FRAME: True, MODEL: True}
    assert expected == stale(place)
    for unit in (SPLIT, VIEW):
        place.materialize(unit)
        expected[unit] = False
        assert expected == stale(place)
    place.materialize(FRAME)
    assert expected | {FRAME: False} == stale(place)


def stale(place: Place) -> dict[Unit, bool]:
    """Whether each unit is stale; `is_stale` and `require` must agree."""
    records = place.machinery.systems.records.at(place.head)
    found = {unit: records.is_stale(place.publication(unit)) for unit in KINDS}
    for unit, is_stale in found.items():
        if is_stale:
            with pytest.raises(StaleInput):
                place.machinery.systems.records.at(place.head).require(unit, MODEL)
        else:
            assert place.publication(unit) == records.require(unit, MODEL)
    return found


def test_equal_rows_are_fresh(place: Place, tmp_path: Path) -> None:
    """An input that was published anew with equal rows makes nothing stale: recipes are not compared, digests are."""
    place.materialize(SOURCE, path=write_trips(tmp_path / "same.csv", trips()[::-1]))
    assert dict.fromkeys(KINDS, False) == stale(place)


def test_missing_input_of_an_input(place: Place) -> None:
    """Something is missing although what needs it is published: named, with who needs it."""
    place.lake.delete(place.target, [SOURCE.publication_path])
    place.lake.commit(place.target, "gone", {})
    records = place.machinery.systems.records.at(place.head)
    with pytest.raises(MissingInput, match=r"^splits/trips@hash-s42 needs sources/trips"):
        records.require(SPLIT, FRAME)
    assert records.is_stale(place.publication(SPLIT))


def test_valid_at_every_commit_since(world: World, place_before: Callable[[Unit], Place]) -> None:
    """A publication is valid at its own commit and at those after it, but not at one that has other data."""
    place = place_before(MODEL)
    published = place.publication(VIEW)
    assert place.machinery.systems.records.valid(published, world.outcomes[VIEW].commit)
    assert place.machinery.systems.records.valid(published, published.audited)
    assert not place.machinery.systems.records.valid(published, world.before[VIEW])


def test_valid_asks_outside(world: World) -> None:
    """A model is not valid once what it has outside the lake is gone."""
    base = world.base
    records = Records(base.lake, lambda publication: publication.unit != MODEL)
    assert [unit != MODEL for unit in UNITS] == [
        records.valid(base.publication(unit), world.complete) for unit in UNITS
    ]


def test_kept(world: World, records: Records) -> None:
    """A frame keeps its pin, and with stale inputs also theirs."""
    frame = world.base.publication(FRAME)
    assert {frame.pin} == records.kept(frame)
    stale = replace(frame, extra={"stale_inputs": [str(VIEW)]})
    pins: set[Commit] = {world.base.publication(unit).pin for unit in (SOURCE, SPLIT, VIEW, FRAME)}
    assert pins == records.kept(stale)


def test_output_prefixes() -> None:
    """The data of a unit lie below its own prefixes, none of which is a prefix of another."""
    units = (*UNITS, CARS, Unit("features", "longest", "11"))
    prefixes = [prefix for unit in units for prefix in output_prefixes(unit)]
    assert not any(one != other and other.startswith(one) for one in prefixes for other in prefixes)
