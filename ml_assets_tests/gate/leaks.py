"""Feature views that know the future, as people write them, each with its honest twin.

All are of taxis and their trips: rows are known from departure on, ``ended`` and ``minutes`` at arrival.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import ibis
import ibis.expr.types as ir

LONG_AGO: Final = "1970-01-01T00:00:00+00:00"

View = Callable[[ir.Table], ir.Table]


class Pair(NamedTuple):
    """A leak and what it should have been."""

    leak: View
    honest: View


def _departures(trips: ir.Table) -> ir.Table:
    """One row per taxi and departure."""
    return trips.group_by("car", event_timestamp=trips.started).agg(
        seats=trips.seats.max().cast("int64"), number=trips.count()
    )


def _arrivals(trips: ir.Table) -> ir.Table:
    """One row per taxi and arrival."""
    known = trips.filter(trips.ended.notnull())
    return known.group_by("car", event_timestamp=known.ended).agg(
        minutes=known.minutes.max().cast("int64"), number=known.count()
    )


def _value(rows: ir.Table, leak: ir.Value) -> ir.Table:
    return rows.select("car", "event_timestamp", leak=leak.cast("int32"))


def _so_far(group_by: str | None = "car") -> ibis.expr.builders.WindowBuilder:
    return ibis.range_window(group_by=group_by, order_by="event_timestamp", preceding=None, following=0)


def total(trips: ir.Table) -> ir.Table:
    """Seats of all trips of a taxi, later ones too."""
    rows = _departures(trips)
    return _value(rows, rows.seats.sum().over(ibis.window(group_by="car")))


def total_so_far(trips: ir.Table) -> ir.Table:
    """Seats of all trips of a taxi up to this one."""
    rows = _departures(trips)
    window = ibis.cumulative_window(group_by="car", order_by="event_timestamp")
    return _value(rows, rows.seats.sum().over(window))


def count(trips: ir.Table) -> ir.Table:
    """How often a taxi ever drives, said to be known since long."""
    rows = trips.group_by("car").agg(leak=trips.count().cast("int32"))
    return rows.select("car", ibis.timestamp(LONG_AGO).name("event_timestamp"), "leak")


def count_so_far(trips: ir.Table) -> ir.Table:
    """How often a taxi has driven."""
    rows = _departures(trips)
    window = ibis.cumulative_window(group_by="car", order_by="event_timestamp")
    return _value(rows, rows.number.sum().over(window))


def normalised(trips: ir.Table) -> ir.Table:
    """A taxi's trips as share of the busiest moment of the whole table."""
    rows = _arrivals(trips)
    return _value(rows, rows.minutes * 1000 - rows.minutes.sum().over(ibis.window()))


def not_normalised(trips: ir.Table) -> ir.Table:
    """Minutes of the trip that ended."""
    rows = _arrivals(trips)
    return _value(rows, rows.minutes * 1000)


