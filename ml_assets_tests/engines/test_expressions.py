"""Which columns an expression needs, and what binding refuses."""

from __future__ import annotations

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir
import pytest

from ml_assets.lib.core.errors import EngineError
from ml_assets.lib.engines import columns_needed
from ml_assets.lib.engines.expressions import bind

FLIGHTS = ibis.table({"key": "string", "tail": "string", "delay": "int32", "day": "date"}, name="flights")
PLANES = ibis.table({"tail": "string", "year": "int32", "seats": "int32"}, name="planes")
JOINED = FLIGHTS.filter(FLIGHTS.day.notnull()).join(PLANES, "tail")


@pytest.mark.parametrize(
    ("expression", "needed"),
    [
        (FLIGHTS, {"flights": ("key", "tail", "delay", "day")}),
        (FLIGHTS.select("day", "key"), {"flights": ("key", "day")}),
        (FLIGHTS.filter(FLIGHTS.delay > 1).select("key"), {"flights": ("key", "delay")}),
        (FLIGHTS.order_by("day").limit(3).select("key"), {"flights": ("key", "day")}),
        (FLIGHTS.group_by("tail").agg(n=FLIGHTS.delay.max()), {"flights": ("tail", "delay")}),
        (FLIGHTS.agg(n=FLIGHTS.count()), {"flights": ("key",)}),
        (FLIGHTS.select("key", "tail").distinct(), {"flights": ("key", "tail")}),
        (PLANES.distinct().select("year"), {"planes": ("tail", "year", "seats")}),
        (PLANES.union(PLANES).select("year"), {"planes": ("tail", "year", "seats")}),
        (JOINED.select("key", "seats"), {"flights": ("key", "tail", "day"), "planes": ("tail", "seats")}),
        (PLANES.join(PLANES.view(), "tail").select("seats"), {"planes": ("tail", "seats")}),
        (
            FLIGHTS.select("key", rank=FLIGHTS.delay.sum().over(group_by="tail", order_by="day")),
            {"flights": ("key", "tail", "delay", "day")},
        ),
        (
            FLIGHTS.filter(FLIGHTS.tail.isin(PLANES.tail)).select("key"),
            {"flights": ("key", "tail"), "planes": ("tail",)},
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else "",
)
def test_columns_needed(expression: ir.Table, needed: Mapping[str, tuple[str, ...]]) -> None:
    """No more and no less than what the result depends on."""
    assert columns_needed(expression) == needed


@pytest.mark.parametrize(
    "expression",
    [
        FLIGHTS.filter(FLIGHTS.delay > 1).select("key"),
        FLIGHTS.group_by("tail").agg(n=FLIGHTS.delay.max()),
        JOINED.select("key", "seats"),
        PLANES.union(PLANES).select("year"),
        FLIGHTS.agg(n=FLIGHTS.count()),
    ],
)
def test_what_is_needed_suffices(expression: ir.Table) -> None:
    """An expression can be bound to tables that hold exactly the needed columns, and keeps its schema."""
    whole = {"flights": FLIGHTS, "planes": PLANES}
    narrow = {
        name: ibis.table({column: whole[name].schema()[column] for column in columns}, name=f"stored_{name}")
        for name, columns in columns_needed(expression).items()
    }
    bound = bind(expression, narrow)
    assert bound.schema() == expression.schema()
    assert {node.name for node in bound.op().find(type(FLIGHTS.op()))} == {
        table.get_name() for table in narrow.values()
    }


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, "reads flights, which was not given"),
        ({"flights": ibis.table({"key": "string"}, name="f")}, r"uses flights.delay, which the table does not have"),
        (
            {"flights": ibis.table({"key": "string", "delay": "int64"}, name="f")},
            "flights.delay is int64, but .* int32",
        ),
    ],
    ids=["table", "column", "type"],
)
def test_binding_refuses(tables: Mapping[str, ir.Table], message: str) -> None:
    """A missing table or column and a wrong type are told by name."""
    with pytest.raises(EngineError, match=message):
        bind(FLIGHTS.select("key", "delay"), tables)


def test_nullability_is_no_type() -> None:
    """A table that forbids nulls serves an expression that allows them."""
    strict = ibis.table({"key": "!string"}, name="f")
    assert bind(FLIGHTS.select("key"), {"flights": strict}).columns == ("key",)
