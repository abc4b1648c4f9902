"""How late a route has lately been, as known at each arrival."""

from __future__ import annotations

from datetime import timedelta

import ibis.expr.types as ir

from ml_assets.defs import contracts, entities
from ml_assets.defs.delays import rolling_delay
from ml_assets.lib.declare import feature_view


@feature_view(
    version=1, keys=entities.ROUTE, ttl=timedelta(days=28), contract=contracts.RouteDelay, owner="team:flights"
)
def route_delay(flights: ir.Table) -> ir.Table:
    """Mean arrival delay and share of late arrivals over the last 28 days."""
    return rolling_delay(flights, by=("origin", "dest"), days=28, prefix="route")
