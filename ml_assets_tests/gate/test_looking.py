"""Looking back: frames rebuilt and proved, tables as they were, expressions tried, and what would be computed next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import pytest

from ml_assets.lib.core.digest import digest
from ml_assets.lib.core.errors import ConfigError, DigestMismatch, MissingCommit, MissingInput, NoSuchTable, StaleInput
from ml_assets.lib.core.names import CANONICAL, Unit
from ml_assets.lib.declare import FeatureContract, Field, Int32, Timestamp
from ml_assets.lib.gate import explain, look
from ml_assets.lib.gate.explain import JUDGED_AGAIN, standings
from ml_assets_tests.gate.test_again import Tight, longer
from ml_assets_tests.gate.test_behind_the_gate import overwrite_data
from ml_assets_tests.gate.world import (
    CARS,
    FRAME,
    JUNE,
    KINDS,
    MODEL,
    SOURCE,
    SPLIT,
    TRIPS,
    UNITS,
    VIEW,
    Place,
    World,
    changed,
    declarations,
    trips,
    write_trips,
)

HASH_V1: Final[dict[str, Any]] = {"split_version": "hash-s42", "feature_version": "v1"}


# Frames


def test_published_frame_is_proved(world: World, place: Place, tmp_path: Path) -> None:
    """A published frame is rebuilt at its pin, without a cache, and equals its digest; its rows can be taken along."""
    to = tmp_path / "new" / "frame.parquet"
    found = look.frame(place.machinery, "late", **HASH_V1, to=to)
    published = world.base.publication(FRAME)
    assert (str(FRAME), published.pin.id, published.digest) == (found.name, found.commit, found.digest)
    assert (f"equal to the published digest of {FRAME}",) == found.notes
    table = pq.read_table(to)
    assert (found.rows, found.digest) == (table.num_rows, digest(table))
    assert {"train", "val", "test"} == found.digests.keys()


def test_frame_at_a_commit(world: World, moved_on: Place) -> None:
    """At an older commit, named as anybody would, the frame has the rows that it had then."""
    published = world.base.publication(FRAME)
    for commit in (published.pin.id, published.pin.id[:16], f"{CANONICAL}~1", world.complete.id):
        assert published.digest == look.frame(moved_on.machinery, "late", **HASH_V1, commit=commit).digest


def test_frame_that_is_not_published(place_before: Callable[[Unit], Place], world: World) -> None:
    """A frame that nobody has published yet is built on the target, and said to be so."""
    place = place_before(FRAME)
    found = look.frame(place.machinery, "late", **HASH_V1)
    assert world.base.publication(FRAME).digest == found.digest
    assert place.head.id == found.commit
    assert "is not published" in found.notes[0]


def test_stale_frame_is_proved_too(world: World, moved_on: Place) -> None:
    """What was published stays provable when its inputs have moved on, and that they have is told."""
    found = look.frame(moved_on.machinery, "late", **HASH_V1)
    assert world.base.publication(FRAME).digest == found.digest
    assert "its inputs have been published anew since" == found.notes[-1]


def test_frame_over_inputs_that_do_not_fit(moved_on: Place) -> None:
    """At a commit where inputs are stale or missing there is no frame to be built."""
    with pytest.raises(StaleInput, match="older sources/trips"):
        look.frame(moved_on.machinery, "late", **HASH_V1, commit=moved_on.target.name)
    with pytest.raises(MissingInput, match="splits/trips@june"):
        look.frame(moved_on.machinery, "late", split_version="june", feature_version="v1")


def test_frame_by_another_definition(place: Place) -> None:
    """A frame that is declared otherwise by now cannot be rebuilt with this code, and says which code could."""
    frame = declarations().frames["late"]
    other = replace(frame, function=lambda trips: frame.function(trips.filter(trips.seats > 4)))
    with pytest.raises(MissingCommit, match="check out code commit"):
        look.frame(place.new_machinery(changed(frames={"late": other})), "late", **HASH_V1)


def test_frame_that_does_not_come_out_equal(place: Place) -> None:
    """Rows that differ from what was published are an error, never an answer."""
    forged = replace(place.publication(FRAME), outputs=(replace(place.publication(FRAME).outputs[0], digest="tbl1:0"),))
    place.lake.put(place.target, FRAME.publication_path, forged.to_bytes())
    place.lake.commit(place.target, "forged", {})
    with pytest.raises(DigestMismatch, match="tbl1:0"):
        look.frame(place.machinery, "late", **HASH_V1)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"name": "early"}, "there is no frame 'early'; choose of asked, late"),
        ({"split_version": "x"}, "there is no split version 'x'; choose of hash-s42, june"),
        ({"feature_version": "v9"}, "there is no feature version 'v9'; choose of v1, v2"),
    ],
)
def test_frame_of_no_such_name(place: Place, wrong: dict[str, str], what: str) -> None:
    """A name that is not declared is told with those that are."""
    with pytest.raises(ConfigError, match=what):
        look.frame(place.machinery, **{"name": "late", **HASH_V1, **wrong})


# Tables


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("sources/trips", SOURCE),
        ("sources.trips", SOURCE),
        ("splits/trips@hash-s42", SPLIT),
        ("splits.trips__hash_s42", SPLIT),
        ("features/longest", VIEW),
        ("features/longest@1", VIEW),
        ("features.longest_v1", VIEW),
        ("frames/late@hash-s42__v1", FRAME),
    ],
)
def test_table(world: World, place: Place, name: str, unit: Unit, tmp_path: Path) -> None:
    """A table can be named as asset, unit or Iceberg table; its digest is the published one."""
    to = tmp_path / "rows.parquet"
    found = look.table(place.machinery, name, None, to)
    published = world.base.publication(unit)
    assert (str(unit), published.digest, published.outputs[0].rows) == (found.name, found.digest, found.rows)
    assert published.digest == digest(pq.read_table(to))


def test_table_at_a_ref(world: World, moved_on: Place) -> None:
    """A table can be read at a branch, a commit, before a commit, and as it was at a moment."""
    place, machinery = moved_on, moved_on.machinery
    assert TRIPS + 20 == look.table(machinery, "sources/trips", None, None).rows
    assert TRIPS + 20 == look.table(machinery, "sources/trips", place.target.name, None).rows
    assert TRIPS == look.table(machinery, "sources/trips", f"{place.target}~1", None).rows
    assert TRIPS == look.table(machinery, "sources/trips", CANONICAL, None).rows
    assert TRIPS == look.table(machinery, "sources/trips", world.complete.id, None).rows
    published = place.lake.info(world.outcomes[SOURCE].commit).created
    at = f"{place.target}@{published:%Y-%m-%dT%H:%M:%SZ}"
    assert TRIPS == look.table(machinery, "sources/trips", at, None).rows


@pytest.mark.parametrize("name", ["splits/trips", "splits.trips"])
def test_joint_table_of_a_split(place: Place, name: str, tmp_path: Path) -> None:
    """All versions of a split as one table: with version, seed, and the time of what is split."""
    place.materialize(JUNE)
    to = tmp_path / "rows.parquet"
    found = look.table(place.machinery, name, None, to)
    rows = pq.read_table(to).to_pylist()
    assert 2 * TRIPS == found.rows == len(rows)
    assert {("hash-s42", 42), ("june", None)} == {(row["split_version"], row["split_seed"]) for row in rows}
    assert {"trip", "split", "event_timestamp", "split_version", "split_seed"} == rows[0].keys()
    started = {row["trip"]: datetime.fromisoformat(row["started"]) for row in trips()}
    assert all(started[row["trip"]] == row["event_timestamp"] for row in rows)
    parts = {row["trip"]: row["split"] for row in rows if row["split_version"] == "hash-s42"}
    assert parts == {row["trip"]: row["split"] for row in place.rows(SPLIT)}


@pytest.mark.parametrize("name", ["sources/cars", "features/longest@2", "models/late@hash-s42__v1", "x"])
def test_no_such_table(place: Place, name: str) -> None:
    """A name that is not published is told with those that are."""
    with pytest.raises(NoSuchTable, match=r"choose of .*sources/trips"):
        look.table(place.machinery, name, None, None)


def test_empty_target(place_before: Callable[[Unit], Place]) -> None:
    """On a target without publications there is nothing to look at, and that is said."""
    with pytest.raises(NoSuchTable, match="there is none yet"):
        look.table(place_before(SOURCE).machinery, "sources/trips", None, None)


# Expressions


def test_preview(place: Place) -> None:
    """A view is computed on the target and shown with contract, definition and lineage; nothing is written."""
    before = place.lake.calls.copy()
    text = "\n".join(look.preview(place.machinery, "features/longest@1", 3))
    assert f"rows        {len(place.rows(VIEW)):,}" in text
    assert "contract    holds" in text
    assert f"definition  {place.publication(VIEW).definition.identity}" in text
    assert "longest <- trips.minutes" in text
    assert all(before[call] == place.lake.calls[call] for call in ("upload_object", "commit", "create_branch"))


class Slow(FeatureContract):
    """As `Longest`, with a bound that the data break."""

    car: str = Field(description="The taxi")
    event_timestamp: Timestamp = Field(description="Arrival (UTC)")
    longest: Int32 = Field(nullable=True, ge=30, description="Duration of the trip that ended, minutes")


def test_preview_of_a_broken_contract(place: Place) -> None:
    """What a contract would refuse is counted in the preview."""
    declared = declarations()
    views = {**declared.views, ("longest", 1): replace(declared.views["longest", 1], contract=Slow)}
    text = "\n".join(look.preview(place.new_machinery(changed(views=views)), "features/longest", 3))
    assert "contract    broken: longest: ge (" in text


def test_preview_of_nothing(place: Place, place_before: Callable[[Unit], Place]) -> None:
    """A preview of something that is not declared, or over a source that is not there, says so."""
    with pytest.raises(ConfigError, match="splits/trips@june"):
        list(look.preview(place.machinery, "features/nothing", 3))
    with pytest.raises(MissingInput, match="materialize sources/trips first"):
        list(look.preview(place_before(SOURCE).machinery, "splits/trips@june", 3))


# What would be computed


def reasons(place: Place, **parts: Any) -> dict[Unit, str | None]:
    """Why each unit of the first split and feature version would be materialized."""
    machinery = place.new_machinery(changed(**parts))
    return {standing.unit: standing.reason for standing in standings(machinery) if standing.unit in UNITS}


def test_nothing_to_do(place: Place) -> None:
    """What is published as declared needs nothing; what never was is told as that, each unit once."""
    assert dict.fromkeys(UNITS) == reasons(place)
    told = [standing.unit for standing in standings(place.machinery)]
    assert len(told) == len(set(told))
    assert "never materialized" == next(s.reason for s in standings(place.machinery) if s.unit == CARS)


def test_reason_new_data(moved_on: Place) -> None:
    """New source data reach everything below; the source itself stays as it was published."""
    found = reasons(moved_on)
    assert found[SOURCE] is None
    assert {f"input {SOURCE} changed"} == {found[SPLIT], found[VIEW], found[FRAME]}
    assert f"input {FRAME} changed" == found[MODEL]


def test_reason_definition(place: Place) -> None:
    """A changed definition is told as that, and as a changed input below."""
    declared = declarations()
    found = reasons(
        place, views={**declared.views, ("longest", 1): replace(declared.views["longest", 1], function=longer)}
    )
    assert (None, None, "recipe changed: definition", f"input {VIEW} changed", f"input {FRAME} changed") == tuple(
        found[unit] for unit in KINDS
    )


def test_reason_ttl_and_parameters(place: Place) -> None:
    """So are keys or time to live, and parameters of a model."""
    declared = declarations()
    views = {**declared.views, ("longest", 1): replace(declared.views["longest", 1], ttl=None)}
    assert "recipe changed: ttl 7 days, 0:00:00 -> any age" == reasons(place, views=views)[VIEW]
    models = {"late": replace(declared.models["late"], params={"max_iter": 7})}
    assert "recipe changed: parameter max_iter 5 -> 7" == reasons(place, models=models)[MODEL]


def test_reason_rules(place: Place) -> None:
    """A tightened contract judges anew and reaches nothing below."""
    declared = declarations()
    views = {**declared.views, ("longest", 1): replace(declared.views["longest", 1], contract=Tight)}
    found = reasons(place, views=views)
    assert f"{JUDGED_AGAIN} (contract of longest)" == found.pop(VIEW)
    assert {None, f"{JUDGED_AGAIN} (contract of longest)"} == set(found.values())


def test_reason_changed_behind_the_gate(place: Place) -> None:
    """Data that somebody changed are told before anything is run."""
    overwrite_data(place, VIEW)
    place.lake.commit(place.target, "I know what I do", {})
    found = reasons(place)
    assert ("changed behind the gate", f"input {VIEW} changed") == (found[VIEW], found[FRAME])


def test_reason_of_allowed_stale_inputs(place: Place) -> None:
    """What may rest on stale inputs, and does, is as declared."""
    frames = {"late": replace(declarations().frames["late"], allow_stale=True)}
    place.materialize(SOURCE, path=write_trips(place.home / "more.csv", trips(TRIPS + 20)))
    machinery = place.new_machinery(changed(frames=frames))
    place.materialize(FRAME, machinery=machinery)
    assert explain.standing(place.work(FRAME, machinery), machinery.systems.records.at(place.head)).reason is None


def test_overview(world: World) -> None:
    """The table of what stands published shows one model, with the figures of its publication."""
    (row,) = explain.overview(world.base.machinery)
    frame = world.base.publication(FRAME)
    assert ("hash-s42", "v1", f"{frame.outputs[0].rows:,}") == (row["split"], row["features"], row["rows"])
    assert (frame.digest[:21], frame.pin.short) == (row["frame digest"], row["data commit"])
    assert float(row["AUC test"]) > 0.6
