"""What the register says of an aircraft."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from ml_assets.defs import contracts, entities
from ml_assets.defs.delays import ALWAYS
from ml_assets.lib.declare import feature_view

YEAR_OF_DATA = 2013


@feature_view(version=1, keys=entities.TAIL, ttl=None, contract=contracts.Plane, owner="team:flights")
def plane(planes: ir.Table) -> ir.Table:
    """Seats, engines and age; an aircraft that is not in the register has none of them, which tells something too."""
    return planes.select(
        "tailnum",
        ibis.timestamp(ALWAYS).name("event_timestamp"),
        "seats",
        "engines",
        plane_age=(YEAR_OF_DATA - planes.year).cast("int32"),
    )
