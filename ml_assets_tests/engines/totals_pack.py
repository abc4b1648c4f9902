"""The table of operations: totals and windows, each with Python's own answer.

A case is an expression over the table ``t`` (and itself) and what Python makes of the rows; the rows of both must be
equal as a multiset.
"""

from __future__ import annotations

import functools
import math
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from ml_assets.lib.declare import exact_sum

Row = Mapping[str, Any]
NAN: Final = float("nan")
INF: Final = float("inf")


class Relation(NamedTuple):
    """An expression over the table, and the rows that Python makes of its rows."""

    build: Callable[[ir.Table], ir.Table]
    python: Callable[[Sequence[Row]], Iterable[tuple[Any, ...]]]


_DAY: Final = datetime(2024, 3, 8, 12, tzinfo=UTC)
SCHEMA: Final = pa.schema(
    {
        "id": pa.int64(), "g": pa.string(), "n": pa.int64(), "w": pa.int32(), "x": pa.float64(), "f": pa.bool_(),
        "at": pa.timestamp("us", "UTC"), "k": pa.int64(),
    }
)  # fmt: skip
_ROWS: Final = [
    ("a", 2**53 + 1, 1, 0.5, True, 0, 1), ("a", -(2**53) - 1, None, NAN, False, 0, 2), ("a", 3, 3, None, None, 1, None),
    ("a", None, 2**31 - 1, INF, True, None, 3), ("a", 3, 2**31 - 1, -0.0, True, 3, 3),
    ("b", 2**62, -5, 0.0, False, 2, 4), ("b", 2**62 - 1, 7, NAN, False, 2, 4), ("b", None, None, NAN, None, 4, None),
    (None, 7, 1, -INF, None, 5, 5),
    (None, None, 1, 1.5, True, 5, 6), ("c", None, None, None, None, None, None), ("d", 5, 5, 2.5, True, 6, 7),
]  # fmt: skip
TABLE: Final = pa.Table.from_pylist(
    [
        {
            "id": number, "g": g, "n": n, "w": w, "x": x, "f": f, "k": k,
            "at": None if day is None else _DAY + timedelta(days=day),
        }
        for number, (g, n, w, x, f, day, k) in enumerate(_ROWS)
    ],
    schema=SCHEMA,
)  # fmt: skip


def order(value: Any) -> Any:
    """The order of engines: NaN is one value, greater than every number; null comes last."""
    if value is None:
        return (2, 0)
    return (1, 0) if isinstance(value, float) and math.isnan(value) else (0, value)


