"""Arguments that engines, machines or zones read differently: for each kind of operation, what to look at.

Each check yields what is wrong and what to write instead. Naive times are refused where they come into being: a
literal, a cast, a time made from numbers or text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ml_assets.lib.core import patterns

if TYPE_CHECKING:
    import ibis.expr.operations as ops

Problems = Iterator[tuple[str, str]]
Check = tuple[tuple[type, ...], Callable[[Any], Problems]]
"""Kinds of operations, and what finds the problems of one of them."""

_AWARE: Final = 'give the zone, as in ibis.timestamp("2024-01-01T00:00:00Z") or datetime(2024, 1, 1, tzinfo=UTC)'
_FROM_SECONDS: Final = 'write ibis.timestamp("1970-01-01T00:00:00Z") + seconds.as_interval("s")'
_IN_SOURCE: Final = "read it as a Timestamp in the source's function, where the zone is known"
_TO_UTC: Final = """.cast("timestamp('UTC')")"""
_CALENDAR: Final = frozenset({"D", "W", "M", "Q", "Y"})
_INTERVALS: Final = frozenset({"Y", "M", "W", "D", "h", "m", "s", "ms"})
_DELTAS: Final = ("year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond", "microsecond")
_MOST_DIGITS: Final = 15


def literal(value: Any, default: Any = None) -> Any:
    """The value of a literal; *default* where it is missing or computed."""
    import ibis.expr.operations as ops

    return value.value if isinstance(value, ops.Literal) else default


@cache
def checks() -> tuple[Check, ...]:
    """All checks; more than one may concern an operation."""
    import ibis.expr.operations as ops

    mixed = (ops.Comparison, ops.Between, ops.InValues, ops.NullIf, ops.Coalesce, ops.Greatest, ops.Least)
    chosen = (ops.Coalesce, ops.Greatest, ops.Least, ops.NullIf, ops.IfElse, ops.SearchedCase, ops.SimpleCase)
    of_time = (ops.TimestampTruncate, ops.TimestampDelta, ops.DateTruncate, ops.DateDelta)
    return (
        ((ops.Literal,), _of_literal),
        ((ops.Cast,), _of_cast),
        (mixed, _of_comparison),
        (chosen, _of_choice),
        ((ops.TimestampFromYMDHMS, ops.TimestampFromUNIX, ops.StringToTimestamp, ops.TimestampBucket), _of_naive),
        (of_time, _of_unit),
        ((ops.TimestampAdd, ops.TimestampSub, ops.DateAdd, ops.DateSub), _of_interval),
        ((ops.Strftime,), _of_format),
        ((ops.ExtractTemporalField, ops.DayOfWeekIndex, ops.DayOfWeekName, ops.Date), _of_clock),
        ((ops.RegexSearch, ops.RegexExtract, ops.RegexReplace), _of_pattern),
        ((ops.StringSQLLike, ops.StringSQLILike), _of_like),
        ((ops.StringReplace, ops.StringFind, ops.HexDigest), _of_text),
        ((ops.Substring, ops.StringSlice, ops.StrRight, ops.LPad, ops.RPad, ops.Repeat), _of_length),
        ((ops.Reverse, ops.Capitalize), _of_letters),
        ((ops.Round, ops.FloorDivide), _of_digits),
        ((ops.BitwiseLeftShift, ops.BitwiseRightShift), _of_shift),
        ((ops.Median, ops.Quantile, ops.MultiQuantile), _of_quantile),
        ((ops.WindowFunction,), _of_window),
        ((ops.First, ops.Last), _of_order),
    )


def _of_literal(node: ops.Literal) -> Problems:
    if node.dtype.is_timestamp() and node.value is not None:
        zone = node.value.tzinfo
        if zone is None:
            yield f"has the time {node.value.isoformat()} without a zone", _AWARE
        elif type(zone).__name__ == "tzlocal":
            yield f"has the time {node.value.isoformat()} in the zone of this machine", _AWARE


def _of_cast(node: ops.Cast) -> Problems:
    given, to = node.arg.dtype, node.to
    if to.is_timestamp():
        yield from _of_cast_to_time(node, given, to)
    elif to.is_interval() and literal(node.arg) != 0:  # 0 is the end of a window: following=0
        yield "makes an interval by a cast", 'write .as_interval("s")'
    elif to.is_string() and given.is_timestamp():
        yield "spells a time as text, which each engine does its own way", 'write .strftime("%Y-%m-%dT%H:%M:%S")'
    elif to.is_string() and given.is_floating():
        yield (
            "spells a float as text, which each engine does its own way",
            ("round it and cast it to a whole number first, as in (x * 100).round().cast('string')"),
        )
    elif to.is_boolean() and given.is_string():
        yield "reads text as true or false, which each engine does its own way", "compare it, as in column == 'yes'"
    elif given.is_timestamp() and not (to.is_date() or to.is_string()):
        yield f"makes {to} of a time", 'write .epoch_seconds(), or .delta(other, unit="microsecond")'
    elif given.is_date() and not (to.is_date() or to.is_string()):
        yield f"makes {to} of a date", 'write .epoch_days(), or .delta(other, unit="day")'
    elif to.is_date() and given.is_numeric():
        yield f"makes a date of {given}", "write ibis.date(year, month, day)"


def _of_cast_to_time(node: ops.Cast, given: Any, to: Any) -> Problems:
    """Casts to a time: from a time with a zone to another zone, or from a date to UTC."""
    import ibis.expr.operations as ops

    if to.timezone is None:
        yield "casts to a time without a zone", f"write {_TO_UTC}, or another zone"
    elif given.is_timestamp() and given.timezone is None and to.timezone != "UTC":
        yield (
            f"casts a time without a zone to {to.timezone}",
            f"write {_TO_UTC} first: what .truncate() gives is in UTC",
        )
    elif given.is_string():
        yield "reads text as a time", _AWARE if isinstance(node.arg, ops.Literal) else _IN_SOURCE
    elif given.is_numeric():
        yield "reads a number as a time", _FROM_SECONDS
    elif given.is_date() and to.timezone != "UTC":
        yield f"casts a date to a time in {to.timezone}, where a midnight may be missing", f"write {_TO_UTC}"
    if to.scale not in {None, 6}:
        yield f"casts to {to}, and every time is one of microseconds", 'write .truncate("s") or .truncate("ms")'
    if to.timezone is not None and (reason := _no_zone(to.timezone)):
        yield reason, "name the zone as in timestamp('Europe/Berlin')"


def _no_zone(name: str) -> str | None:
    """Why *name* is no zone that all engines know."""
    if name == "UTC":
        return None
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"casts to the zone {name!r}, which nobody knows"
    return None if "/" in name and not name.startswith("Etc/") else f"casts to the zone {name!r}, which is no place"


def _operands(node: Any) -> Iterator[Any]:
    """The values that *node* compares with each other."""
    import ibis.expr.operations as ops

    for argument in node.args:
        for item in argument if isinstance(argument, tuple) else (argument,):
            if isinstance(item, ops.Value):
                yield item


def _family(kind: Any) -> str:
    """What *kind* can be compared with."""
    families = {
        "time": kind.is_timestamp(),
        "date": kind.is_date(),
        "text": kind.is_string(),
        "flag": kind.is_boolean(),
    }
    return next((name for name, fits in families.items() if fits), "number")


def _of_comparison(node: Any) -> Problems:
    operands = [value for value in _operands(node) if not value.dtype.is_null()]
    families = {_family(value.dtype) for value in operands}
    if len(families) < 2:  # noqa: PLR2004 (nothing to compare with)
        return
    texts = [literal(value) for value in operands if value.dtype.is_string()]
    if families == {"time", "text"}:
        wrong = [text for text in texts if not _is_aware(text)]
        if wrong:
            yield (
                f"compares a time with {wrong[0]!r}, which has no zone"
                if wrong[0] is not None
                else ("compares a time with a column of text"),
                _AWARE,
            )
    elif families == {"date", "text"}:
        if not all(_is_date(text) for text in texts):
            yield "compares a date with text that is no ISO date", 'write ibis.date("2024-01-31")'
    elif families == {"time", "date"}:
        yield (
            "compares a time with a date, whose zone is not said",
            ('compare .date() of the time, or give a time as in ibis.timestamp("2024-01-01T00:00:00Z")'),
        )
    else:
        yield f"compares {' with '.join(sorted(families))}", "cast one to the other's type"


def _of_choice(node: Any) -> Problems:
    if not node.dtype.is_timestamp():
        return
    zones = {_zone(value.dtype) or "UTC" for value in _operands(node) if value.dtype.is_timestamp()}
    if len(zones) > 1:
        yield f"chooses between times in {' and '.join(sorted(zones))}", f"write {_TO_UTC} in each of them"


def _is_aware(text: object) -> bool:
    try:
        return isinstance(text, str) and datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_date(text: object) -> bool:
    try:
        return isinstance(text, str) and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _of_naive(node: Any) -> Problems:
    remedies = {
        "TimestampFromUNIX": _FROM_SECONDS,
        "StringToTimestamp": _IN_SOURCE,
        "TimestampBucket": 'write .truncate("h"), or count with .epoch_seconds() // size',
    }
    yield "makes a time without a zone", remedies.get(type(node).__name__, _AWARE)


def _zone(kind: Any) -> str | None:
    """The zone of a column, where its clocks do not show UTC."""
    zone = kind.timezone if kind.is_timestamp() else None
    return None if zone in {None, "UTC"} else zone


def _of_clock(node: Any) -> Problems:
    """A literal's zone may be an abbreviation, which says nothing to an engine."""
    if (zone := _zone(node.arg.dtype)) and _no_zone(zone):
        yield (
            f"asks what clocks show in the zone {zone!r}",
            "cast it first, as in .cast(\"timestamp('Europe/Berlin')\")",
        )


