"""How late an aircraft arrived last, as known at each arrival."""

from __future__ import annotations

from datetime import timedelta

import ibis.expr.types as ir

from ml_assets.defs import contracts, entities
from ml_assets.lib.declare import feature_view


@feature_view(
    version=1, keys=entities.TAIL, ttl=timedelta(hours=24), contract=contracts.TailLastLeg, owner="team:flights"
)
def tail_last_leg(flights: ir.Table) -> ir.Table:
    """Arrival delay of the aircraft's last flight that had landed; the greater one, should two share the minute."""
    arrived = flights.filter(flights.arr_ts.notnull() & flights.tailnum.notnull())
    return arrived.group_by("tailnum", event_timestamp=arrived.arr_ts).agg(prev_leg_delay=arrived.arr_delay.max())
