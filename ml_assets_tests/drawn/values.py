"""What columns hold: ordinary values, and those at the edges of each type."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

_BEGIN: Final = datetime(2023, 3, 1, tzinfo=UTC)

ORDINARY: Final[Mapping[str, Callable[[random.Random], Any]]] = {
    "int": lambda draw: draw.randrange(-5, 40),
    "Int32": lambda draw: draw.randrange(-5, 40),
    "float": lambda draw: draw.randrange(-200, 2000) / 16,
    "str": lambda draw: draw.choice(("EUR", "USD", "GBP", "a", "b", "c7", "x y")),
    "bool": lambda draw: draw.random() < 0.5,
    "date": lambda draw: date(2023, 1, 1) + timedelta(days=draw.randrange(400)),
    "Timestamp": lambda draw: _BEGIN + timedelta(minutes=draw.randrange(60 * 24 * 200)),
}
"""An everyday value of each type."""

_BERLIN_SUMMER: Final = datetime(2023, 3, 26, 1, 0, tzinfo=UTC)
_BERLIN_WINTER: Final = datetime(2023, 10, 29, 1, 0, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

EDGES: Final[Mapping[str, Sequence[Any]]] = {
    "int": (0, 1, -1, 2**31, -(2**31) - 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)),
    "Int32": (0, 1, -1, 2**31 - 1, -(2**31)),
    "float": (0.0, -0.0, 0.1, 0.5, 1.5, 2.5, -0.5, 5e-324, 1e308, -1e308, 2.0**53, 2.0**63, 1e-7),
    "str": (
        "", " ", "a", "A", "ß", "é", "e\u0301", "日本", "😀", "İ", "NULL", "nan", "1", "01", "1e3", "true", "a'b",
        'a"b', "a\\b", "a\nb", "%_", "\u00a0x ", "EUR\n", "2023-01-01", "-", "__null__",
    ),
    "bool": (True, False),
    "date": (
        date(1, 1, 1), date(9999, 12, 31), date(1969, 12, 31), date(1970, 1, 1), date(2024, 2, 29), date(1582, 10, 10),
        date(2023, 3, 26), date(1900, 2, 28),
    ),
    "Timestamp": (
        datetime(1, 1, 1, tzinfo=UTC), datetime(1582, 10, 10, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC), datetime(1900, 1, 1, tzinfo=UTC), datetime(2024, 2, 29, 12, tzinfo=UTC),
        _BERLIN_SUMMER - _MICROSECOND, _BERLIN_SUMMER, _BERLIN_WINTER - _MICROSECOND, _BERLIN_WINTER,
    ),
}  # fmt: skip
"""Values at which engines, types and zones come to an end."""

LAST: Final = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
"""The last moment; it is known to nobody yet, and so is none of `EDGES`."""


def value(kind: str, draw: random.Random, *, edges: bool, keeps: Callable[[Any], bool] = lambda _: True) -> Any:
    """A value of type *kind* that *keeps* says yes to, if one is found soon; every other one of `EDGES` if asked."""
    found = None
    for _ in range(30):
        found = draw.choice(EDGES[kind]) if edges and draw.random() < 0.5 else ORDINARY[kind](draw)
        if keeps(found):
            return found
    return next((edge for edge in EDGES[kind] if keeps(edge)), found)


def distinct(kind: str, draw: random.Random, count: int, *, edges: bool) -> list[Any]:
    """As many different values of type *kind* as there are, up to *count*."""
    special = list(EDGES[kind]) if edges and kind != "float" else []
    more = {
        "int": range(1000, 1000 + count),
        "Int32": range(1000, 1000 + count),
        "float": [number / 8 for number in range(1, count + 1)],
        "str": [f"k{number:03}" for number in range(count)],
        "bool": [True, False],
        "date": [date(2020, 1, 1) + timedelta(days=number) for number in range(count)],
        "Timestamp": [_BEGIN + timedelta(minutes=number) for number in range(count)],
    }[kind]
    found = list(dict.fromkeys([*special, *more]))[:count]
    draw.shuffle(found)
    return found