def lead(trips: ir.Table) -> ir.Table:
    """Hours until the next departure of the taxi."""
    rows = _departures(trips)
    later = rows.event_timestamp.lead().over(ibis.window(group_by="car", order_by="event_timestamp"))
    return _value(rows, later.epoch_seconds() // 3600 - rows.event_timestamp.epoch_seconds() // 3600)


def lag(trips: ir.Table) -> ir.Table:
    """Hours since the last departure of the taxi."""
    rows = _departures(trips)
    earlier = rows.event_timestamp.lag().over(ibis.window(group_by="car", order_by="event_timestamp"))
    return _value(rows, rows.event_timestamp.epoch_seconds() // 3600 - earlier.epoch_seconds() // 3600)


def rank_from_the_end(trips: ir.Table) -> ir.Table:
    """How many trips of the taxi are still to come."""
    rows = _departures(trips)
    window = ibis.cumulative_window(group_by="car", order_by=ibis.desc("event_timestamp"))
    return _value(rows, rows.number.sum().over(window))


def window_after_the_row(trips: ir.Table) -> ir.Table:
    """Trips of the taxi within a day before and two days after."""
    rows = _departures(trips)
    window = ibis.window(
        group_by="car",
        order_by="event_timestamp",
        preceding=ibis.interval(days=1),
        following=ibis.interval(days=2),
    )
    return _value(rows, rows.number.sum().over(window))


def window_before_the_row(trips: ir.Table) -> ir.Table:
    """Trips of the taxi within a day before."""
    rows = _departures(trips)
    window = ibis.window(
        group_by="car",
        order_by="event_timestamp",
        preceding=ibis.interval(days=1),
        following=ibis.interval(seconds=0),
    )
    return _value(rows, rows.number.sum().over(window))


def filled_from_later(trips: ir.Table) -> ir.Table:
    """The least seats of this trip and the next three: what a fill from later rows takes."""
    rows = _departures(trips)
    window = ibis.window(group_by="car", order_by="event_timestamp", preceding=0, following=3)
    return _value(rows, (rows.seats * rows.event_timestamp.day()).max().over(window))


def filled_from_earlier(trips: ir.Table) -> ir.Table:
    """The greatest of this trip and the three before."""
    rows = _departures(trips)
    window = ibis.window(group_by="car", order_by="event_timestamp", preceding=3, following=0)
    return _value(rows, (rows.seats * rows.event_timestamp.day()).max().over(window))


def joined_with_a_later_row(trips: ir.Table) -> ir.Table:
    """How many departures of the taxi are later."""
    rows = _departures(trips)
    other = rows.view()
    pairs = rows.join(other, [rows.car == other.car, rows.event_timestamp < other.event_timestamp])
    return pairs.group_by("car", "event_timestamp").agg(leak=pairs.count().cast("int32"))


def joined_with_an_earlier_row(trips: ir.Table) -> ir.Table:
    """How many departures of the taxi are earlier."""
    rows = _departures(trips)
    other = rows.view()
    pairs = rows.join(other, [rows.car == other.car, rows.event_timestamp > other.event_timestamp])
    return pairs.group_by("car", "event_timestamp").agg(leak=pairs.count().cast("int32"))


def dictionary(trips: ir.Table) -> ir.Table:
    """A number for each duration there is, in order: later ones move it."""
    rows = _arrivals(trips)
    return _value(rows, ibis.dense_rank().over(ibis.window(order_by=rows.minutes)))


def target_encoding(trips: ir.Table) -> ir.Table:
    """Mean duration of the taxi's trips, over the whole table."""
    rows = _departures(trips)
    means = trips.group_by("car").agg(whole=trips.minutes.sum(), known=trips.minutes.count())
    return _value(rows.join(means, "car"), means.whole * 100 // means.known)


def overwritten(trips: ir.Table) -> ir.Table:
    """How long the trip took, said to be known at departure: a status that is overwritten later."""
    rows = trips.group_by("car", event_timestamp=trips.started).agg(leak=trips.minutes.max().cast("int32"))
    return rows.select("car", "event_timestamp", "leak")


def at_arrival(trips: ir.Table) -> ir.Table:
    """How long the trip took, known at arrival."""
    rows = _arrivals(trips)
    return _value(rows, rows.minutes)


def an_hour_early(trips: ir.Table) -> ir.Table:
    """How long the trip took, by a clock that is set back on the tenth of June, as at the end of summer time."""
    known = trips.filter(trips.ended.notnull())
    border = ibis.timestamp("2020-06-10T00:00:00+00:00")
    moment = ibis.cases((known.ended < border, known.ended), else_=known.ended - ibis.interval(hours=1))
    return known.group_by("car", event_timestamp=moment).agg(leak=known.minutes.max().cast("int32"))


def how_many_end(trips: ir.Table) -> ir.Table:
    """How many trips of a taxi ever end, said to be known always: not a value is the leak, but that there is one."""
    ends = trips.group_by("car").agg(leak=trips.ended.notnull().sum().cast("int32"))
    return ends.select("car", ibis.timestamp(LONG_AGO).name("event_timestamp"), "leak")


def how_many_ended(trips: ir.Table) -> ir.Table:
    """How many trips of the taxi have ended."""
    rows = _arrivals(trips)
    window = ibis.cumulative_window(group_by="car", order_by="event_timestamp")
    return _value(rows, rows.number.sum().over(window))


def minute_of_arrival(trips: ir.Table) -> ir.Table:
    """The minute of the hour at which a trip ended, said to be known when it begins."""
    rows = trips.group_by("car", event_timestamp=trips.started).agg(leak=trips.ended.max().minute().cast("int32"))
    return rows.select("car", "event_timestamp", "leak")


GALLERY: Final = {
    "total per entity": Pair(total, total_so_far),
    "count per entity": Pair(count, count_so_far),
    "normalised over the whole table": Pair(normalised, not_normalised),
    "lead": Pair(lead, lag),
    "rank from the end": Pair(rank_from_the_end, count_so_far),
    "window that ends after the row": Pair(window_after_the_row, window_before_the_row),
    "filled from later rows": Pair(filled_from_later, filled_from_earlier),
    "joined with a later row": Pair(joined_with_a_later_row, joined_with_an_earlier_row),
    "dictionary encoding": Pair(dictionary, not_normalised),
    "target encoding": Pair(target_encoding, total_so_far),
    "status overwritten later": Pair(overwritten, at_arrival),
    "clock that is an hour slow": Pair(an_hour_early, at_arrival),
    "how many ever end": Pair(how_many_end, how_many_ended),
    "minute of the arrival": Pair(minute_of_arrival, at_arrival),
}