def _of_unit(node: Any) -> Problems:
    import ibis.expr.operations as ops

    if isinstance(node, ops.TimestampTruncate | ops.DateTruncate):
        if zone := _zone(node.arg.dtype):
            yield (
                f"truncates in {zone}, where an hour may be there twice",
                ('take the local .date(), which can be truncated to "W", "M", "Q" and "Y", and .hour()'),
            )
        if node.unit.short == "ns":
            yield "truncates to nanoseconds", "a time has microseconds"
        return
    if literal(node.part) not in (_DELTAS[:5] if isinstance(node, ops.DateDelta) else _DELTAS):
        yield f"counts in {literal(node.part)!r}", f"use one of: {', '.join(_DELTAS)}; of dates the first five"
    if any(_zone(side.dtype) for side in (node.left, node.right)):
        yield "counts between times in a zone", f"write {_TO_UTC} first, or count between their .date()"


def _of_interval(node: Any) -> Problems:
    unit = node.right.dtype.unit.short
    if (zone := _zone(node.left.dtype)) and unit in _CALENDAR:
        yield f"adds days or more in {zone}, where a day may have 23 hours", f"write {_TO_UTC} first, or add to .date()"
    if literal(node.right) is None and unit not in _INTERVALS:
        yield f"adds a computed number of {unit}", f"use one of: {', '.join(sorted(_INTERVALS))}"
    if unit == "ns":
        yield "adds nanoseconds", "a time has microseconds"


