"""A feature that knows the future is found by falsifying the future."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import ibis
import ibis.expr.types as ir
import pytest

from ml_assets.lib.declare import Entity, FeatureContract, FeatureView, Field, Int32, Timestamp
from ml_assets.lib.declare.versions import ViewRef
from ml_assets.lib.gate.outcome import Published, Refused
from ml_assets_tests.gate.world import FRAME, Place, changed, declarations, new_run


class Leak(FeatureContract):
    """One row per taxi and moment."""

    car: str = Field(description="The taxi")
    event_timestamp: Timestamp = Field(description="When the value is said to be known (UTC)")
    leak: Int32 = Field(nullable=True, description="A number")

    class Config:
        """Keys."""

        unique = ("car", "event_timestamp")


def at_departure(trips: ir.Table) -> ir.Table:
    """The duration of a trip, said to be known when it begins."""
    return trips.group_by("car", event_timestamp=trips.started).agg(leak=trips.minutes.max())


def over_all_time(trips: ir.Table) -> ir.Table:
    """The longest trip of a taxi ever, said to be known always."""
    longest = trips.group_by("car").agg(leak=trips.minutes.max())
    return longest.select("car", ibis.timestamp("1970-01-01T00:00:00+00:00").name("event_timestamp"), "leak")


def minute_of_arrival(trips: ir.Table) -> ir.Table:
    """The minute of the hour at which a trip ended, said to be known when it begins."""
    return trips.group_by("car", event_timestamp=trips.started).agg(leak=trips.ended.max().minute().cast("int32"))


def how_many_end(trips: ir.Table) -> ir.Table:
    """How many trips of a taxi ever end, said to be known always: not a value is the leak, but that there is one."""
    ends = trips.group_by("car").agg(leak=trips.ended.notnull().sum().cast("int32"))
    return ends.select("car", ibis.timestamp("1970-01-01T00:00:00+00:00").name("event_timestamp"), "leak")


def before_it_is_over(trips: ir.Table) -> ir.Table:
    """The duration of a trip, said to be known a day before it ends."""
    known = trips.filter(trips.ended.notnull())
    return known.group_by("car", event_timestamp=known.ended - ibis.interval(days=1)).agg(leak=known.minutes.max())


def at_arrival(trips: ir.Table) -> ir.Table:
    """The duration of a trip, known when it has ended."""
    known = trips.filter(trips.ended.notnull())
    return known.group_by("car", event_timestamp=known.ended).agg(leak=known.minutes.max())


def timetable(trips: ir.Table) -> ir.Table:
    """Seats of the taxi, known from the beginning of each trip."""
    return trips.group_by("car", event_timestamp=trips.started).agg(leak=trips.seats.max())


def frame_over(place: Place, function: Callable[..., Any]) -> Any:
    """Publish a view of this function, and materialize the frame over it."""
    declared = declarations()
    view = FeatureView(
        name="leak",
        function=function,
        version=1,
        keys=Entity("car", ("car",)),
        ttl=timedelta(days=7) if function not in (over_all_time, how_many_end) else None,
        contract=Leak,
    )
    parts = {
        "views": {**declared.views, ("leak", 1): view},
        "feature_versions": {"v1": (ViewRef("longest", 1, None), ViewRef("leak", 1, None))},
    }
    machinery = place.new_machinery(changed(**parts))
    asset = machinery.plan.assets["features/leak"]
    (partition,) = machinery.plan.partitions(asset)
    work = machinery.plan.work(machinery.systems, asset, partition)
    assert work is not None
    assert isinstance(machinery.gate.materialize(work, new_run()), Published)
    return place.materialize(FRAME, machinery=machinery)


@pytest.mark.parametrize("function", [at_departure, over_all_time, before_it_is_over, minute_of_arrival, how_many_end])
def test_leak_is_caught(place: Place, function: Callable[..., Any]) -> None:
    """A view that uses a fact before it was known is refused with the rows that moved."""
    outcome = frame_over(place, function)
    assert isinstance(outcome, Refused)
    (result,) = (result for result in outcome.verdict if result.check == "no_future")
    assert result.rows_failed > 0
    assert {"features moved by facts of the future": result.rows_failed} == result.counts
    assert {"trip", "leak", "longest"} <= result.examples[0].keys()


@pytest.mark.parametrize("function", [at_arrival, timetable])
def test_honest_view_passes(place: Place, function: Callable[..., Any]) -> None:
    """A view that waits until a fact is known passes."""
    outcome = frame_over(place, function)
    assert isinstance(outcome, Published)
    (result,) = (result for result in outcome.verdict if result.check == "no_future")
    assert result.passed
    assert result.figures["rows"] > 10
