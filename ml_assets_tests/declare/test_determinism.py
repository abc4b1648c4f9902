"""What may differ between two runs is refused; what cannot is let through."""

from __future__ import annotations

import random
from collections.abc import Callable

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ibis import _
from ibis.backends.duckdb import Backend

from ml_assets.lib.core.errors import NotDeterministic
from ml_assets.lib.declare import exact_sum
from ml_assets.lib.declare.determinism import require_deterministic

UNIQUE = {"t": ("id",), "u": ("k",)}
T = ibis.table(
    {"id": "string", "g": "string", "i": "int32", "f": "float64", "d": "decimal(10, 2)", "ts": "timestamp('UTC', 6)"},
    name="t",
)
U = ibis.table({"k": "string", "ts": "timestamp('UTC', 6)", "x": "int64"}, name="u")
BY_TIME = ibis.window(group_by="g", order_by="ts", preceding=ibis.interval(days=1), following=ibis.interval(days=0))
ROWS = ibis.window(group_by="g", order_by="ts", preceding=2, following=0)
ROWS_BY_KEY = ibis.window(group_by="g", order_by=["ts", "id"], preceding=2, following=0)

REFUSED: dict[str, Callable[[], ir.Table]] = {
    "sum of floats": lambda: T.group_by("g").agg(v=_.f.sum()),
    "mean of floats": lambda: T.group_by("g").agg(v=_.f.mean()),
    "sum of floats in a window": lambda: T.select("id", v=_.f.sum().over(BY_TIME)),
    "mean of floats in a window": lambda: T.select("id", v=_.f.mean().over(BY_TIME)),
    "cumulative sum of floats": lambda: T.select("id", v=_.f.cumsum(order_by="id")),
    "sum of integers made floats": lambda: T.group_by("g").agg(v=(_.i / 2).sum()),
    "variance": lambda: T.group_by("g").agg(v=_.i.var()),
    "standard deviation": lambda: T.group_by("g").agg(v=_.f.std()),
    "correlation": lambda: T.group_by("g").agg(v=_.f.corr(_.i)),
    "arbitrary": lambda: T.group_by("g").agg(v=_.i.arbitrary()),
    "mode": lambda: T.group_by("g").agg(v=_.i.mode()),
    "first": lambda: T.group_by("g").agg(v=_.i.first()),
    "first by time": lambda: T.group_by("g").agg(v=_.i.first(order_by="ts")),
    "last in a window": lambda: T.select("id", v=_.i.last().over(ibis.window(group_by="g", order_by="ts"))),
    "collect": lambda: T.group_by("g").agg(v=_.i.collect()),
    "concatenation": lambda: T.group_by("g").agg(v=_.g.group_concat()),
    "latest by argmax": lambda: T.group_by("g").agg(v=_.i.argmax(_.ts)),
    "approximation": lambda: T.group_by("g").agg(v=_.i.approx_nunique()),
    "engine's own hash": lambda: T.select(v=_.g.hash()),
    "row number": lambda: T.select("id", v=ibis.row_number().over(ibis.window(order_by="ts"))),
    "n-tile": lambda: T.select("id", v=ibis.ntile(4).over(ibis.window(order_by="ts"))),
    "lead": lambda: T.select("id", v=_.i.lead().over(ibis.window(group_by="g", order_by="ts"))),
    "first in a window": lambda: T.select("id", v=_.i.first().over(ibis.window(group_by="g", order_by="ts"))),
    "lag": lambda: T.select("id", v=_.i.lag().over(ibis.window(group_by="g", order_by="ts"))),
    "sum over rows": lambda: T.select("id", v=_.i.sum().over(ROWS)),
    "limit": lambda: T.limit(3),
    "limit by time": lambda: T.order_by("ts").limit(3),
    "distinct on some columns": lambda: T.distinct(on="g", keep="first"),
    "as-of join": lambda: T.asof_join(U, "ts").select("id", "x"),
    "any join": lambda: T.join(U, T.g == U.k, how="any_inner").select("id", "x"),
    "in a subquery": lambda: T.filter(_.i > T.f.sum().as_scalar()).select("id"),
    "under other operations": lambda: T.group_by("g").agg(v=_.f.sum()).filter(_.v > 0).mutate(w=_.v * 2).select("w"),
    "unique key lost by a join": lambda: T.join(U, T.g == U.k, how="left").select(
        "id", v=ibis.row_number().over(ibis.window(order_by="id"))
    ),
}

