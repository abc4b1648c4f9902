"""Column lineage, compared with what sqlglot finds in the compiled SQL."""

from __future__ import annotations

from collections.abc import Callable

import ibis
import ibis.expr.types as ir
import pytest
import sqlglot.expressions
import sqlglot.lineage
from ibis import _

from ml_assets.lib.declare.column_lineage import ColumnLineage, lineage
from ml_assets_tests.declare.flights import FLIGHTS, PLANES, carrier_origin_delay, flights, plane, planes

VIEWS: dict[str, Callable[[], ir.Table]] = {
    "projection": lambda: plane(planes()),
    "windows": lambda: carrier_origin_delay(flights()),
    "grouping": lambda: flights().group_by("tailnum", event_timestamp=_.arr_ts).agg(last=_.arr_delay.max()),
    "joined": lambda: (
        flights().join(planes(), "tailnum").select("flight_key", age=_.local_month - _.year, seats="seats")
    ),
    "left joined": lambda: flights().left_join(planes(), "tailnum").select("flight_key", "tailnum", "engine"),
    "union": lambda: ibis.union(flights().select(x="origin"), flights().select(x="dest")),
    "dropped": lambda: planes().drop("model").mutate(big=_.seats > 100),
}


@pytest.mark.parametrize("name", VIEWS)
def test_values_agree_with_sqlglot(name: str) -> None:
    """The columns in each value are those that sqlglot traces through the SQL."""
    view = VIEWS[name]()
    sql = ibis.to_sql(view, dialect="duckdb")
    schema = {"flights": dict.fromkeys(FLIGHTS, "int"), "planes": dict.fromkeys(PLANES, "int")}
    traced = lineage(view)
    assert tuple(traced) == tuple(view.columns)
    for column, found in traced.items():
        nodes = sqlglot.lineage.lineage(column, sql, schema=schema, dialect="duckdb").walk()
        leaves = [node for node in nodes if isinstance(node.source, sqlglot.expressions.Table)]
        expected = {f"{leaf.source.name}.{leaf.name.rpartition('.')[2].strip(chr(34))}" for leaf in leaves}
        assert found.value == tuple(sorted(expected)), column


def test_values_and_rows() -> None:
    """Window keys belong to the value; filters and group keys decide the rows."""
    found = lineage(carrier_origin_delay(flights()))
    assert found["co_delay_7d"] == ColumnLineage(
        value=("flights.arr_delay", "flights.arr_ts", "flights.carrier", "flights.origin"),
        rows=("flights.arr_ts", "flights.carrier", "flights.origin"),
    )
    assert found["carrier"].value == ("flights.carrier",)


def test_constants_come_from_nowhere() -> None:
    """A literal has no source column, and nothing decides the rows of a projection."""
    assert lineage(plane(planes()))["event_timestamp"] == ColumnLineage(value=(), rows=())


@pytest.mark.parametrize(
    ("view", "rows"),
    [
        (flights().filter(_.air_time > 1).select("origin"), ("flights.air_time",)),
        (flights().join(planes(), "tailnum").select("origin"), ("flights.tailnum", "planes.tailnum")),
        (flights().select("origin", "dest").distinct(), ("flights.dest", "flights.origin")),
        (flights().order_by("arr_ts").limit(1).select("origin"), ("flights.arr_ts",)),
        (flights().drop_null("tailnum").select("origin"), ("flights.tailnum",)),
        (ibis.difference(flights().select(x="origin"), flights().select(x="dest")), ("flights.dest", "flights.origin")),
        (flights().filter(_.tailnum.isin(planes().tailnum)).select("origin"), ("flights.tailnum", "planes.tailnum")),
    ],
    ids=["filter", "join", "distinct", "limit", "nulls", "difference", "subquery"],
)
def test_what_decides_the_rows(view: ir.Table, rows: tuple[str, ...]) -> None:
    """Each way to choose rows is seen."""
    assert {column.rows for column in lineage(view).values()} == {rows}


def test_subquery_in_a_value() -> None:
    """Of a scalar subquery, its value and its rows may decide the outcome."""
    largest = planes().filter(_.year > 2000).seats.max().as_scalar()
    found = lineage(flights().select(share=_.distance / largest))
    assert found["share"].value == ("flights.distance", "planes.seats", "planes.year")


def test_self_join() -> None:
    """Both sides of a table joined with itself lead to it."""
    table = flights()
    other = table.view()
    found = lineage(table.join(other, table.origin == other.dest).select(here=table.carrier, there=other.tailnum))
    assert found["there"].value == ("flights.tailnum",)
    assert found["here"].rows == ("flights.dest", "flights.origin")
