"""``expr1`` is one value per computation: the same everywhere, another one for anything else."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pytest
from ibis import _

from ml_assets.lib.core.errors import NotIdentifiable
from ml_assets.lib.declare.identity import canonical, expr1, made_with
from ml_assets_tests.declare.flights import FLIGHTS, carrier_origin_delay, flights, plane, planes


def rolling(table: ir.Table, days: int = 7, *, known_only: bool = True) -> ir.Table:
    """A rolling sum, spelled with the table's own columns."""
    known = table.filter(table.arr_ts.notnull()) if known_only else table
    window = ibis.window(
        following=ibis.interval(days=0), preceding=ibis.interval(days=days), order_by="arr_ts", group_by="carrier"
    )
    return known.select("carrier", "arr_ts", m=known.arr_delay.sum().over(window))


def test_independent_computation() -> None:
    """Another implementation of the same definition gave these values."""
    assert (
        expr1(carrier_origin_delay(flights()))
        == "expr1:3d04174ab0e2bf44ccab52008d621017d94a9eedf3e2010258d98668a51faeaf"
    )
    assert expr1(plane(planes())) == "expr1:db118d41ac42893a725c8f07014a192fffa0ade5f797035135bef725f25175ef"


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_other_processes(seed: str) -> None:
    """Neither the process nor its hash seed counts."""
    code = (
        "import json\n"
        "from ml_assets.lib.declare.identity import expr1\n"
        "from ml_assets_tests.declare.flights import carrier_origin_delay, flights\n"
        "view = flights().view()\n"  # moves the process-wide counter of self-references
        "table = flights()\n"
        "twice = table.join(table.view(), 'carrier').select('carrier')\n"
        "print(json.dumps([expr1(carrier_origin_delay(table)), expr1(twice)]))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": seed},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    table = flights()
    twice = table.join(table.view(), "carrier").select("carrier")
    assert json.loads(ran.stdout) == [expr1(carrier_origin_delay(table)), expr1(twice)]


def test_spelling_does_not_count() -> None:
    """Other variables, deferred columns and another order of keyword arguments are the same expression."""
    window = ibis.window(
        group_by="carrier", order_by="arr_ts", preceding=ibis.interval(days=7), following=ibis.interval(days=0)
    )
    deferred = flights().filter(_.arr_ts.notnull()).select("carrier", "arr_ts", m=_.arr_delay.sum().over(window))
    assert expr1(deferred) == expr1(rolling(flights()))


def test_what_is_computed_counts() -> None:
    """A constant, a filter, a name, an order, a table or a type: each makes another identity."""
    table = flights()
    others = [
        rolling(table),
        rolling(table, days=8),
        rolling(table, known_only=False),
        rolling(table).rename(mm="m"),
        rolling(table).select("arr_ts", "carrier", "m"),
        rolling(table).limit(10),
        rolling(ibis.table(FLIGHTS, name="flights2")),
        rolling(ibis.table({**FLIGHTS, "arr_delay": "int64"}, name="flights")),
    ]
    assert len({expr1(other) for other in others}) == len(others)


@pytest.mark.parametrize(
    "value",
    [
        1.5, dt.date(2013, 1, 1), dt.time(1, 2), dt.timedelta(hours=1), decimal.Decimal("1.10"), b"x",
        dt.datetime(2013, 1, 1, tzinfo=dt.UTC),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_kinds_of_literals(value: object) -> None:
    """Each kind of literal has an identity, which differs from that of its text."""
    literal = planes().select(x=ibis.literal(value))
    assert expr1(literal) == expr1(planes().select(x=ibis.literal(value)))
    assert expr1(literal) != expr1(planes().select(x=ibis.literal(str(value))))


def test_types_of_literals_count() -> None:
    """1, 1.0 and a boolean compute different columns."""
    assert len({expr1(planes().select(x=ibis.literal(value))) for value in (1, 1.0, True, "1")}) == 4


def test_floats_are_exact() -> None:
    """Two floats one ulp apart are two literals."""
    assert expr1(planes().select(x=ibis.literal(0.1 + 0.2))) != expr1(planes().select(x=ibis.literal(0.3)))


@ibis.udf.scalar.python  # type: ignore[untyped-decorator] # Ibis is untyped
def _plus(x: int) -> int:
    return x + 1


@ibis.udf.agg.builtin  # type: ignore[untyped-decorator] # Ibis is untyped
def _total(x: int) -> int:
    raise NotImplementedError


REFUSED: dict[str, Callable[[], ir.Table]] = {
    "table in memory": lambda: ibis.memtable({"a": [1]}),
    "UDF": lambda: planes().select(p=_plus(_.seats)),
    "aggregating UDF": lambda: planes().agg(p=_total(_.seats)),
    "now": lambda: planes().select(p=ibis.now()),
    "today": lambda: planes().select(p=ibis.today()),
    "random": lambda: planes().select(p=ibis.random()),
    "uuid": lambda: planes().select(p=ibis.uuid()),
    "sample": lambda: planes().sample(0.5),
    "alias for SQL": lambda: planes().alias("p"),
    "parameter": lambda: planes().select(p=ibis.param("int64")),
    "connection": lambda: ibis.duckdb.connect().create_table("t", schema=ibis.schema({"a": "int64"})),
    "hidden in a filter": lambda: planes().filter(_.seats > _plus(_.engines)),
    "hidden in a join": lambda: planes().join(ibis.memtable({"tailnum": ["x"]}), "tailnum"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """What is not in the graph has no identity, and the error says what to do instead."""
    with pytest.raises(NotIdentifiable, match=r"the expression uses .*; "):
        expr1(REFUSED[name]())


def test_the_text_is_canonical() -> None:
    """The hashed text is compact JSON: its root is the last operation, children come before parents."""
    prefix, root, nodes = json.loads(canonical(plane(planes())))
    assert prefix == "expr1"
    assert root == len(nodes) - 1
    assert nodes[0][0] == "UnboundTable"


def test_made_with_ibis() -> None:
    """The identity rests on Ibis' operation names, so its version is told."""
    assert made_with() == f"ibis {ibis.__version__}"
