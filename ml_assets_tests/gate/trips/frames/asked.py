"""Which trips take long, asked one minute later: in the tests, the frame whose rows are said to be many."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from ml_assets.lib.declare import frame
from ml_assets_tests.gate.trips import contracts


@frame(split="trips", contract=contracts.LateFrame, moments=2)  # few: most tests are about something else
def asked(trips: ir.Table) -> ir.Table:
    """Trips that ended; label: more than half an hour; asked a minute after departure."""
    ended = trips.filter(trips.minutes.notnull())
    moment = ended.started + ibis.interval(minutes=1)
    return ended.select("trip", "car", event_timestamp=moment, label=(ended.minutes > 30).cast("int32"))