def _of_format(node: ops.Strftime) -> Problems:
    text = literal(node.format_str)
    if text is None:
        yield "formats a time by a column", "write the format as text"
    else:
        try:
            patterns.java_time(text)
        except ValueError as error:
            yield f"formats a time: {error}", f"use %{', %'.join(patterns.TIME_CODES)}"
    yield from _of_clock(node)


def _of_pattern(node: Any) -> Problems:
    import ibis.expr.operations as ops

    pattern = literal(node.pattern)
    if pattern is None:
        yield "has a column as a regular expression", "write the pattern as text"
        return
    try:
        patterns.spelled(pattern, "java")
    except ValueError as error:
        yield f"has a pattern: {error}", r"use characters, . ^ $ | () (?:), classes, \d \w \s \b, * + ? {n,m}"
        return
    if isinstance(node, ops.RegexExtract) and literal(node.index) not in range(re.compile(pattern).groups + 1):
        yield (
            f"asks for group {literal(node.index)!r} of {pattern!r}",
            "give the number of one of its groups, 0 for all",
        )
    if isinstance(node, ops.RegexReplace):
        if patterns.matches_nothing(pattern):
            yield f"replaces {pattern!r}, which is also found where nothing is", "use + instead of *"
        if literal(node.replacement) is None:
            yield "replaces by a column", "write the replacement as text"


