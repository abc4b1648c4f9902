"""The table of operations: times, dates and zones."""

# ruff: noqa: PLW0108 (the arguments of each lambda name the columns that it reads)

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir

from ml_assets_tests.engines.operation_rows import Case, Row, and_, known, raw

NEW_YORK: Final = "America/New_York"
ZONES: Final = (
    "Europe/Berlin",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Asia/Tehran",
)
"""Whole and half hours, a summer time of half an hour, a skipped day, rules that ended."""


def _there(at: datetime) -> datetime:
    return at.astimezone(ZoneInfo(NEW_YORK))


def _ny(t: ir.Table) -> Any:
    return t.at.cast(f"timestamp('{NEW_YORK}')")


def _units(at: datetime, microseconds: int) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=microseconds)


def _months(at: datetime, n: int) -> datetime:
    year, month = divmod(at.year * 12 + at.month - 1 + n, 12)
    last = (date(year + (month == 11), (month + 1) % 12 + 1, 1) - timedelta(days=1)).day
    return at.replace(year=year, month=month + 1, day=min(at.day, last))


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


_Part = tuple[Callable[[Any], Any], Callable[[Any], Any]]
"""An operation, and what Python says."""
_PARTS: Final[Mapping[str, _Part]] = {
    "year": (lambda at: at.year(), lambda at: at.year),
    "month": (lambda at: at.month(), lambda at: at.month),
    "day": (lambda at: at.day(), lambda at: at.day),
    "quarter": (lambda at: at.quarter(), lambda at: (at.month + 2) // 3),
    "week": (lambda at: at.week_of_year(), lambda at: at.isocalendar()[1]),
    "iso year": (lambda at: at.iso_year(), lambda at: at.isocalendar()[0]),
    "day of year": (lambda at: at.day_of_year(), lambda at: at.timetuple().tm_yday),
    "weekday": (lambda at: at.day_of_week.index(), lambda at: at.weekday()),
    "weekday name": (lambda at: at.day_of_week.full_name(), lambda at: f"{at:%A}"),
}
_CLOCK: Final[Mapping[str, _Part]] = {
    "hour": (lambda at: at.hour(), lambda at: at.hour),
    "minute": (lambda at: at.minute(), lambda at: at.minute),
    "second": (lambda at: at.second(), lambda at: at.second),
    "millisecond": (lambda at: at.millisecond(), lambda at: at.microsecond // 1000),
    "microsecond": (lambda at: at.microsecond(), lambda at: at.microsecond),
    "date": (lambda at: at.date(), lambda at: at.date()),
    "text": (lambda at: at.strftime("%Y-%m-%dT%H:%M:%S"), lambda at: f"{at:%Y-%m-%dT%H:%M:%S}"),
    "text of a minute": (lambda at: at.strftime("%d/%m/%Y %H.%M"), lambda at: f"{at:%d/%m/%Y %H.%M}"),
}


def _start(at: datetime, unit: str) -> datetime:
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "Y": day.replace(month=1, day=1),
        "Q": day.replace(month=(at.month - 1) // 3 * 3 + 1, day=1),
        "M": day.replace(day=1),
        "W": day - timedelta(days=at.weekday()),
        "D": day,
        "h": at.replace(minute=0, second=0, microsecond=0),
        "m": at.replace(second=0, microsecond=0),
        "s": at.replace(microsecond=0),
        "us": at,
        "ms": at.replace(microsecond=at.microsecond // 1000 * 1000),
    }[unit]


def _of(part: _Part, on: Callable[[ir.Table], Any], column: str, shown: Callable[[Any], Any] = lambda at: at) -> Case:
    """What a clock or calendar shows of a column."""
    of, said = part
    return Case("times", lambda t: of(on(t)), lambda row: None if row[column] is None else said(shown(row[column])))


def _in_zone(zone: str) -> Case:
    shown = "%Y-%m-%d %H:%M:%S.%f %A"
    return Case(
        "times",
        lambda t: t.at.cast(f"timestamp('{zone}')").strftime(shown),
        known(lambda at: at.astimezone(ZoneInfo(zone)).strftime(shown)),
    )


def _truncated(unit: str) -> Case:
    return Case(
        "times",
        lambda t: t.at.truncate(unit).cast("timestamp('UTC')"),
        lambda row: None if row["at"] is None else _start(row["at"], unit),
    )


def _truncated_day(unit: str) -> Case:
    def start(row: Row) -> date | None:
        day = row["day"]
        return None if day is None else _start(datetime(day.year, day.month, day.day, tzinfo=UTC), unit).date()

    return Case("times", lambda t: t.day.truncate(unit), start)


def _delta(unit: str, size: int) -> Case:
    units = known(lambda at, then: _units(at, size) - _units(then, size))
    return Case("times", lambda t: t.at.delta(t.then, unit=unit), units)


TIME: Final = {
    **{f"time {name}": _of(part, lambda t: t.at, "at") for name, part in {**_PARTS, **_CLOCK}.items()},
    **{f"time in New York {name}": _of(part, _ny, "at", _there) for name, part in {**_PARTS, **_CLOCK}.items()},
    **{f"day {name}": _of(part, lambda t: t.day, "day") for name, part in _PARTS.items()},
    **{f"time truncate {unit}": _truncated(unit) for unit in ("Y", "Q", "M", "W", "D", "h", "m", "s", "ms", "us")},
    **{f"day truncate {unit}": _truncated_day(unit) for unit in ("Y", "Q", "M", "W", "D")},
    **{f"time in {zone}": _in_zone(zone) for zone in ZONES},
    "time of Kolkata": Case(
        "times",
        lambda t: t.at.cast("timestamp('Asia/Kolkata')").minute(),
        known(lambda at: at.astimezone(ZoneInfo("Asia/Kolkata")).minute),
    ),
    "time back": Case("times", lambda t: _ny(t).cast("timestamp('UTC')"), known(lambda at: at)),
    "time ==": Case("times", lambda t: _ny(t) == t.at, known(lambda at: True)),
    "time <": Case("times", lambda t: _ny(t) < t.then, known(lambda at, then: at < then)),
    "time > literal": Case(
        "times",
        lambda t: t.at > ibis.literal(datetime(2024, 3, 10, 2, tzinfo=ZoneInfo(NEW_YORK))),
        known(lambda at: at > datetime(2024, 3, 10, 7, tzinfo=UTC)),
    ),
    "time literal +02:00": Case(
        "times",
        lambda t: t.at < ibis.timestamp("2024-11-03T08:30:00+02:00"),
        known(lambda at: at < datetime(2024, 11, 3, 6, 30, tzinfo=UTC)),
    ),
    "time literal": Case(
        "times",
        lambda t: ibis.literal(datetime(1969, 12, 31, 23, 59, 59, 999_997, tzinfo=UTC)),
        lambda row: datetime(1969, 12, 31, 23, 59, 59, 999_997, tzinfo=UTC),
    ),
    "time literal text": Case(
        "times",
        lambda t: ibis.timestamp("2013-03-10T02:00:00.000001-05:00").cast("timestamp('UTC')"),
        lambda row: datetime(2013, 3, 10, 7, 0, 0, 1, tzinfo=UTC),
    ),
    "time > text": Case(
        "times", lambda t: t.at >= "2024-03-10T07:00:00Z", known(lambda at: at >= datetime(2024, 3, 10, 7, tzinfo=UTC))
    ),
    "time seconds": Case("times", lambda t: t.at.epoch_seconds(), known(lambda at: _units(at, 1_000_000))),
    "time seconds after 2038": Case(
        "times",
        lambda t: (t.at + ibis.interval(days=36_500)).epoch_seconds().cast("int64"),
        known(lambda at: _units(at + timedelta(days=36_500), 1_000_000)),
    ),
    "time + day": Case("times", lambda t: t.at + ibis.interval(days=1), known(lambda at: at + timedelta(days=1))),
    "time - hours": Case("times", lambda t: t.at - ibis.interval(hours=5), known(lambda at: at - timedelta(hours=5))),
    "time + week": Case("times", lambda t: t.at + ibis.interval(weeks=2), known(lambda at: at + timedelta(weeks=2))),
    "time + microseconds": Case(
        "times", lambda t: t.at + ibis.interval(microseconds=3), known(lambda at: at + timedelta(microseconds=3))
    ),
    "time + milliseconds": Case(
        "times", lambda t: t.at + ibis.interval(milliseconds=3), known(lambda at: at + timedelta(milliseconds=3))
    ),
    "time + month": Case("times", lambda t: t.at + ibis.interval(months=1), known(lambda at: _months(at, 1))),
    "time - months": Case("times", lambda t: t.at - ibis.interval(months=13), known(lambda at: _months(at, -13))),
    "time + year": Case("times", lambda t: t.at + ibis.interval(years=1), known(lambda at: _months(at, 12))),
    "time + quarter": Case("times", lambda t: t.at + ibis.interval(quarters=1), known(lambda at: _months(at, 3))),
    "time + n days": Case("times", lambda t: t.at + t.n.as_interval("D"), known(lambda at, n: at + timedelta(days=n))),
    "time - n hours": Case(
        "times", lambda t: t.at - t.n.as_interval("h"), known(lambda at, n: at - timedelta(hours=n))
    ),
    "time + n seconds": Case(
        "times", lambda t: t.at + t.n.as_interval("s"), known(lambda at, n: at + timedelta(seconds=n))
    ),
    "time + n months": Case("times", lambda t: t.at + t.n.as_interval("M"), known(lambda at, n: _months(at, n))),
    "time + n minutes": Case(
        "times", lambda t: t.at + t.n.as_interval("m"), known(lambda at, n: at + timedelta(minutes=n))
    ),
    "time + n weeks": Case(
        "times", lambda t: t.at + t.n.as_interval("W"), known(lambda at, n: at + timedelta(weeks=n))
    ),
    "time + n milliseconds": Case(
        "times", lambda t: t.at + t.n.as_interval("ms"), known(lambda at, n: at + timedelta(milliseconds=n))
    ),
    "time + n years": Case("times", lambda t: t.at - t.n.as_interval("Y"), known(lambda at, n: _months(at, -12 * n))),
    "day + n days": Case(
        "times", lambda t: t.day + t.n.as_interval("D"), known(lambda day, n: day + timedelta(days=n))
    ),
    "day delta quarter": Case(
        "times",
        lambda t: t.day.delta(t.then.date(), unit="quarter"),
        known(lambda day, then: (day.year - then.year) * 4 + (day.month - 1) // 3 - (then.month - 1) // 3),
    ),
    "time in New York long ago": Case(
        "times",
        lambda t: (_ny(t) - ibis.interval(hours=876_000)).hour(),
        known(lambda at: _there(at - timedelta(hours=876_000)).hour),
    ),
    "time codes": Case(
        "times",
        lambda t: t.at.strftime("%y %j %A %a %B %b %I %p %f 100%% 'T'"),
        known(lambda at: f"{at:%y %j %A %a %B %b %I %p %f} 100% 'T'"),
    ),
    "time from seconds": Case(
        "times",
        lambda t: ibis.timestamp("1970-01-01T00:00:00Z") + t.n.as_interval("s"),
        known(lambda n: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=n)),
    ),
    "day + days": Case("times", lambda t: t.day + ibis.interval(days=3), known(lambda day: day + timedelta(days=3))),
    "day - week": Case("times", lambda t: t.day - ibis.interval(weeks=1), known(lambda day: day - timedelta(days=7))),
    "day + month": Case("times", lambda t: t.day + ibis.interval(months=1), known(lambda day: _months(day, 1))),
    "day to time": Case(
        "times",
        lambda t: t.day.cast("timestamp('UTC')"),
        known(lambda day: datetime(day.year, day.month, day.day, tzinfo=UTC)),
    ),
    "day to text": Case("times", lambda t: t.day.cast("string"), known(lambda day: day.isoformat())),
    "day text": Case("times", lambda t: t.day.strftime("%Y%m%d"), known(lambda day: f"{day:%Y%m%d}")),
    "day >": Case("times", lambda t: t.day > date(2024, 1, 1), known(lambda day: day > date(2024, 1, 1))),
    "day > text": Case("times", lambda t: t.day > "2024-01-01", known(lambda day: day > date(2024, 1, 1))),
    "day number": Case("times", lambda t: t.day.epoch_days(), known(lambda day: (day - date(1970, 1, 1)).days)),
    "day from parts": Case(
        "times", lambda t: ibis.date(t.day.year(), t.day.month(), 1), known(lambda day: day.replace(day=1))
    ),
    **{
        f"time delta {unit}": _delta(unit, size)
        for unit, size in {
            "day": 86_400_000_000,
            "hour": 3_600_000_000,
            "minute": 60_000_000,
            "second": 1_000_000,
            "millisecond": 1_000,
            "microsecond": 1,
        }.items()
    },
    "time delta month": Case(
        "times",
        lambda t: t.at.delta(t.then, unit="month"),
        known(lambda at, then: (at.year - then.year) * 12 + at.month - then.month),
    ),
    "time delta year": Case(
        "times", lambda t: t.at.delta(t.then, unit="year"), known(lambda at, then: at.year - then.year)
    ),
    "time delta week": Case(
        "times",
        lambda t: t.at.delta(t.then, unit="week"),
        known(lambda at, then: (_monday(at.date()) - _monday(then.date())).days // 7),
    ),
    "day delta": Case(
        "times", lambda t: t.day.delta(t.then.date(), unit="day"), known(lambda day, then: (day - then.date()).days)
    ),
    "day delta month": Case(
        "times",
        lambda t: t.day.delta(t.then.date(), unit="month"),
        known(lambda day, then: (day.year - then.year) * 12 + day.month - then.month),
    ),
    "time greatest": Case(
        "times",
        lambda t: ibis.greatest(t.at, t.then),
        raw(lambda at, then: max((v for v in (at, then) if v is not None), default=None)),
    ),
    "time between": Case(
        "times",
        lambda t: t.at.between(t.then, ibis.timestamp("2030-01-01T00:00:00Z")),
        raw(
            lambda at, then: and_(
                None if at is None or then is None else at >= then,
                None if at is None else at <= datetime(2030, 1, 1, tzinfo=UTC),
            )
        ),
    ),
}
