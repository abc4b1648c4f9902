"""The flights. Their clocks are local to two time zones; here they become moments in UTC."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import ibis.expr.types as ir

from ml_assets.defs import contracts
from ml_assets.defs.sources.files import LIBRARIES, as_table, package_file, read_csv
from ml_assets.lib.declare import rule, source

if TYPE_CHECKING:  # heavy: the code location loads without them
    import pandas as pd
    import pyarrow as pa

_COLUMNS = {
    **dict.fromkeys(("carrier", "tailnum", "origin", "dest", "time_hour"), "str"),
    **dict.fromkeys(("year", "month", "day", "hour", "minute", "flight", "distance"), "Int64"),
    **dict.fromkeys(("sched_arr_time", "dep_delay", "arr_delay", "air_time"), "Int64"),
}

_ZONES_OF_UNLISTED = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}
"""Destinations that airports.csv does not have."""


@rule()
def arrives_after_departure(flights: ir.Table) -> ir.Table:
    """No flight arrives before it has left, or without having left."""
    wrong = flights.arr_ts.notnull() & (flights.dep_ts.isnull() | (flights.arr_ts <= flights.dep_ts))
    return flights.filter(wrong).select("flight_key", "sched_dep_ts", "dep_ts", "arr_ts")


@source(
    files={"flights": package_file("flights.csv.zip"), "airports": package_file("airports.csv")},
    contract=contracts.Flights,
    event_time="sched_dep_ts",
    always_known=True,  # a flight stands in the timetable long before it leaves
    known_at={
        "dep_ts": "dep_ts",
        "dep_delay": "dep_ts",
        "arr_ts": "arr_ts",
        "arr_delay": "arr_ts",
        "air_time": "arr_ts",
    },
    rules=(arrives_after_departure,),
    libraries=LIBRARIES,
    owner="team:flights",
)
def flights(flights: Path, airports: Path) -> pa.Table:
    """Departures from New York City's airports in 2013, with delays and the moments at which they were known."""
    import pandas as pd

    raw = read_csv(flights, _COLUMNS)
    date = pd.to_datetime(raw[["year", "month", "day"]])
    day = pd.Series(date.to_numpy().astype("datetime64[D]").astype(str), index=raw.index)
    departure = pd.to_datetime(raw["time_hour"], utc=True, format="%Y-%m-%dT%H:%M:%SZ") + _minutes(raw["minute"])
    arrival = _scheduled_arrival(departure, raw["sched_arr_time"], _zone_of(raw["dest"], airports))
    columns = {
        "flight_key": day + "|" + raw["carrier"] + "|" + raw["flight"].astype(str) + "|" + raw["origin"],
        "sched_dep_ts": departure,
        "sched_arr_ts": arrival,
        "dep_ts": departure + _minutes(raw["dep_delay"]),
        "arr_ts": arrival + _minutes(raw["arr_delay"]),
        "local_month": raw["month"],
        "local_day": raw["day"],
        "local_hour": raw["hour"],
        "local_minute": raw["minute"],
        "local_dow": date.dt.dayofweek,
    }
    return as_table(raw.assign(**columns), contracts.Flights)


def _minutes(number: pd.Series[int]) -> pd.Series[pd.Timedelta]:
    """A number of minutes as a span of time; null stays null."""
    import numpy as np
    import pandas as pd

    spans = pd.Series(number.fillna(0).to_numpy("int64") * np.timedelta64(1, "m"), index=number.index)
    return spans.where(number.notna())


def _zone_of(airport: pd.Series[str], airports: Path) -> pd.Series[str]:
    """Time zone of each airport.

    Raises:
        ValueError: An airport has none.
    """
    listed = read_csv(airports, {"faa": "str", "tzone": "str"})
    zones = airport.map(dict(zip(listed["faa"], listed["tzone"], strict=True)) | _ZONES_OF_UNLISTED)
    unknown = sorted(airport[zones.isna() & airport.notna()].unique())
    if unknown:
        raise ValueError(f"{airports.name} knows no time zone of {', '.join(unknown)}")
    return zones


def _scheduled_arrival(
    departure: pd.Series[pd.Timestamp], clock: pd.Series[int], zone: pd.Series[str]
) -> pd.Series[pd.Timestamp]:
    """The first moment after *departure* at which a wall clock in *zone* shows *clock*, in UTC.

    Args:
        departure: Moments in UTC.
        clock: Hours and minutes as in 1545.
        zone: Name of the time zone of the destination.
    """
    import numpy as np
    import pandas as pd

    arrival = pd.Series(pd.NaT, index=departure.index, dtype="datetime64[ns, UTC]")
    time_of_day = _minutes(clock // 100 * 60 + clock % 100)
    for name, rows in zone.groupby(zone).groups.items():
        local = departure[rows].dt.tz_convert(str(name)).dt.tz_localize(None)
        same_day = local.dt.normalize() + time_of_day[rows]
        wall = same_day.where(same_day > local, same_day + pd.Timedelta(days=1))
        standard_time = np.zeros(len(rows), dtype=bool)  # where the clock shows an hour twice
        moment = wall.dt.tz_localize(str(name), ambiguous=standard_time, nonexistent="shift_forward")
        arrival[rows] = moment.dt.tz_convert("UTC")
    return arrival
