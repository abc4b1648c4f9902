"""What the values of a column must keep: checked against the column's type where it is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from numbers import Integral, Real
from typing import Any, Final

from ml_assets.lib.declare.pattern import portable

BOUNDS: Final = ("gt", "ge", "lt", "le")
_LARGEST_IN_DOUBLE: Final = 2**53


class WrongConstraint(ValueError):
    """A constraint that its column cannot have.

    Attributes:
        problem: What is wrong, as what follows the column's name.
        remedy: What to do about it.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem, self.remedy = problem, remedy


def constraints(kind: str, given: Mapping[str, object]) -> dict[str, Any]:
    """*given* for a column of the Ibis type *kind*: values of exactly that type, times in UTC.

    Raises:
        WrongConstraint: One of them asks what no value of the type can be asked, or what no value keeps.
    """
    found: dict[str, Any] = {}
    for name, asked in given.items():
        if name in BOUNDS:
            found[name] = _bound(kind, name, asked)
        elif name == "isin":
            found[name] = _values(kind, asked)
        else:
            found[name] = _pattern(kind, asked)
    _require_possible(found)
    return found


def _bound(kind: str, name: str, asked: object) -> Any:
    if kind == "boolean":
        raise WrongConstraint(f"has {name}={asked!r}, but a boolean has no order", "use isin=(True,) or isin=(False,)")
    return _value(kind, name, asked)


def _values(kind: str, asked: object) -> tuple[Any, ...]:
    if isinstance(asked, str | bytes | Mapping) or not isinstance(asked, Iterable):
        raise WrongConstraint(
            f"has isin={asked!r}, which is no tuple of values", "write a tuple, as in isin=('a', 'b')"
        )
    items = list(asked)
    if not items:
        raise WrongConstraint(
            "has an empty isin, which no value keeps", "name the values that may occur, or leave it out"
        )
    if any(item is None for item in items):
        raise WrongConstraint("has None in isin", "leave None out, and say Field(nullable=True) if a null is lawful")
    values = tuple(_value(kind, "isin", item) for item in items)
    return tuple(sorted(values)) if isinstance(asked, set | frozenset) else values  # a set has no order of its own


def _pattern(kind: str, asked: object) -> str:
    if kind != "string":
        raise WrongConstraint(f"has str_matches and is {kind}", "leave it out: only text can match a pattern")
    if not isinstance(asked, str):
        raise WrongConstraint(f"has str_matches={asked!r}, which is no text", "write the pattern as text: r'[A-Z]{2}$'")
    try:
        portable(asked)
    except ValueError as error:
        raise WrongConstraint(
            f"has str_matches={asked!r}, which {error}",
            "use characters, sets, groups, alternatives and repetitions, which every engine reads alike",
        ) from None
    return asked


def _require_possible(found: Mapping[str, Any]) -> None:
    """Refuse what no value keeps."""
    for low in ("gt", "ge"):
        for high in ("lt", "le"):
            if low in found and high in found:
                strict = (low, high) != ("ge", "le")
                if found[low] > found[high] or (strict and found[low] == found[high]):
                    raise WrongConstraint(
                        f"has {low}={found[low]!r} and {high}={found[high]!r}, which no value keeps",
                        "correct the bounds",
                    )
    for value in found.get("isin", ()):
        for name, bound in found.items():
            if name in BOUNDS and not _HOLDS[name](value, bound):
                raise WrongConstraint(
                    f"has {value!r} in isin, which {name}={bound!r} forbids", "correct the bound or the values"
                )


_HOLDS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "gt": lambda value, bound: value > bound,
    "ge": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "le": lambda value, bound: value <= bound,
}


def _value(kind: str, name: str, asked: object) -> Any:
    """*asked* as a value of the type *kind*.

    Raises:
        WrongConstraint: It is none.
    """
    convert, example = _KINDS[kind]
    try:
        return convert(asked)
    except (TypeError, ValueError, OverflowError) as error:
        of = "has" if name != "isin" else "has in"
        raise WrongConstraint(f"{of} {name} {asked!r}, which {error}", f"write {example}") from None


def _whole(bits: int) -> Callable[[object], int]:
    def convert(asked: object) -> int:
        if isinstance(asked, bool) or not isinstance(asked, Integral):
            raise TypeError("is no whole number")
        value = int(asked)
        if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise ValueError(f"does not fit into {bits} bits")
        return value

    return convert


def _number(asked: object) -> int | float:
    if isinstance(asked, bool) or not isinstance(asked, Integral | float | Real):
        raise TypeError("is no number")
    if isinstance(asked, Integral):
        if abs(int(asked)) > _LARGEST_IN_DOUBLE:
            raise ValueError("is no value of a double")
        return int(asked)
    value = float(asked)
    if not math.isfinite(value):
        raise ValueError("is not finite, and neither is any lawful value compared with it")
    return value


def _text(asked: object) -> str:
    if not isinstance(asked, str):
        raise TypeError("is no text")
    if "\0" in asked:
        raise ValueError("holds a NUL, which not every engine can hold")
    try:
        asked.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair, which no text can hold") from None
    return str(asked)


def _truth(asked: object) -> bool:
    if not isinstance(asked, bool):
        raise TypeError("is neither True nor False")
    return asked


def _day(asked: object) -> date:
    if isinstance(asked, str):
        with suppress(ValueError):
            asked = date.fromisoformat(asked)
    if not isinstance(asked, date) or isinstance(asked, datetime):
        raise TypeError("is no date")
    return asked


def _moment(asked: object) -> datetime:
    """A moment in UTC; a time without zone would mean another moment on each machine."""
    if isinstance(asked, str):
        with suppress(ValueError):
            asked = datetime.fromisoformat(asked)
    if not isinstance(asked, datetime):
        raise TypeError("is no time")
    if asked.utcoffset() is None:
        raise ValueError("has no time zone")
    if getattr(asked, "nanosecond", 0):  # of pandas
        raise ValueError("is finer than microseconds")
    utc = asked.astimezone(UTC)
    return datetime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, tzinfo=UTC)


_KINDS: Final[Mapping[str, tuple[Callable[[object], Any], str]]] = {
    "int64": (_whole(64), "a whole number, as in 1"),
    "int32": (_whole(32), "a whole number of 32 bits, as in 1"),
    "float64": (_number, "a finite number, as in 0.5"),
    "string": (_text, "text, as in 'EUR'"),
    "boolean": (_truth, "True or False"),
    "date": (_day, "a date, as in date(2024, 1, 31)"),
    "timestamp('UTC', 6)": (_moment, "a time with its zone, as in datetime(2024, 1, 31, tzinfo=UTC)"),
}
