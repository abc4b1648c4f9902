"""The leakage law: what becomes known after a moment is falsified, and no feature asked before it may move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pytest

from ml_assets.lib.core.errors import StaleInput
from ml_assets.lib.core.publication import CheckResult
from ml_assets.lib.declare import Declarations, Entity, FeatureContract, FeatureView, Field, Int32, Timestamp
from ml_assets.lib.declare.versions import ViewRef
from ml_assets.lib.gate.machinery import Machinery
from ml_assets.lib.gate.outcome import Published, Refused, Unchanged
from ml_assets.lib.gate.units import no_future
from ml_assets_tests.gate import leaks
from ml_assets_tests.gate.leaks import GALLERY
from ml_assets_tests.gate.world import (
    FRAME,
    MODEL,
    SOURCE,
    TRIPS,
    Place,
    changed,
    declarations,
    new_run,
    trips,
    write_trips,
)


class Leak(FeatureContract):
    """One row per taxi and moment."""

    car: str = Field(description="The taxi")
    event_timestamp: Timestamp = Field(description="When the value is said to be known (UTC)")
    leak: Int32 = Field(nullable=True, description="A number")

    class Config:
        """Keys."""

        unique = ("car", "event_timestamp")


def declared_with(function: Callable[..., Any], *, moments: int = 8, **knowledge: Any) -> Declarations:
    """The declarations with a view of *function* in v1, and a source that says *knowledge*."""
    declared = declarations()
    said = {"known_from": "started", "always_known": False, **knowledge}
    view = FeatureView(name="leak", function=function, version=1, keys=Entity("car", ("car",)), ttl=None, contract=Leak)
    return changed(
        sources={"trips": replace(declared.sources["trips"], **said)},
        frames={"late": replace(declared.frames["late"], moments=moments)},
        views={**declared.views, ("leak", 1): view},
        feature_versions={"v1": (ViewRef("longest", 1, None), ViewRef("leak", 1, None))},
    )


def materialized(place: Place, machinery: Machinery, key: str) -> Any:
    """What comes of the first partition of an asset."""
    asset = machinery.plan.assets[key]
    work = machinery.plan.work(machinery.systems, asset, machinery.plan.partitions(asset)[0])
    assert work is not None
    return machinery.gate.materialize(work, new_run())


def frame_over(place: Place, machinery: Machinery) -> CheckResult:
    """The verdict of the check on the frame, once everything that it is made from is published."""
    for key in ("sources/trips", "splits/trips", "features/longest", "features/leak"):
        assert not isinstance(materialized(place, machinery, key), Refused)
    outcome = place.materialize(FRAME, machinery=machinery)
    (result,) = (result for result in outcome.verdict if result.check == "no_future")
    assert isinstance(outcome, Published if result.passed or result.not_applicable else Refused)
    return result


def check(place: Place, function: Callable[..., Any], **knowledge: Any) -> CheckResult:
    """The verdict of the check on a frame over a view of *function*."""
    return frame_over(place, place.new_machinery(declared_with(function, **knowledge)))


@pytest.mark.parametrize("name", GALLERY)
def test_a_leak_is_refused(place: Place, name: str) -> None:
    """Whoever wrote it sees the feature, both values, the moment, and the facts that moved it."""
    result = check(place, GALLERY[name].leak)
    assert result.rows_failed > 0
    assert set(result.counts) == {"leak: moved by facts of the future"}
    example = result.examples[0]
    assert {"trip", "event_timestamp", "feature", "moment", "world"} <= example.keys()
    assert example["feature"] == "leak"
    assert example["in the frame"] != example["without the future"]
    assert "sources/trips" in str(example["moved by"])


@pytest.mark.parametrize("name", GALLERY)
def test_its_honest_twin_passes(place: Place, name: str) -> None:
    """The same question, asked of what is known, is published."""
    result = check(place, GALLERY[name].honest)
    assert (result.passed, result.counts, result.not_applicable) == (True, {}, "")
    assert int(result.figures["rows compared"]) > 100
    assert 8 <= len(result.figures["moments"]) <= 12


@pytest.mark.parametrize("name", ["total per entity", "count per entity", "lead", "rank from the end"])
def test_rows_of_the_future_do_not_exist(place: Place, name: str) -> None:
    """The facts that move such a feature are rows, whether or not any column is known later."""
    result = check(place, GALLERY[name].leak, known_at={})
    assert result.rows_failed > 0
    assert {example["moved by"] for example in result.examples} == {"rows of sources/trips, known from started"}


def test_a_row_that_arrives_late(place: Place) -> None:
    """A row that is known only when it was loaded may not be used from the moment that it tells of."""
    late = check(place, leaks.count_so_far, known_from="ended", known_at={})
    assert late.rows_failed > 0
    assert "known from ended" in str(late.examples[0]["moved by"])
    loaded = check(place, leaks.how_many_ended, known_from="ended", known_at={})
    assert loaded.passed


def test_always_known_is_taken_at_its_word(place: Place) -> None:
    """Rows of a timetable are known beforehand: to count those to come is no leak."""
    assert check(place, leaks.count, known_from=None, always_known=True).passed
    assert check(place, leaks.overwritten, known_from=None, always_known=True).rows_failed > 0


def test_nothing_becomes_known_over_time(place: Place) -> None:
    """Then there is nothing to falsify: the check does not apply, says why, and has not passed."""
    result = check(place, leaks.count, known_from=None, always_known=True, known_at={})
    assert (result.passed, result.rows_failed) == (False, 0)
    assert "sources/trips is declared to become known over time" in result.not_applicable


def test_a_source_that_says_nothing_is_named(place: Place) -> None:
    """Its rows are not falsified, and the verdict says so."""
    result = check(place, leaks.at_arrival, known_from=None, always_known=False)
    assert result.figures["not proved, says nothing of when its rows are known"] == ["sources/trips"]


def spine_with(column: Callable[[ir.Table], ir.Value], **knowledge: Any) -> Declarations:
    """The declarations with a frame whose ``car``, which its model takes, is made by *column*."""
    declared = declarations()

    def late(trips: ir.Table) -> ir.Table:
        """Trips that ended."""
        ended = trips.filter(trips.minutes.notnull())
        label = (ended.minutes > 30).cast("int32")
        return ended.select("trip", car=column(ended), event_timestamp=ended.started, label=label)

    source = replace(declared.sources["trips"], known_from="started", always_known=False, **knowledge)
    return changed(sources={"trips": source}, frames={"late": replace(declared.frames["late"], function=late)})


def spine_check(place: Place, declared: Declarations) -> CheckResult:
    """The verdict of the check on a frame of its own spine."""
    machinery = place.new_machinery(declared)
    assert not isinstance(materialized(place, machinery, "sources/trips"), Refused)
    outcome = place.materialize(FRAME, machinery=machinery)
    (result,) = (result for result in outcome.verdict if result.check == "no_future")
    return result


def test_a_column_of_the_spine_is_the_label_in_disguise(place: Place) -> None:
    """A column that a model takes keeps the law at the row's cutoff."""
    result = spine_check(place, spine_with(lambda trips: (trips.minutes > 30).ifelse("slow", "fast")))
    assert set(result.counts) == {"car: moved by facts of the future"}
    assert "minutes" in str(result.examples[0]["moved by"])


