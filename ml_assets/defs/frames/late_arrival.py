"""Will a flight arrive late? Asked two hours before it is scheduled to leave."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from ml_assets.defs import contracts
from ml_assets.defs.delays import is_late
from ml_assets.lib.declare import frame

HOURS_AHEAD = 2


@frame(split="flights", contract=contracts.LateArrivalFrame, owner="team:flights")
def late_arrival(flights: ir.Table) -> ir.Table:
    """Flights that arrived; label: more than 15 minutes late; asked two hours before scheduled departure."""
    arrived = flights.filter(flights.arr_delay.notnull())
    return arrived.select(
        "flight_key",
        "carrier",
        "origin",
        "dest",
        "tailnum",
        event_timestamp=arrived.sched_dep_ts - ibis.interval(hours=HOURS_AHEAD),
        sched_dep_ts=arrived.sched_dep_ts,
        label=is_late(arrived).cast("int32"),
    )
