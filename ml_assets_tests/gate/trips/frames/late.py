"""Which trips take long."""

from __future__ import annotations

import ibis.expr.types as ir

from ml_assets.lib.declare import frame
from ml_assets_tests.gate.trips import contracts


@frame(split="trips", contract=contracts.LateFrame, moments=2)  # few: most tests are about something else
def late(trips: ir.Table) -> ir.Table:
    """Trips that ended; label: more than half an hour; asked at departure."""
    ended = trips.filter(trips.minutes.notnull())
    return ended.select("trip", "car", event_timestamp=ended.started, label=(ended.minutes > 30).cast("int32"))