def test_a_column_of_the_spine_from_other_rows(place: Place) -> None:
    """The row that is asked about is given, the others of its table are not."""

    def trips_to_come(trips: ir.Table) -> ir.Value:
        return trips.trip.count().over(group_by="car").cast("string")

    assert spine_check(place, spine_with(trips_to_come)).rows_failed > 0


def test_the_row_that_is_asked_about_is_given(place: Place) -> None:
    """What is known with it is part of the question."""
    assert spine_check(place, spine_with(lambda trips: trips.car)).passed


def test_tighter_knowledge_judges_published_frames_again(place: Place) -> None:
    """A leak that was published while nothing was declared is refused once it is."""
    loose = declared_with(leaks.count, known_from=None, always_known=True)
    assert frame_over(place, place.new_machinery(loose)).passed
    tight = place.new_machinery(declared_with(leaks.count))
    assert not isinstance(materialized(place, tight, "sources/trips"), Refused)
    outcome = place.materialize(FRAME, machinery=tight)
    assert isinstance(outcome, Refused)
    assert [result.check for result in outcome.verdict if not result.passed] == ["no_future"]


def test_always_known_of_a_table_that_changes(place: Place, tmp_path: Path) -> None:
    """Two publications that differ are told of, as a warning: it is published, and the claim is in doubt."""
    rows = trips(TRIPS)
    rows[0]["seats"] = 7
    outcome = place.materialize(SOURCE, path=write_trips(tmp_path / "other.csv", [*rows, *trips(TRIPS + 3)[TRIPS:]]))
    assert isinstance(outcome, Published)
    (result,) = (result for result in outcome.verdict if result.check == "known_in_time")
    assert (result.passed, result.severity) == (False, "warn")
    assert result.counts == {
        "always_known: changed or gone since the last publication": 1,
        "always_known: new since the last publication": 4,
    }
    assert [row["trip"] for row in result.examples] == ["t00000"]


