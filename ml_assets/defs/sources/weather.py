"""The weather at the airports of departure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import ibis.expr.types as ir

from ml_assets.defs import contracts
from ml_assets.defs.sources.files import LIBRARIES, as_table, package_file, read_csv
from ml_assets.lib.declare import rule, source

if TYPE_CHECKING:  # heavy, and only named in the signature
    import pyarrow as pa

_MEASURED = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")


@rule()
def known_after_observed(weather: ir.Table) -> ir.Table:
    """No observation is known before it was made."""
    return weather.filter(weather.known_ts < weather.obs_ts).select("origin", "obs_ts", "known_ts")


@source(
    files={"weather": package_file("weather.csv")},
    contract=contracts.Weather,
    event_time="obs_ts",
    known_from="known_ts",
    known_at=dict.fromkeys(_MEASURED, "known_ts"),
    rules=(known_after_observed,),
    libraries=LIBRARIES,
    owner="team:flights",
)
def weather(weather: Path) -> pa.Table:
    """Hourly weather at New York City's airports, known one hour after it was observed."""
    import pandas as pd

    raw = read_csv(weather, {"origin": "str", "time_hour": "str", **dict.fromkeys(_MEASURED, "float64")})
    observed = pd.to_datetime(raw["time_hour"], utc=True, format="%Y-%m-%dT%H:%M:%SZ")
    return as_table(raw.assign(obs_ts=observed, known_ts=observed + pd.Timedelta(hours=1)), contracts.Weather)