ALLOWED: dict[str, Callable[[], ir.Table]] = {
    "sum of integers": lambda: T.group_by("g").agg(v=_.i.sum()),
    "mean of integers": lambda: T.group_by("g").agg(v=_.i.mean()),
    "sum of decimals": lambda: T.group_by("g").agg(v=_.d.sum()),
    "sum of integers, divided once": lambda: T.group_by("g").agg(v=_.i.sum().cast("float64") / _.count()),
    "sum over time": lambda: T.select("id", v=_.i.sum().over(BY_TIME)),
    "sum over the whole group": lambda: T.select("id", v=_.i.sum().over(ibis.window(group_by="g"))),
    "min and max of floats": lambda: T.group_by("g").agg(v=_.f.max(), w=_.f.min()),
    "count": lambda: T.group_by("g").agg(v=_.count(), w=_.f.count(), x=_.f.nunique()),
    "exact sum": lambda: T.group_by("g").agg(v=exact_sum(_.f, 3)),
    "exact sum over time": lambda: T.select("id", v=exact_sum(T.f, 3).over(BY_TIME)),
    "first by a unique key": lambda: T.group_by("g").agg(v=_.i.first(order_by=["ts", "id"])),
    "argmax of a unique key": lambda: T.group_by("g").agg(v=_.i.argmax(_.id)),
    "rank": lambda: T.select("id", v=ibis.rank().over(ibis.window(group_by="g", order_by="ts"))),
    "rank of a column": lambda: T.select("id", v=_.i.rank().over(group_by="g", order_by="i")),
    "dense rank": lambda: T.select("id", v=ibis.dense_rank().over(ibis.window(order_by="ts"))),
    "percent rank": lambda: T.select("id", v=ibis.percent_rank().over(ibis.window(order_by="ts"))),
    "cumulative share": lambda: T.select("id", v=ibis.cume_dist().over(ibis.window(order_by="ts"))),
    "row number by a unique key": lambda: T.select(v=ibis.row_number().over(ibis.window(order_by=["ts", "id"]))),
    "row number after a renaming": lambda: (
        T.filter(_.i > 0).select(key="id", v="i").mutate(n=ibis.row_number().over(ibis.window(order_by="key")))
    ),
    "lag by what a grouping made unique": lambda: (
        T.group_by("g", "ts").agg(v=_.i.max()).mutate(w=_.v.lag().over(ibis.window(group_by="g", order_by="ts")))
    ),
    "sum over rows by a unique key": lambda: T.select("id", v=_.i.sum().over(ROWS_BY_KEY)),
    "limit by a unique key": lambda: T.order_by(ibis.desc("ts"), "id").limit(3),
    "no row": lambda: T.limit(0),
    "join": lambda: T.join(U, T.g == U.k, how="left").select("id", "x"),
    "hash of a key": lambda: T.select(v=_.id.hexdigest("md5")),
    "distinct": lambda: T.select("g").distinct(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """The error ends with a remedy."""
    with pytest.raises(NotDeterministic) as caught:
        require_deterministic(REFUSED[name](), UNIQUE)
    assert caught.value.remedy


@pytest.mark.parametrize("name", ALLOWED)
def test_allowed(name: str) -> None:
    """What gives equal rows in any order of work passes."""
    require_deterministic(ALLOWED[name](), UNIQUE)


def test_the_column_is_named() -> None:
    """The error names the column at which it is computed, wherever that is in the expression."""
    view = T.group_by("g").agg(fine=_.i.sum(), wrong=_.f.mean()).select("g", out=_.wrong + 1)
    with pytest.raises(NotDeterministic, match=r"column 'wrong' adds floats \(Mean\).*exact_sum"):
        require_deterministic(view, UNIQUE)


def test_without_a_declared_key() -> None:
    """A table whose contract declares no unique key has no unique order."""
    numbered = T.select(v=ibis.row_number().over(ibis.window(order_by=["ts", "id"])))
    with pytest.raises(NotDeterministic, match="column 'v' takes RowNumber"):
        require_deterministic(numbered, {"t": ()})


@given(
    st.lists(st.none() | st.floats(-1e6, 1e6, allow_nan=False), max_size=30),
    st.randoms(use_true_random=False),
)
def test_exact_sum_in_any_order(values: list[float | None], order: random.Random) -> None:
    """The sum of shuffled values has the same bits, and is the sum of the rounded values."""
    shuffled = order.sample(values, len(values))
    first, second = (_sum_on_duckdb(some) for some in (values, shuffled))
    assert first == second
    known = [value for value in values if value is not None]
    if known:
        assert first == pytest.approx(sum(known), abs=0.0006 * len(known))
    else:
        assert first is None


def _sum_on_duckdb(values: list[float | None]) -> float | None:
    table = ibis.memtable(pa.table({"f": pa.array(values, pa.float64())}))
    total: float | None = ibis.duckdb.connect().to_pyarrow(table.agg(v=exact_sum(table.f, 3)))["v"][0].as_py()
    return total


def test_exact_sum_over_a_window(duck: Backend) -> None:
    """It can be used over a window as any sum can."""
    table = duck.create_table("t", pa.table({"f": [0.1, 0.2, 0.3], "i": [1, 2, 3]}))
    window = ibis.window(order_by="i", preceding=1, following=0)
    found = table.select("i", v=exact_sum(table.f, 1).over(window)).order_by("i").to_pyarrow()
    assert found["v"].to_pylist() == [0.1, 0.3, 0.5]