def test_known_from_of_the_future(place: Place, tmp_path: Path) -> None:
    """A row that says that it is known only after it was ingested is refused."""
    rows = trips(TRIPS)
    rows[0]["started"], rows[0]["ended"] = "2199-01-01T00:00:00+00:00", None
    rows[0]["minutes"] = None
    machinery = place.new_machinery(declared_with(leaks.at_arrival))
    outcome = place.materialize(SOURCE, machinery=machinery, path=write_trips(tmp_path / "late.csv", rows))
    assert isinstance(outcome, Refused)
    assert {"started: after ingestion": 1} in [result.counts for result in outcome.verdict]


def test_no_model_learns_from_a_frame_that_was_not_judged_yet(place: Place) -> None:
    """Neither before the frame is judged by what is declared now, nor after it was refused."""
    assert frame_over(place, place.new_machinery(declared_with(leaks.count, known_from=None, always_known=True))).passed
    tight = place.new_machinery(declared_with(leaks.count))
    with pytest.raises(StaleInput, match=r"needs sources/trips, which was not judged yet"):
        place.materialize(FRAME, machinery=tight)
    assert isinstance(materialized(place, tight, "sources/trips"), Published)
    for key in ("splits/trips", "features/longest", "features/leak"):
        assert isinstance(materialized(place, tight, key), Unchanged)
    for _ in range(2):
        with pytest.raises(StaleInput, match=r"needs frames/late@hash-s42__v1, which was not judged yet"):
            place.materialize(MODEL, machinery=tight)
        assert isinstance(place.materialize(FRAME, machinery=tight), Refused)


def test_of_a_large_source_a_share_of_the_entities_is_looked_at(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict says which share; the leak is found all the same, and the honest twin passes."""
    monkeypatch.setattr(no_future, "LARGE_ROWS", TRIPS // 2)
    leak = check(place, leaks.total)
    assert 0 < leak.rows_failed
    assert leak.figures["share of entities"] == {
        "features/longest@1 of sources/trips": 0.5,
        "features/leak@1 of sources/trips": 0.5,
    }
    assert check(place, leaks.total_so_far).passed


def test_rows_of_one_cutoff_are_not_given_to_each_other(place: Place) -> None:
    """Asked at midnight, a taxi's trips of the day are yet to come, also those that are asked about."""
    declared = declarations()

    def late(trips: ir.Table) -> ir.Table:
        """Trips that ended, all asked about at midnight."""
        ended = trips.filter(trips.minutes.notnull())
        day = ended.started.truncate("D").cast("timestamp('UTC', 6)")
        timed = ended.mutate(day=day)
        of_day = timed.count().over(group_by=["car", "day"]).cast("string")
        return timed.select("trip", car=of_day, event_timestamp=timed.day, label=(timed.minutes > 30).cast("int32"))

    source = replace(declared.sources["trips"], known_from="started", always_known=False)
    frame = replace(declared.frames["late"], function=late, moments=8)
    assert spine_check(place, changed(sources={"trips": source}, frames={"late": frame})).rows_failed > 0


def test_a_leak_that_looks_a_little_ahead(place: Place) -> None:
    """It shows where the same taxi is asked about again soonest."""

    def soon_again(trips: ir.Table) -> ir.Table:
        """Whether the taxi leaves again within two hours."""
        rows = trips.group_by("car", event_timestamp=trips.started).agg(n=trips.count())
        later = rows.event_timestamp.lead().over(group_by="car", order_by="event_timestamp")
        soon = later.epoch_seconds() - rows.event_timestamp.epoch_seconds() < 7_200
        return rows.select("car", "event_timestamp", leak=soon.cast("int32").fill_null(0).cast("int32"))

    assert check(place, soon_again).rows_failed > 0


def test_an_invented_fact_that_an_honest_view_cannot_compute(place: Place) -> None:
    """It takes what the data keep for granted: the world is left out, and the verdict says so."""

    def shortest(trips: ir.Table) -> ir.Table:
        """Minutes of the trip that ended, by its times, in a type that has room for the true ones only."""
        known = trips.filter(trips.ended.notnull())
        minutes = (known.ended.epoch_seconds() - known.started.epoch_seconds()) // 60
        return known.group_by("car", event_timestamp=known.ended).agg(leak=minutes.cast("int8").max().cast("int32"))

    result = check(place, shortest)
    assert result.passed
    assert any("corrupted at " in told for told in result.figures["could not be computed"])
