"""Values at the edges, what one operation on them is, and how Python's own answer to it is written down.

A row on which Python says that there is no answer (`Undefined`) must be an error on every engine.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import ibis.expr.types as ir
import pyarrow as pa

NAN: Final = float("nan")
INF: Final = float("inf")
Row = Mapping[str, Any]


class Undefined(ArithmeticError):
    """There is no answer: every engine must say so."""


class Case(NamedTuple):
    """One operation: over which table, as an expression, and as Python has it."""

    table: str
    value: Callable[[ir.Table], Any]
    python: Callable[[Row], Any]


def _pairs(name: str, other: str, values: Sequence[Any]) -> dict[str, list[Any]]:
    both = list(itertools.product(values, values))
    return {name: [one for one, _ in both], other: [two for _, two in both]}


_I64 = [0, 1, -1, 2, -2, 3, 7, -7, 10, 2**53 + 1, -(2**53) - 1, 2**62, 2**63 - 1, -(2**63), None]
_I32 = [0, 1, -1, 3, -7, 2**31 - 1, -(2**31), None]
_F64 = [0.0, -0.0, 0.5, 1.5, 2.5, -2.5, 0.1, 2.675, 1.005, -1e-300, 1e300, 9007199254740993.0, INF, -INF, NAN, None]
_TEXTS = [
    "", "a", "abc", "ABC", "a%b", "a_b", "a\\b", "a.b", "AB\n", " a b ", "\ta\r\n", "\u00a0a\u2003", "ß", "İ", "\u0131",
    "ﬁn", "ΑΣ", "ΣΑ", "é", "e\u0301", "\U0001f6eb", "\U0001f468\u200d\U0001f469", "a'b\"c", "$1",
    "aXbXc", "2024-02-29", None,
]  # fmt: skip
_MOMENTS = [
    datetime(2024, 3, 10, 6, 59, 59, 999_999, tzinfo=UTC), datetime(2024, 3, 10, 7, tzinfo=UTC),
    datetime(2024, 11, 3, 5, 30, tzinfo=UTC), datetime(2024, 11, 3, 6, 30, tzinfo=UTC),
    datetime(2024, 1, 1, 2, 15, 59, 1, tzinfo=UTC), datetime(2024, 2, 29, 23, 30, tzinfo=UTC),
    datetime(2023, 12, 31, 20, 0, 0, 500_000, tzinfo=UTC), datetime(2021, 1, 3, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1969, 7, 20, 20, 17, 40, tzinfo=UTC), datetime(1925, 6, 1, 0, 0, 0, 1, tzinfo=UTC),
    datetime(2037, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2000, 1, 31, 12, tzinfo=UTC), None,
]  # fmt: skip

_VALUES: Final[Mapping[str, tuple[dict[str, list[Any]], dict[str, pa.DataType]]]] = {
    "ints": (_pairs("a", "b", _I64), {"a": pa.int64(), "b": pa.int64()}),
    "narrow": (_pairs("a", "b", _I32), {"a": pa.int32(), "b": pa.int32()}),
    "reals": (_pairs("x", "y", _F64), {"x": pa.float64(), "y": pa.float64()}),
    "texts": (_pairs("s", "p", _TEXTS), {"s": pa.string(), "p": pa.string()}),
    "numerals": (
        {"s": ["1", "-7", "+5", "007", "9007199254740993", "9223372036854775807", "9223372036854775808", "12.5", "1e3",
               ".5", "1.", "-0.1", "1e-7", " 12", "12 ", "0x1F", "1_000", "", "abc", "1d", "1.5f", "NaN", "inf",
               "Infinity", "١٢", "2024-02-29", "2023-02-29", "2024-1-1", "true", "f", "yes", "1 ", None]},
        {"s": pa.string()},
    ),
    "flags": (_pairs("p", "q", [True, False, None]), {"p": pa.bool_(), "q": pa.bool_()}),
    "times": (
        {
            "at": _MOMENTS,
            "then": [*_MOMENTS[3:], *_MOMENTS[:3]],
            "day": [None if at is None else at.date() for at in _MOMENTS],
            "n": [*range(-7, 7), None],
        },
        {"at": pa.timestamp("us", "UTC"), "then": pa.timestamp("us", "UTC"), "day": pa.date32(), "n": pa.int32()},
    ),
}  # fmt: skip


def table(name: str) -> pa.Table:
    """The edge values of this name, numbered by ``id``."""
    columns, types = _VALUES[name]
    arrays = {column: pa.array(values, types[column]) for column, values in columns.items()}
    return pa.table({"id": pa.array(range(len(next(iter(columns.values())))), pa.int64()), **arrays})


def _names(python: Callable[..., Any]) -> Sequence[str]:
    """Its arguments."""
    return python.__code__.co_varnames[: python.__code__.co_argcount]


def known(python: Callable[..., Any]) -> Callable[[Row], Any]:
    """*python* of the row's columns by their names, null where one of them is."""
    names = _names(python)

    def of(row: Row) -> Any:
        values = [row[name] for name in names]
        return None if any(value is None for value in values) else python(*values)

    return of


def raw(python: Callable[..., Any]) -> Callable[[Row], Any]:
    """*python* of the row's columns by their names, nulls among them."""
    names = _names(python)
    return lambda row: python(*(row[name] for name in names))


def whole(value: Any, bits: int = 64) -> int:
    """*value*, which must fit."""
    if isinstance(value, float) and not math.isfinite(value):
        raise Undefined
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise Undefined
    return int(value)


def defined(python: Callable[[], Any]) -> Any:
    """What *python* gives; what it cannot compute is undefined."""
    try:
        return python()
    except (ArithmeticError, ValueError) as error:
        raise Undefined from error


def and_(p: bool | None, q: bool | None) -> bool | None:
    """Three-valued."""
    if p is False or q is False:
        return False
    return None if p is None or q is None else True
