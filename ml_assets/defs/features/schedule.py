"""What the timetable says of a flight."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from ml_assets.defs import contracts, entities
from ml_assets.defs.delays import ALWAYS
from ml_assets.lib.declare import feature_view


@feature_view(version=1, keys=entities.FLIGHT, ttl=None, contract=contracts.Schedule, owner="team:flights")
def schedule(flights: ir.Table) -> ir.Table:
    """Local time, weekday and month of the scheduled departure."""
    return flights.select(
        "flight_key",
        event_timestamp=ibis.timestamp(ALWAYS),
        hour=flights.local_hour,
        minute=flights.local_minute,
        month=flights.local_month,
        dow=flights.local_dow,
    )
