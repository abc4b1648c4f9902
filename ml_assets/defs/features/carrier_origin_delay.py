"""How late a carrier has lately been at an airport, as known at each arrival."""

from __future__ import annotations

from datetime import timedelta

import ibis.expr.types as ir

from ml_assets.defs import contracts, entities
from ml_assets.defs.delays import rolling_delay
from ml_assets.lib.declare import feature_view


@feature_view(
    version=1,
    keys=entities.CARRIER_AT_ORIGIN,
    ttl=timedelta(days=7),
    contract=contracts.CarrierOriginDelay,
    owner="team:flights",
)
def carrier_origin_delay(flights: ir.Table) -> ir.Table:
    """Mean arrival delay and share of late arrivals over the last seven days."""
    return rolling_delay(flights, by=("carrier", "origin"), days=7, prefix="co")
