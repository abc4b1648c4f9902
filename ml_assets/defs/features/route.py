"""What is known of a route."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from ml_assets.defs import contracts, entities
from ml_assets.defs.delays import ALWAYS
from ml_assets.lib.declare import feature_view


@feature_view(version=1, keys=entities.ROUTE, ttl=None, contract=contracts.Route, owner="team:flights")
def route(flights: ir.Table) -> ir.Table:
    """Distance between origin and destination."""
    distances = flights.group_by("origin", "dest").agg(distance=flights.distance.max())
    return distances.select("origin", "dest", ibis.timestamp(ALWAYS).name("event_timestamp"), "distance")
