"""`Tables.append`: rows come in beside those that are there, and nothing that was there is lost or hidden."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import IntegerType, LongType, NestedField, StringType

from ml_assets.lib.core.errors import TableError
from ml_assets.lib.core.refs import Branch
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.tables.examples import ROUTE, RUN, TABLE, keys, rows, schema, write


def append(tables: Tables, branch: Branch, *new: int) -> None:
    """Append `rows` of the keys *new*."""
    tables.append(TABLE, branch, rows(*new), schema=ROUTE, properties=RUN)


def test_append_adds_to_what_is_there(lake: Lake, tables: Tables, work: Branch) -> None:
    """To a table that is written, emptied or new; each append is one snapshot with the run's properties."""
    append(tables, work, 1)
    append(tables, work, 2, 3)
    assert [1, 2, 3] == keys(tables, work)
    write(tables, work)
    append(tables, work, 2)
    assert [2] == keys(tables, work)
    loaded = tables.catalog(work).load_table(TABLE)
    assert [RUN["ml_assets.run"]] * 4 == [found.summary["ml_assets.run"] for found in loaded.snapshots()]  # type: ignore[index]
    tables.check_before_commit(work)
    tables.check_closure(TABLE, lake.commit(work, "x", {}))


def test_an_append_of_no_rows_is_a_snapshot(tables: Tables, work: Branch) -> None:
    """Without a file; the table is there afterwards."""
    append(tables, work)
    assert [] == keys(tables, work)
    append(tables, work, 1)
    append(tables, work)
    assert [1] == keys(tables, work)


def test_a_new_column_is_null_in_older_rows(tables: Tables, work: Branch) -> None:
    """And an integer that becomes a long keeps its values."""
    tables.append(
        TABLE, work, pa.table({"a": pa.array([1], pa.int32())}), schema=schema(a=IntegerType()), properties={}
    )
    wider = schema(b=StringType(), a=LongType())
    tables.append(TABLE, work, pa.table({"a": [2**40], "b": ["x"]}), schema=wider, properties={})
    found = tables.scan(TABLE, work).read_all().sort_by("a").to_pylist()
    assert [{"b": None, "a": 1}, {"b": "x", "a": 2**40}] == found


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (schema(a=LongType()), r"lose the columns \['b'\]"),
        (schema(a=LongType(), b=LongType()), r"lose the columns \['b'\]"),
        (Schema(NestedField(1, "a", LongType(), required=True), *schema(a=LongType(), b=StringType()).fields[1:]), "a"),
        (Schema(*schema(a=LongType(), b=StringType()).fields, NestedField(9, "c", LongType(), required=True)), "c"),
    ],
    ids=["dropped", "another type", "required now", "new and required"],
)
def test_what_would_harm_older_rows_is_refused(tables: Tables, work: Branch, wanted: Schema, told: str) -> None:
    """`write` may do that, because it replaces them."""
    first = pa.table({"a": [1], "b": ["x"]})
    tables.append(TABLE, work, first, schema=schema(a=LongType(), b=StringType()), properties={})
    new = pa.table({field.name: [1] for field in wanted.fields}).cast(
        pa.schema(
            [(field.name, pa.string() if field.field_type == StringType() else pa.int64()) for field in wanted.fields]
        )
    )
    with pytest.raises(TableError, match=told):
        tables.append(TABLE, work, new, schema=wanted, properties={})
    assert [{"a": 1, "b": "x"}] == tables.scan(TABLE, work).read_all().to_pylist()
    tables.write(TABLE, work, new, schema=wanted, properties={})
