"""A contract is spelled once; schemas, checks and verdicts follow from it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import ibis.expr.types as ir
import pandera.errors
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ibis.backends.duckdb import Backend
from pyiceberg.types import LongType, TimestamptzType

from ml_assets.lib.core.publication import CheckResult
from ml_assets.lib.core.recipe import canonical_json, hash_of
from ml_assets.lib.declare import (
    Contract,
    FeatureContract,
    Field,
    FrameContract,
    Int32,
    SourceContract,
    Timestamp,
)

T0 = datetime(2013, 1, 1, tzinfo=UTC)


class Delays(FeatureContract):
    """One row per carrier and arrival."""

    carrier: str = Field(description="Carrier", str_matches="[A-Z]{2}$")
    event_timestamp: Timestamp = Field(description="Arrival (UTC)")
    flights: int = Field(description="Flights in the window", ge=1, lt=100)
    distance: Int32 = Field(description="Distance, miles", nullable=True)
    late: float = Field(description="Share of late flights", ge=0, le=1, nullable=True)
    origin: str = Field(description="Airport", isin=("EWR", "JFK"))

    class Config:
        """Keys."""

        unique = ("carrier", "event_timestamp")


ROW: Mapping[str, Any] = {
    "carrier": "UA", "event_timestamp": T0, "flights": 1, "distance": 5, "late": 0.5, "origin": "EWR",
}  # fmt: skip


def audit(duck: Backend, rows: Sequence[Mapping[str, Any]], contract: type[Contract] = Delays) -> CheckResult:
    """The verdict on *rows*."""
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=contract.arrow_schema())
    return contract.audit(duck.create_table("judged", table, overwrite=True))


def test_schemas() -> None:
    """Arrow, Ibis and Iceberg schemas have the columns in order, all of them nullable."""
    assert Delays.names() == tuple(ROW)
    assert Delays.arrow_schema().field("event_timestamp").type == pa.timestamp("us", tz="UTC")
    assert str(Delays.ibis_schema()["event_timestamp"]) == "timestamp('UTC', 6)"
    assert [str(kind) for kind in Delays.ibis_schema().values()] == [column.type for column in Delays.columns()]
    iceberg = Delays.iceberg_schema()
    assert [field.field_id for field in iceberg.fields] == [1, 2, 3, 4, 5, 6]
    assert isinstance(iceberg.find_field("event_timestamp").field_type, TimestamptzType)
    assert isinstance(iceberg.find_field("flights").field_type, LongType)
    assert iceberg.find_field("late").doc == "Share of late flights"
    assert not any(field.required for field in iceberg.fields)


def test_every_type_reaches_every_schema() -> None:
    """Each type that a column may have is known to Arrow, Ibis, Iceberg and pandera."""

    class Every(SourceContract):
        """All types."""

        a: int = Field(description="a")
        b: Int32 = Field(description="b")
        c: float = Field(description="c")
        d: str = Field(description="d")
        e: bool = Field(description="e")
        f: date = Field(description="f")
        g: Timestamp = Field(description="g")

    assert [str(kind) for kind in Every.arrow_schema().types] == [
        "int64", "int32", "double", "string", "bool", "date32[day]", "timestamp[us, tz=UTC]",
    ]  # fmt: skip
    kinds = [str(field.field_type) for field in Every.iceberg_schema().fields]
    assert kinds == ["long", "int", "double", "string", "boolean", "date", "timestamptz"]
    assert list(Every.to_pandera().to_schema().columns) == list("abcdefg")


def test_inherited_columns_come_first() -> None:
    """A contract may extend another; its unique columns are inherited."""

    class More(Delays):
        """One more column."""

        tail: str = Field(description="Aircraft")

    assert More.names() == (*Delays.names(), "tail")
    assert More.unique() == Delays.unique()
    assert "tail" not in Delays.names()


def test_rules_json_is_what_is_judged() -> None:
    """A bound, a null or a key changes the rules; a description does not."""

    def rules(bound: float, description: str, *, nullable: bool = False, unique: tuple[str, ...] = ("a",)) -> str:
        class Tight(SourceContract):
            """Made."""

            a: int = Field(description=description, le=bound, nullable=nullable)
            t: Timestamp = Field(description="t", ge=T0)

        return hash_of(Contract.of("Tight", Tight.columns(), unique=unique, description="", where="").rules_json())

    assert rules(1, "x") == rules(1, "y")
    assert len({rules(1, "x"), rules(2, "x"), rules(1, "x", nullable=True), rules(1, "x", unique=())}) == 4


def test_where_it_is_written() -> None:
    """A contract knows its file and line."""
    file, line = Delays.where.split(":")
    assert file.endswith("test_contracts.py")
    assert int(line) > 1


def test_lawful(duck: Backend) -> None:
    """A lawful table passes; nulls are lawful where the contract says so."""
    result = audit(duck, [ROW, {**ROW, "carrier": "AA", "late": None, "distance": None}])
    assert result == CheckResult(check="contract", passed=True, figures={"rows": 2})


CELLS = {
    "carrier: null": ("carrier", None),
    "carrier: str_matches": ("carrier", "ua"),
    "event_timestamp: null": ("event_timestamp", None),
    "flights: null": ("flights", None),
    "flights: ge": ("flights", 0),
    "flights: lt": ("flights", 100),
    "late: ge": ("late", -0.1),
    "late: le": ("late", 1.1),
    "origin: null": ("origin", None),
    "origin: isin": ("origin", "BOS"),
}


@pytest.mark.parametrize("rule", CELLS)
def test_one_bad_cell(rule: str, duck: Backend) -> None:
    """The rule is named after column and constraint, counted once, and shown with the keys of its row."""
    column, value = CELLS[rule]
    result = audit(duck, [ROW, {**ROW, "carrier": "AA", column: value}])
    assert not result.passed
    assert result.counts == {rule: 1}
    assert result.rows_failed == 1
    (example,) = result.examples
    assert example["rule"] == rule
    assert example[column] == value
    assert set(example) == {"carrier", "event_timestamp", column, "rule"}


def test_nan(duck: Backend) -> None:
    """A NaN is no value: it breaks a rule of its own, even where null is lawful."""
    result = audit(duck, [{**ROW, "late": float("nan")}])
    assert result.counts["late: nan"] == 1
    assert {"rule": "late: nan", "carrier": "UA", "event_timestamp": T0.isoformat(), "late": "nan"} in result.examples


def test_duplicate_keys_are_shown(duck: Backend) -> None:
    """The keys are fetched with the number of their rows; rows beyond the first are counted."""
    rows = [ROW] * 3 + [{**ROW, "carrier": "AA"}] * 2 + [{**ROW, "carrier": "DL"}]
    result = audit(duck, rows)
    assert result.counts == {"unique(carrier, event_timestamp)": 3}
    assert [(row["carrier"], row["times found"]) for row in result.examples] == [("AA", 2), ("UA", 3)]


def test_no_row(duck: Backend) -> None:
    """A source or frame without rows fails; a view may be empty."""
    source = SourceContract.of("Empty", Delays.columns(), unique=(), description="", where="")
    frame = FrameContract.of("Empty", Delays.columns(), unique=(), description="", where="")
    assert audit(duck, []).passed
    assert audit(duck, [], source).counts == {"rows": 1}
    assert audit(duck, [], frame).counts == {"rows": 1}


def test_structure(duck: Backend) -> None:
    """Missing, extra and wrongly typed columns are told as such, and the others are judged all the same."""
    table = pa.table({
        "carrier": ["UA", "u"],
        "event_timestamp": pa.array([T0, T0], pa.timestamp("us")),
        "flights": pa.array([1, 0], pa.int32()),
        "late": [0.5, 2.0], "origin": ["EWR", "EWR"], "extra": [1, 2],
    })  # fmt: skip
    result = Delays.audit(duck.create_table("judged", table))
    assert result.counts == {
        "event_timestamp: type": 1,
        "flights: type": 1,
        "distance: missing": 1,
        "extra: extra": 1,
        "carrier: str_matches": 1,
        "late: le": 1,
    }
    assert {"rule": "flights: type", "asked": "int64", "found": "int32"} in result.examples


def test_many_bad_rows_are_counted_not_fetched(duck: Backend) -> None:
    """Counts are exact, examples are ten per rule, however many rows are bad; the same ones every time."""
    rows = 200_000
    table = generated(duck, "'x' AS carrier, -range AS flights, 2.0::DOUBLE AS late, NULL::VARCHAR AS origin", rows)
    first, second = (Delays.audit(table) for _ in range(2))
    assert first == second
    assert first.counts == dict.fromkeys(("carrier: str_matches", "flights: ge", "late: le", "origin: null"), rows)
    assert len(first.examples) == 40
    assert canonical_json(first.as_json())


def generated(duck: Backend, columns: str, rows: int) -> ir.Table:
    """A table of these SQL *columns*, made inside of DuckDB."""
    rest = "to_timestamp(range) AS event_timestamp, NULL::INT AS distance"
    duck.con.execute(f"CREATE TABLE generated AS SELECT {columns}, {rest} FROM range({rows})")
    return duck.table("generated")


CELL = {
    "carrier": st.none() | st.sampled_from(["UA", "AA", "x"]),
    "event_timestamp": st.none() | st.just(T0),
    "flights": st.none() | st.sampled_from([0, 1, 99, 100]),
    "distance": st.none() | st.just(1),
    "late": st.none() | st.sampled_from([0.0, 1.0, 1.5, float("nan")]),
    "origin": st.none() | st.sampled_from(["EWR", "BOS"]),
}
TABLES = st.lists(st.fixed_dictionaries(CELL), min_size=1, max_size=5)


def expected_counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """What the contract says, row by row in Python."""
    asked: dict[str, Callable[[Mapping[str, Any]], bool]] = {
        "carrier: str_matches": lambda row: row["carrier"] in {None, "UA", "AA"},
        "flights: ge": lambda row: row["flights"] is None or row["flights"] >= 1,
        "flights: lt": lambda row: row["flights"] is None or row["flights"] < 100,
        "late: ge": lambda row: row["late"] is None or not row["late"] < 0,
        "late: le": lambda row: row["late"] is None or row["late"] <= 1,
        "late: nan": lambda row: row["late"] is None or row["late"] == row["late"],
        "origin: isin": lambda row: row["origin"] in {None, "EWR", "JFK"},
    }
    counts = {rule: sum(not holds(row) for row in rows) for rule, holds in asked.items()}
    for column in Delays.columns():
        counts[f"{column.name}: null"] = 0 if column.nullable else sum(row[column.name] is None for row in rows)
    counts["unique(carrier, event_timestamp)"] = len(rows) - len({(r["carrier"], r["event_timestamp"]) for r in rows})
    return {rule: count for rule, count in counts.items() if count}


@given(rows=TABLES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_counts_are_exact(duck: Backend, rows: Sequence[Mapping[str, Any]]) -> None:
    """For any table: the counts are those of a plain loop, and their sum is what is reported."""
    result = audit(duck, rows)
    assert dict(result.counts) == expected_counts(rows)
    assert result.rows_failed == sum(result.counts.values())
    assert result.passed == (not result.counts)


@given(rows=TABLES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
def test_verdict_is_panderas(duck: Backend, rows: Sequence[Mapping[str, Any]]) -> None:
    """Pandera's own validation of the same table comes to the same verdict."""
    verdict = audit(duck, rows)
    try:
        Delays.to_pandera().validate(duck.table("judged"), lazy=True)
    except pandera.errors.SchemaErrors:
        passed = False
    else:
        passed = True
    assert verdict.passed == passed


def test_times_keep_their_offset_after_an_audit() -> None:
    """Importing pandera makes Arrow forget offsets in the whole process; auditing undoes that."""
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from ml_assets.defs import contracts\n"
        "contracts.Route.to_pandera()\n"
        "import pyarrow as pa; from datetime import datetime; from zoneinfo import ZoneInfo\n"
        "noon = datetime(2013, 7, 1, 12, tzinfo=ZoneInfo('America/New_York'))\n"
        "assert pa.array([noon]).cast(pa.timestamp('us', 'UTC')).to_pylist()[0] == noon\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYARROW_IGNORE_TIMEZONE"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_pandera_is_capped(duck: Backend) -> None:
    """Whoever uses pandera directly gets ten failure cases of each check as well."""
    table = generated(duck, "'UA' AS carrier, -range AS flights, 0.0::DOUBLE AS late, 'EWR' AS origin", 1000)
    with pytest.raises(pandera.errors.SchemaErrors) as caught:
        Delays.to_pandera().validate(table, lazy=True)
    assert len(caught.value.failure_cases) == 10
