"""The weather at the airport of departure."""

from __future__ import annotations

from datetime import timedelta

import ibis.expr.types as ir

from ml_assets.defs import contracts, entities
from ml_assets.lib.declare import feature_view


@feature_view(
    version=1, keys=entities.ORIGIN, ttl=timedelta(hours=6), contract=contracts.OriginWeather, owner="team:flights"
)
def origin_weather(weather: ir.Table) -> ir.Table:
    """The last published observation; a missing gust means that there was none."""
    return weather.select(
        "origin",
        weather.known_ts.name("event_timestamp"),
        "temp",
        "dewp",
        "humid",
        "wind_speed",
        "precip",
        "pressure",
        "visib",
        wind_gust=weather.wind_gust.fill_null(0.0),
    )