def _of_like(node: Any) -> Problems:
    import ibis.expr.operations as ops

    if isinstance(node, ops.StringSQLILike):
        yield "ignores case, which engines do for other letters", "write .lower().like(…)"
    elif literal(node.pattern) is None:
        yield "has a column as a pattern", "write the pattern as text, or use .contains()"
    elif node.escape is not None:
        yield (
            "has an escape character, which is not used on every engine",
            "use .contains(), .startswith() or .re_search()",
        )


def _of_text(node: Any) -> Problems:
    import ibis.expr.operations as ops

    if isinstance(node, ops.StringReplace) and literal(node.pattern) == "":
        yield "replaces the empty text", "say what is replaced"
    if isinstance(node, ops.StringFind) and (node.start is not None or node.end is not None):
        yield "finds from a position", "cut the text with .substr(start) first"
    if isinstance(node, ops.HexDigest) and node.how not in {"md5", "sha256"}:
        yield f"hashes by {node.how}, which not every engine has", 'use hexdigest("sha256")'


def _of_length(node: Any) -> Problems:
    import ibis.expr.operations as ops

    names = {"start", "stop", "end", "length", "nchars", "times"} & set(node.argnames)
    computed = isinstance(node, ops.Substring)
    for name in sorted(names):
        argument = getattr(node, name)
        number = literal(argument)
        if argument is not None and number is None and not computed:
            yield f"takes {name} from a column", "write it as a number"
        elif number is not None and number < 0:
            yield f"counts {name} = {number} from the end", "use .right(n), or .re_extract()"
    if isinstance(node, ops.LPad | ops.RPad) and len(str(literal(node.pad) or "")) != 1:
        yield "pads with something that is not one character", "pad with one character"


def _of_letters(node: Any) -> Problems:
    if type(node).__name__ == "Reverse":
        yield "turns letters round, which engines take to be different things", "do it in the source's function"
    else:
        yield "capitalizes, which engines do differently", "write text.left(1).upper() + text.substr(1).lower()"


def _of_digits(node: Any) -> Problems:
    import ibis.expr.operations as ops

    if isinstance(node, ops.FloorDivide):
        if literal(node.right) == 0:
            yield "divides by zero", "give another divisor"
    elif literal(node.digits, 0 if node.digits is None else None) not in range(-_MOST_DIGITS, _MOST_DIGITS + 1):
        yield "rounds to a computed or too great number of digits", f"write a number up to {_MOST_DIGITS}"


def _of_shift(node: Any) -> Problems:
    del node
    yield "shifts bits, which engines do differently beyond the width", "multiply or `//` by a power of two"


def _of_quantile(node: Any) -> Problems:
    del node
    yield (
        "interpolates between values, which each engine does its own way",
        ("number the rows by row_number() over a unique order and take those in the middle, or use min, max and mean"),
    )


def _of_window(node: ops.WindowFunction) -> Problems:
    import ibis.expr.operations as ops

    func = node.func
    if isinstance(func, ops.First | ops.Last) and (func.where is not None or func.order_by or func.include_null):
        yield (
            f"takes {type(func).__name__} over a window with an order, a condition or nulls of its own",
            ("put the order into the window, and make what does not count null"),
        )
    if isinstance(func, ops.NthValue):
        yield "takes the n-th value", "use lag or lead, or row_number() and a filter"
    bounds = [bound.value for bound in (node.start, node.end) if bound is not None]
    intervals = [bound.dtype.unit.short for bound in bounds if bound.dtype.is_interval()]
    if set(intervals) & {"M", "Q", "Y"}:
        yield "has a window of months, whose lengths differ", "give days, as in ibis.interval(days=28)"
    offset = [bound for bound in bounds if literal(bound) != 0]
    if node.how == "range" and offset and any(key.dtype.is_floating() for key in node.order_by):
        yield "has a range over floats", "give the range over whole numbers or times"


def _of_order(node: Any) -> Problems:
    directions = {key.ascending for key in node.order_by}
    if len(directions) > 1:
        yield (
            "is ordered by keys in two directions",
            "order by keys of one direction, or take the one that is row_number() == 0",
        )