def plain(value: Any) -> Any:
    """A value that is equal to itself."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else ("real", value + 0.0)
    return value


def multiset(rows: Iterable[tuple[Any, ...]]) -> Counter[tuple[Any, ...]]:
    """*rows*, counted."""
    return Counter(tuple(map(plain, row)) for row in rows)


def groups(rows: Sequence[Row], by: str = "g") -> dict[Any, list[Row]]:
    """*rows* by a column."""
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(plain(row[by]), []).append(row)
    return found


def known(rows: Sequence[Row], column: str) -> list[Any]:
    """The values of a column that are not null."""
    return [row[column] for row in rows if row[column] is not None]


def _total(value: Callable[[ir.Table], Any], python: Callable[[Sequence[Row]], Any]) -> Relation:
    """One total of each group."""
    return Relation(
        lambda t: t.group_by("g").agg(v=value(t)),
        lambda rows: [(group[0]["g"], python(group)) for group in groups(rows).values()],
    )


def _whole(value: Callable[[ir.Table], Any], python: Callable[[Sequence[Row]], Any]) -> Relation:
    """One total of no row at all."""
    return Relation(lambda t: t.filter(t.id < 0).agg(v=value(t.filter(t.id < 0))), lambda rows: [(python([]),)])


def _over(value: Callable[[ir.Table], Any], python: Callable[[Row, Sequence[Row]], Any]) -> Relation:
    """A value for each row, made from all rows of its group."""
    return Relation(
        lambda t: t.select("id", v=value(t)),
        lambda rows: [(row["id"], python(row, group)) for group in groups(rows).values() for row in group],
    )


def _least(rows: Sequence[Row], column: str) -> Any:
    return min(known(rows, column), key=order, default=None)


def _greatest(rows: Sequence[Row], column: str) -> Any:
    return max(known(rows, column), key=order, default=None)


def _mean(values: Sequence[int]) -> float | None:
    return float(sum(values)) / len(values) if values else None


def _picked(rows: Sequence[Row], column: str, by: str, *, last: bool = False) -> Any:
    """The value of the first or last row that has one, by *by* and ``id``."""
    known = sorted((row for row in rows if row[column] is not None), key=lambda row: (order(row[by]), row["id"]))
    return known[-1 if last else 0][column] if known else None


def _week(t: ir.Table) -> Any:
    return ibis.window(group_by="g", order_by="at", preceding=ibis.interval(days=2), following=ibis.interval(days=0))


def _in_week(row: Row, group: Sequence[Row]) -> list[Row]:
    if row["at"] is None:
        return [other for other in group if other["at"] is None]
    return [o for o in group if o["at"] is not None and row["at"] - timedelta(days=2) <= o["at"] <= row["at"]]


def _rank(row: Row, group: Sequence[Row], by: str) -> int:
    return sum(order(other[by]) < order(row[by]) for other in group)


def _dense(row: Row, group: Sequence[Row], by: str) -> int:
    return len({order(other[by]) for other in group if order(other[by]) < order(row[by])})


def _ordered(by: Any) -> Any:
    return ibis.window(group_by="g", order_by=by)


def _in_order(group: Sequence[Row], by: str = "at") -> list[Row]:
    return sorted(group, key=lambda row: (order(row[by]), row["id"]))


def _neighbour(row: Row, group: Sequence[Row], step: int) -> Any:
    rows = _in_order(group)
    at = rows.index(row) + step
    return rows[at]["n"] if 0 <= at < len(rows) else None


TOTALS: Final = {
    "sum of int32": _total(lambda t: t.w.sum(), lambda g: sum(known(g, "w")) if known(g, "w") else None),
    "sum of int64": _total(lambda t: t.n.sum(), lambda g: sum(known(g, "n")) if known(g, "n") else None),
    "sum, halved": _total(lambda t: t.n.sum() // 2, lambda g: sum(known(g, "n")) // 2 if known(g, "n") else None),
    "sum where": _total(
        lambda t: t.w.sum(where=t.f),
        lambda g: sum(v) if (v := [r["w"] for r in g if r["f"] and r["w"] is not None]) else None,
    ),
    "sum of flags": _total(lambda t: t.f.sum(), lambda g: sum(known(g, "f")) if known(g, "f") else None),
    "mean of int64": _total(lambda t: t.n.mean(), lambda g: _mean(known(g, "n"))),
    "mean of int32": _total(lambda t: t.w.mean(), lambda g: _mean(known(g, "w"))),
    "mean of flags": _total(lambda t: t.f.mean(), lambda g: _mean(known(g, "f"))),
    "mean where": _total(
        lambda t: t.w.mean(where=t.f), lambda g: _mean([r["w"] for r in g if r["f"] and r["w"] is not None])
    ),
    "mean plus one": _total(lambda t: t.w.mean() + 1, lambda g: None if (m := _mean(known(g, "w"))) is None else m + 1),
    "count": _total(lambda t: t.count(), len),
    "count where": _total(lambda t: t.count(where=t.f), lambda g: sum(bool(r["f"]) for r in g)),
    "count of a column": _total(lambda t: t.x.count(), lambda g: len(known(g, "x"))),
    "count of a column where": _total(
        lambda t: t.x.count(where=t.f), lambda g: sum(bool(r["f"]) and r["x"] is not None for r in g)
    ),
    "nunique": _total(lambda t: t.n.nunique(), lambda g: len(set(known(g, "n")))),
    "nunique where": _total(
        lambda t: t.k.nunique(where=t.f), lambda g: len({r["k"] for r in g if r["f"] and r["k"] is not None})
    ),
    "nunique of reals": _total(lambda t: t.x.nunique(), lambda g: len({order(v + 0.0) for v in known(g, "x")})),
    "min of reals": _total(lambda t: t.x.min(), lambda g: _least(g, "x")),
    "max of reals": _total(lambda t: t.x.max(), lambda g: _greatest(g, "x")),
    "max where": _total(lambda t: t.x.max(where=t.f), lambda g: _greatest([r for r in g if r["f"]], "x")),
    "min of times": _total(lambda t: t.at.min(), lambda g: _least(g, "at")),
    "max of flags": _total(lambda t: t.f.max(), lambda g: _greatest(g, "f")),
    "any": _total(lambda t: t.f.any(), lambda g: any(v) if (v := known(g, "f")) else None),
    "all": _total(lambda t: t.f.all(), lambda g: all(v) if (v := known(g, "f")) else None),
    "any where": _total(
        lambda t: t.f.any(where=t.w > 1),
        lambda g: (
            any(v) if (v := [r["f"] for r in g if r["w"] is not None and r["w"] > 1 and r["f"] is not None]) else None
        ),
    ),
    "first by time": _total(lambda t: t.n.first(order_by=["at", "id"]), lambda g: _picked(g, "n", "at")),
    "last by time": _total(lambda t: t.n.last(order_by=["at", "id"]), lambda g: _picked(g, "n", "at", last=True)),
    "first by a real": _total(lambda t: t.n.first(order_by=["x", "id"]), lambda g: _picked(g, "n", "x")),
    "first where": _total(
        lambda t: t.n.first(order_by=["at", "id"], where=t.f), lambda g: _picked([r for r in g if r["f"]], "n", "at")
    ),
    "argmax": _total(lambda t: t.n.argmax(t.id), lambda g: max(g, key=lambda r: r["id"])["n"]),
    "argmin": _total(lambda t: t.n.argmin(t.id), lambda g: min(g, key=lambda r: r["id"])["n"]),
    "count of rows that differ": Relation(
        lambda t: t.select("g", "f").pipe(lambda s: s.agg(v=s.nunique())),
        lambda rows: [(len({(r["g"], r["f"]) for r in rows}),)],
    ),
    "exact sum": Relation(
        lambda t: t.filter(t.x.abs() < 10).pipe(lambda r: r.group_by("g").agg(v=exact_sum(r.x + 0.0051, 2))),
        lambda rows: [
            (group[0]["g"], sum(round(100 * r["x"] + 0.51) for r in group) / 100)
            for group in groups([r for r in rows if r["x"] is not None and abs(r["x"]) < 10]).values()
        ],
    ),
    "exact sum of nothing": _whole(lambda t: exact_sum(t.x, 3), lambda g: None),
    "bits": _total(lambda t: t.w.bit_and(), lambda g: _bits(known(g, "w"))),
    "bits of any": _total(
        lambda t: t.w.bit_or(), lambda g: functools.reduce(operator.or_, known(g, "w"), 0) if known(g, "w") else None
    ),
    "bits of one": _total(
        lambda t: t.w.bit_xor(), lambda g: functools.reduce(operator.xor, known(g, "w"), 0) if known(g, "w") else None
    ),
    "count of nothing": _whole(lambda t: t.count(), len),
    "count of nothing where": _whole(lambda t: t.count(where=t.f), len),
    "sum of nothing": _whole(lambda t: t.n.sum(), lambda g: None),
    "mean of nothing": _whole(lambda t: t.n.mean(), lambda g: None),
    "nunique of nothing": _whole(lambda t: t.n.nunique(), lambda g: 0),
}


def _bits(values: Sequence[int]) -> int | None:
    if not values:
        return None
    found = -1
    for value in values:
        found &= value
    return found


def _share(row: Row, group: Sequence[Row], by: str) -> float:
    return _rank(row, group, by) / (len(group) - 1) if len(group) > 1 else 0.0


WINDOWS: Final = {
    "rank": _over(lambda t: ibis.rank().over(_ordered("n")), lambda r, g: _rank(r, g, "n")),
    "rank by a real": _over(lambda t: t.x.rank().over(group_by="g"), lambda r, g: _rank(r, g, "x")),
    "dense rank": _over(lambda t: ibis.dense_rank().over(_ordered("n")), lambda r, g: _dense(r, g, "n")),
    "percent rank": _over(lambda t: ibis.percent_rank().over(_ordered("n")), lambda r, g: _share(r, g, "n")),
    "cumulative share": _over(
        lambda t: ibis.cume_dist().over(_ordered("n")),
        lambda r, g: sum(order(o["n"]) <= order(r["n"]) for o in g) / len(g),
    ),
    "row number": _over(lambda t: ibis.row_number().over(_ordered(["at", "id"])), lambda r, g: _in_order(g).index(r)),
    "row number descending": _over(
        lambda t: ibis.row_number().over(_ordered([t.at.desc(), t.id])),
        lambda r, g: sorted(g, key=lambda o: (o["at"] is None, -(o["at"] or _DAY).timestamp(), o["id"])).index(r),
    ),
    "lag": _over(lambda t: t.n.lag().over(_ordered(["at", "id"])), lambda r, g: _neighbour(r, g, -1)),
    "lead 2": _over(lambda t: t.n.lead(2).over(_ordered(["at", "id"])), lambda r, g: _neighbour(r, g, 2)),
    "lag with default": _over(
        lambda t: t.w.lag(1, 0).over(_ordered(["at", "id"])),
        lambda r, g: 0 if _in_order(g).index(r) == 0 else _in_order(g)[_in_order(g).index(r) - 1]["w"],
    ),
    "first": _over(lambda t: t.n.first().over(_ordered(["at", "id"])), lambda r, g: _picked(g, "n", "at")),
    "last": _over(lambda t: t.n.last().over(_ordered(["at", "id"])), lambda r, g: _picked(g, "n", "at", last=True)),
    "ntile": _over(
        lambda t: ibis.ntile(2).over(_ordered(["at", "id"])),
        lambda r, g: 0 if _in_order(g).index(r) < (len(g) + 1) // 2 else 1,
    ),
    "sum of the group": _over(
        lambda t: t.w.sum().over(group_by="g"), lambda r, g: sum(known(g, "w")) if known(g, "w") else None
    ),
    "sum of two days": _over(
        lambda t: t.w.sum().over(_week(t)), lambda r, g: sum(v) if (v := known(_in_week(r, g), "w")) else None
    ),
    "mean of two days": _over(lambda t: t.w.mean().over(_week(t)), lambda r, g: _mean(known(_in_week(r, g), "w"))),
    "count of two days": _over(lambda t: t.count().over(_week(t)), lambda r, g: len(_in_week(r, g))),
    "max of two days": _over(lambda t: t.x.max().over(_week(t)), lambda r, g: _greatest(_in_week(r, g), "x")),
    "running sum": _over(
        lambda t: t.w.cumsum(group_by="g", order_by=["at", "id"]),
        lambda r, g: sum(v) if (v := known(_in_order(g)[: _in_order(g).index(r) + 1], "w")) else None,
    ),
    "running mean": _over(
        lambda t: t.w.cummean(group_by="g", order_by=["at", "id"]),
        lambda r, g: _mean(known(_in_order(g)[: _in_order(g).index(r) + 1], "w")),
    ),
    "sum of two rows": _over(
        lambda t: t.w.sum().over(ibis.window(group_by="g", order_by=["at", "id"], preceding=1, following=0)),
        lambda r, g: (
            sum(v)
            if (v := known(_in_order(g)[max(0, _in_order(g).index(r) - 1) : _in_order(g).index(r) + 1], "w"))
            else None
        ),
    ),
    "sum of a range": _over(
        lambda t: t.w.sum().over(ibis.range_window(group_by="g", order_by="k", preceding=1, following=0)),
        lambda r, g: (
            sum(v)
            if (
                v := known(
                    [
                        o
                        for o in g
                        if (o["k"] is None and r["k"] is None)
                        or (o["k"] is not None and r["k"] is not None and r["k"] - 1 <= o["k"] <= r["k"])
                    ],
                    "w",
                )
            )
            else None
        ),
    ),
    "count where over": _over(
        lambda t: t.count(where=t.f).over(group_by="g"), lambda r, g: sum(bool(o["f"]) for o in g)
    ),
}


UNDEFINED: Final[Mapping[str, Callable[[ir.Table], ir.Table]]] = {
    "sum beyond 64 bits": lambda t: t.agg(v=(t.n.fill_null(0) + 2**62).sum()),
    "sum beyond 64 bits, made smaller": lambda t: t.agg(v=t.n.fill_null(2**62).sum() // 8),
    "mean beyond 64 bits": lambda t: t.agg(v=t.n.fill_null(2**62).mean()),
    "sum over a window beyond 64 bits": lambda t: t.select(v=t.n.fill_null(2**62).sum().over(group_by="f") // 8),
    "exact sum of NaN": lambda t: t.filter(t.x.isnan()).pipe(lambda r: r.agg(v=exact_sum(r.x, 2))),
    "exact sum of infinity": lambda t: t.filter(t.x.isinf()).pipe(lambda r: r.agg(v=exact_sum(r.x, 2))),
    "exact sum of something large": lambda t: t.agg(v=exact_sum(ibis.literal(1e18) * t.id, 2)),
    "exact sum that is large": lambda t: t.agg(v=exact_sum(ibis.literal(9e18) + t.id * 0.0, 0)),
}
"""Totals that have no answer: an error on every engine."""
