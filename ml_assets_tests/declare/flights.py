"""The flights as unbound tables, and two views over them whose identities another implementation computed too."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir
from ibis import _

MOMENT = "timestamp('UTC', 6)"

FLIGHTS = {
    "flight_key": "string",
    "carrier": "string",
    "flight": "int32",
    "tailnum": "string",
    "origin": "string",
    "dest": "string",
    "sched_dep_ts": MOMENT,
    "sched_arr_ts": MOMENT,
    "dep_ts": MOMENT,
    "arr_ts": MOMENT,
    "local_month": "int32",
    "local_day": "int32",
    "local_hour": "int32",
    "local_minute": "int32",
    "local_dow": "int32",
    "dep_delay": "int32",
    "arr_delay": "int32",
    "air_time": "int32",
    "distance": "int32",
}
PLANES = {
    "tailnum": "string",
    "year": "int32",
    "manufacturer": "string",
    "model": "string",
    "engines": "int32",
    "seats": "int32",
    "engine": "string",
}


def flights() -> ir.Table:
    """The flights."""
    return ibis.table(FLIGHTS, name="flights")


def planes() -> ir.Table:
    """The aircraft."""
    return ibis.table(PLANES, name="planes")


def plane(planes: ir.Table) -> ir.Table:
    """Facts of an aircraft."""
    always = ibis.timestamp("2000-01-01T00:00:00Z")
    return planes.select("tailnum", "seats", "engines", event_timestamp=always, plane_age=(2013 - _.year).cast("int32"))


def carrier_origin_delay(flights: ir.Table) -> ir.Table:
    """Delays of a carrier at an airport over seven days."""
    keys = ["carrier", "origin"]
    moments = (
        flights.filter(_.arr_ts.notnull())
        .group_by(*keys, event_timestamp=_.arr_ts)
        .agg(
            s=_.arr_delay.sum().cast("int64"),
            n=_.count().cast("int64"),
            l=(_.arr_delay > 15).cast("int64").sum().cast("int64"),
        )
    )
    week = ibis.window(
        group_by=keys,
        order_by="event_timestamp",
        preceding=ibis.interval(days=7),
        following=ibis.interval(seconds=0),
    )
    sums = moments.mutate(
        ws=_.s.sum().over(week).cast("int64"),
        wn=_.n.sum().over(week).cast("int64"),
        wl=_.l.sum().over(week).cast("int64"),
    )
    return sums.select(
        *keys,
        "event_timestamp",
        co_n_7d=_.wn,
        co_delay_7d=_.ws.cast("float64") / _.wn.cast("float64"),
        co_late_7d=_.wl.cast("float64") / _.wn.cast("float64"),
    )
