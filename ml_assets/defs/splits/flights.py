"""The split versions of the flights. Every flight is in each of them, also the cancelled ones."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import ibis.expr.types as ir

from ml_assets.defs.delays import is_late
from ml_assets.lib.declare import by_hash, by_time, split
from ml_assets.lib.declare.rules import complete, disjoint, label_rates, ordered, shares

NEW_YORK = ZoneInfo("America/New_York")


@split(
    "time-2013",
    of="flights",
    key="flight_key",
    rules=(
        complete(of="flights"),
        ordered(by="sched_dep_ts", of="flights"),
        label_rates(of="flights", label=is_late, per=("origin",), within=None),  # seasons differ: shown, not judged
    ),
    owner="team:flights",
)
def time_2013(flights: ir.Table) -> ir.Table:
    """Train before September, val in September and October, test afterwards: local midnights in New York."""
    val, test = (datetime(2013, month, 1, tzinfo=NEW_YORK) for month in (9, 11))
    return flights.select("flight_key", split=by_time(flights.sched_dep_ts, val=val, test=test))


@split(
    "hash-s42",
    of="flights",
    key="flight_key",
    seed=42,
    rules=(
        complete(of="flights"),
        shares(train=0.70, val=0.15, test=0.15, within=0.01),
        label_rates(of="flights", label=is_late, per=("origin",), within=0.01),
    ),
    owner="team:flights",
)
def hash_s42(flights: ir.Table) -> ir.Table:
    """70/15/15 by hash of the flight: stable as data grows."""
    return flights.select("flight_key", split=by_hash(flights.flight_key, salt="s42", train=0.70, val=0.15))


@split(
    "group-tail",
    of="flights",
    key="flight_key",
    rules=(
        complete(of="flights"),
        disjoint(by="tailnum", of="flights"),
        shares(train=0.70, val=0.15, test=0.15, within=0.02),
        label_rates(of="flights", label=is_late, per=("origin",), within=0.02),
    ),
    owner="team:flights",
)
def group_tail(flights: ir.Table) -> ir.Table:
    """70/15/15 by hash of the aircraft: no aircraft is in two splits; a flight without one stands alone."""
    aircraft = flights.tailnum.fill_null(flights.flight_key)
    return flights.select("flight_key", split=by_hash(aircraft, salt="tail", train=0.70, val=0.15))
