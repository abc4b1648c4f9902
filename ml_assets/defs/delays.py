"""What the demo means by late, and delays over a rolling window."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

ALWAYS = "2000-01-01T00:00:00Z"
"""Event timestamp of facts that are known before any prediction is asked for."""

LATE_MINUTES = 15
"""A flight is late when it arrives more than this many minutes after schedule."""


def is_late(flights: ir.Table) -> ir.BooleanColumn:
    """Whether each flight arrived late; null for flights that did not arrive where they should."""
    return flights.arr_delay > LATE_MINUTES


def rolling_delay(flights: ir.Table, by: tuple[str, ...], *, days: int, prefix: str) -> ir.Table:
    """For each arrival: number, mean delay and late share of the arrivals in the last *days*, itself included.

    One row per group *by* and arrival time; the window ends there, both ends included. Sums are of integers and divided
    once at the end, so that every engine and every order of addition gives the same bits.

    Args:
        flights: ``sources.flights``.
        by: The columns that define a group.
        days: Length of the window.
        prefix: Of the value columns ``<prefix>_n_<days>d``, ``<prefix>_delay_<days>d`` and ``<prefix>_late_<days>d``.
    """
    arrived = flights.filter(flights.arr_ts.notnull())
    per_moment = arrived.group_by(*by, event_timestamp=arrived.arr_ts).agg(
        delay=arrived.arr_delay.sum().cast("int64"),
        late=is_late(arrived).cast("int64").sum().cast("int64"),
        arrivals=arrived.count().cast("int64"),
    )
    window = ibis.window(
        group_by=by,
        order_by="event_timestamp",
        preceding=ibis.interval(days=days),
        following=ibis.interval(seconds=0),
    )
    summed = per_moment.mutate(
        delay=per_moment.delay.sum().over(window).cast("int64"),
        late=per_moment.late.sum().over(window).cast("int64"),
        arrivals=per_moment.arrivals.sum().over(window).cast("int64"),
    )
    arrivals = summed.arrivals.cast("float64")
    return summed.select(
        *by,
        "event_timestamp",
        **{
            f"{prefix}_n_{days}d": summed.arrivals,
            f"{prefix}_delay_{days}d": summed.delay.cast("float64") / arrivals,
            f"{prefix}_late_{days}d": summed.late.cast("float64") / arrivals,
        },
    )
