"""What is known of a taxi, and of what it did last."""

from __future__ import annotations

from datetime import timedelta

import ibis
import ibis.expr.types as ir

from ml_assets.lib.declare import Entity, feature_view
from ml_assets_tests.gate.trips import contracts

CAR = Entity("car", ("car",))


@feature_view(version=1, keys=CAR, ttl=timedelta(days=7), contract=contracts.Longest)
def longest(trips: ir.Table) -> ir.Table:
    """Duration of the trip that ended last."""
    known = trips.filter(trips.ended.notnull())
    return known.group_by("car", event_timestamp=known.ended).agg(longest=known.minutes.max())


@feature_view(version=1, keys=CAR, ttl=timedelta(days=7), contract=contracts.Shortest, partition_by=("car",))
def shortest(trips: ir.Table) -> ir.Table:
    """Duration of the trip that ended last, where two ended at once of the shorter one; one file per taxi."""
    known = trips.filter(trips.ended.notnull())
    return known.group_by("car", event_timestamp=known.ended).agg(shortest=known.minutes.min())


@feature_view(version=1, keys=CAR, ttl=None, contract=contracts.Cars)
def cars(trips: ir.Table) -> ir.Table:
    """Seats of the taxi."""
    seats = trips.group_by("car").agg(seats=trips.seats.max())
    return seats.select("car", ibis.timestamp("1970-01-01T00:00:00+00:00").name("event_timestamp"), "seats")
