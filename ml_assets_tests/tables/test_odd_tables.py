"""Whatever a table holds comes back: drawn schemas, values at the edges, nulls, names."""

from __future__ import annotations

import math
import struct
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
    TimestamptzType,
    TimeType,
)

from ml_assets.lib.core.errors import TableError
from ml_assets.lib.core.refs import Branch
from ml_assets.lib.tables.schemas import arrow_schema, evolved
from ml_assets.lib.tables.tables import Tables

YEAR_1, YEAR_10000 = -62_135_596_800_000_000, 253_402_300_800_000_000
"""Microseconds since 1970 within which Python has dates."""
INT64 = (-(1 << 63), (1 << 63) - 1)

floats = st.floats(width=64) | st.sampled_from([math.nan, -0.0, 0.0, math.inf, -math.inf, 5e-324])
VALUES: dict[IcebergType, st.SearchStrategy[Any]] = {
    BooleanType(): st.booleans(),
    IntegerType(): st.integers(-(1 << 31), (1 << 31) - 1),
    LongType(): st.integers(*INT64) | st.sampled_from(INT64),
    FloatType(): st.floats(width=32),
    DoubleType(): floats,
    StringType(): st.text(),
    BinaryType(): st.binary(),
    DateType(): st.integers(YEAR_1 // 86_400_000_000, YEAR_10000 // 86_400_000_000 - 1),
    TimeType(): st.integers(0, 86_400_000_000 - 1),
    TimestampType(): st.integers(YEAR_1, YEAR_10000 - 1),
    TimestamptzType(): st.integers(YEAR_1, YEAR_10000 - 1),
    DecimalType(20, 3): st.decimals(-(10**16), 10**16, places=3, allow_nan=False),
}
names = st.sampled_from(["a", "b", "A", "a b", "ü", "日本", "x.y", "1st", "select", "_", "a-b", "key"])


@st.composite
def odd_tables(draw: st.DrawFn) -> tuple[Schema, pa.Table]:
    """A schema and rows that fit it."""
    columns = draw(
        st.lists(st.tuples(names, st.sampled_from(list(VALUES))), min_size=1, max_size=4, unique_by=lambda c: c[0])
    )
    fields = [NestedField(n, name, kind, required=False) for n, (name, kind) in enumerate(columns, 1)]
    wanted = arrow_schema(Schema(*fields))
    count = draw(st.integers(0, 20))
    arrays = []
    for (_, kind), field in zip(columns, wanted, strict=True):
        values = draw(st.lists(st.none() | VALUES[kind], min_size=count, max_size=count))
        integer = pa.types.is_temporal(field.type)
        storage = pa.int32() if pa.types.is_date(field.type) else pa.int64()
        arrays.append(pa.array(values, storage).cast(field.type) if integer else pa.array(values, field.type))
    return Schema(*fields), pa.Table.from_arrays(arrays, schema=wanted)


def bits(table: pa.Table) -> list[list[object]]:
    """The values column by column, so that NaN equals itself and -0.0 differs from 0.0."""

    def plain(value: object) -> object:
        if isinstance(value, float):
            return "NaN" if math.isnan(value) else struct.pack(">d", value)
        return value

    def storage(column: pa.ChunkedArray) -> pa.ChunkedArray:
        if pa.types.is_date(column.type):
            return column.cast(pa.int32())
        return column.cast(pa.int64()) if pa.types.is_temporal(column.type) else column

    return [[plain(value) for value in storage(column).to_pylist()] for column in table.columns]


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=odd_tables())
def test_what_is_written_is_read(tables: Tables, work: Branch, drawn: tuple[Schema, pa.Table]) -> None:
    """Each example replaces the one before: schema and rows are exactly the new ones."""
    schema, rows = drawn
    tables.write("odd.table", work, rows, schema=schema, properties={})
    found = tables.scan("odd.table", work).read_all()
    assert found.schema.equals(rows.schema, check_metadata=True)
    assert bits(found) == bits(rows)
    assert tables.head("odd.table", work).rows == rows.num_rows


def test_times_beyond_pythons_years_are_refused(tables: Tables, work: Branch) -> None:
    """The ends of the years 1 and 9999 are fine; beyond them there are no statistics, and so no table."""
    schema = Schema(NestedField(1, "at", TimestamptzType(), required=False))
    good, bad = (
        pa.table({"at": pa.array(values, pa.int64()).cast(pa.timestamp("us", "UTC"))})
        for values in ([YEAR_1, YEAR_10000 - 1], [YEAR_10000])
    )
    tables.write("odd.far", work, good, schema=schema, properties={})
    with pytest.raises(TableError, match="years 1 to 9999"):
        tables.write("odd.far", work, bad, schema=schema, properties={})
    assert bits(tables.scan("odd.far", work).read_all()) == bits(good)


kinds = st.sampled_from([*VALUES, DecimalType(9, 3)])
schemas = st.lists(st.tuples(names, kinds, st.booleans()), min_size=1, max_size=5, unique_by=lambda c: c[0]).map(
    lambda columns: Schema(*(NestedField(n, *column) for n, column in enumerate(columns, 1)))
)


@given(st.lists(schemas, min_size=2, max_size=5))
@example(
    [
        Schema(NestedField(1, "a", IntegerType(), required=False)),
        Schema(NestedField(1, "a", LongType(), required=False)),
        Schema(NestedField(1, "a", IntegerType(), required=False)),
    ]
)
def test_a_field_id_means_one_column_for_ever(history: list[Schema]) -> None:
    """Over any history, an id keeps its name, and its type only grows; the schema is the wanted one but for the ids."""
    current, last = history[0], history[0].highest_field_id
    known = {field.field_id: field for field in current.fields}
    for wanted in history[1:]:
        current = evolved(current, last, wanted)
        last = max(last, current.highest_field_id)
        assert [(f.name, f.field_type, f.required) for f in current.fields] == [
            (f.name, f.field_type, f.required) for f in wanted.fields
        ]
        for field in current.fields:
            before = known.get(field.field_id, field)
            assert before.name == field.name
            assert (before.field_type, field.field_type) in GROWS or before.field_type == field.field_type
        known |= {field.field_id: field for field in current.fields}


GROWS = {
    (IntegerType(), LongType()),
    (FloatType(), DoubleType()),
    (DecimalType(9, 3), DecimalType(20, 3)),
    (StringType(), BinaryType()),
    (BinaryType(), StringType()),
}
