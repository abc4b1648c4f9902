"""`Tables.write`: one snapshot with all rows, exactly the given schema, bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
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
    ListType,
    LongType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
)

from ml_assets.lib.core.errors import NoSuchTable, TableError
from ml_assets.lib.core.refs import Branch
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables import writer
from ml_assets.lib.tables.tables import TABLE_PROPERTIES, Tables
from ml_assets_tests.tables.examples import FOLDER, ROUTE, RUN, TABLE, keys, rows, schema, write


def test_a_write_is_one_snapshot_with_all_rows(tables: Tables, work: Branch) -> None:
    """The second one replaces the rows of the first in a single snapshot."""
    write(tables, work, 1, 2, 3)
    write(tables, work, 4)
    assert keys(tables, work) == [4]
    snapshots = tables.catalog(work).load_table(TABLE).snapshots()
    assert len(snapshots) == 2
    summary = snapshots[-1].summary
    assert summary is not None
    assert (summary["added-records"], summary["deleted-records"], summary["total-records"]) == ("1", "3", "1")


def test_a_table_that_is_rewritten_often_does_not_get_slower(tables: Tables, work: Branch) -> None:
    """The head has the manifest of its rows and that of the files it took out, however often it was rewritten."""
    for key in range(5):
        write(tables, work, key)
    loaded = tables.catalog(work).load_table(TABLE)
    head = loaded.current_snapshot()
    assert head is not None
    assert [(m.added_files_count, m.deleted_files_count) for m in head.manifests(loaded.io)] == [(1, 0), (0, 1)]
    assert len(loaded.snapshots()) == 5


def test_rows_and_types_come_back(tables: Tables, work: Branch) -> None:
    """Columns by name in the order of the schema; microseconds in UTC; strings that are not large."""
    given = rows(2, 1)
    large = given.set_column(1, "carrier", given.column("carrier").cast(pa.large_string()))
    shuffled = large.select(["delay", "carrier", "key", "at"])
    tables.write(TABLE, work, shuffled, schema=ROUTE, properties=RUN)
    assert tables.scan(TABLE, work).read_all().equals(given)
    assert tables.schema(TABLE, work).equals(given.schema, check_metadata=True)


def test_a_reader_of_batches_is_written_too(tables: Tables, work: Branch) -> None:
    """Also with empty batches in between."""
    batches = [
        batch for key in (1, 2, 3) for batch in (rows(key).to_batches()[0], rows(key).to_batches()[0].slice(0, 0))
    ]
    tables.write(TABLE, work, pa.RecordBatchReader.from_batches(rows().schema, batches), schema=ROUTE, properties=RUN)
    assert keys(tables, work) == [1, 2, 3]


@pytest.mark.parametrize("empty", [rows(), rows(1).slice(0, 0), pa.RecordBatchReader.from_batches(rows().schema, [])])
def test_no_rows(tables: Tables, work: Branch, empty: pa.Table | pa.RecordBatchReader) -> None:
    """An empty table can be made, replace rows, be replaced, be scanned and be described."""
    tables.write(TABLE, work, empty, schema=ROUTE, properties=RUN)
    head = tables.head(TABLE, work)
    assert (head.rows, head.bytes) == (0, 0)
    assert tables.scan(TABLE, work).read_all().equals(rows())
    write(tables, work, 1)
    write(tables, work)
    assert tables.head(TABLE, work).rows == 0
    assert keys(tables, work) == []
    write(tables, work, 2)
    assert keys(tables, work) == [2]


def test_docs_are_kept_and_replaced(tables: Tables, work: Branch) -> None:
    """The schema of the table says what the columns mean."""
    write(tables, work, 1)
    assert [field.doc for field in tables.catalog(work).load_table(TABLE).schema().fields][:3] == [
        "the flight",
        "who flies",
        None,
    ]
    renewed = Schema(*(field.model_copy(update={"doc": f"new {field.name}"}) for field in ROUTE.fields))
    tables.write(TABLE, work, rows(1), schema=renewed, properties=RUN)
    assert tables.catalog(work).load_table(TABLE).schema().fields[0].doc == "new key"


def field_ids(tables: Tables, branch: Branch) -> dict[str, int]:
    """Name to field id."""
    return {field.name: field.field_id for field in tables.catalog(branch).load_table(TABLE).schema().fields}


def test_the_schema_becomes_exactly_the_given_one(tables: Tables, work: Branch) -> None:
    """Add, drop, reorder, promote; an old column that comes back is a new one."""
    tables.write(
        TABLE, work, pa.table({"a": [1], "b": ["x"]}), schema=schema(a=IntegerType(), b=StringType()), properties={}
    )
    first = field_ids(tables, work)
    wanted = schema(c=DoubleType(), a=LongType())
    tables.write(TABLE, work, pa.table({"a": [1 << 40], "c": [0.5]}), schema=wanted, properties={})
    second = field_ids(tables, work)
    assert list(second) == ["c", "a"]
    assert second["a"] == first["a"]
    assert second["c"] not in first.values()
    assert tables.scan(TABLE, work).read_all().to_pydict() == {"c": [0.5], "a": [1 << 40]}
    tables.write(TABLE, work, pa.table({"b": ["y"]}), schema=schema(b=StringType()), properties={})
    assert field_ids(tables, work)["b"] not in {*first.values(), *second.values()}


def test_a_type_that_does_not_fit_makes_a_new_column(tables: Tables, work: Branch) -> None:
    """Old snapshots stay readable under their own schema."""
    tables.write(TABLE, work, pa.table({"a": ["old"]}), schema=schema(a=StringType()), properties={})
    before = field_ids(tables, work)
    tables.write(TABLE, work, pa.table({"a": [1]}), schema=schema(a=LongType()), properties={})
    assert field_ids(tables, work)["a"] != before["a"]
    loaded = tables.catalog(work).load_table(TABLE)
    old, new = loaded.snapshots()
    assert loaded.scan(snapshot_id=old.snapshot_id).to_arrow().to_pydict() == {"a": ["old"]}
    assert loaded.scan(snapshot_id=new.snapshot_id).to_arrow().to_pydict() == {"a": [1]}


def test_a_schema_that_was_there_before_is_used_again(tables: Tables, work: Branch) -> None:
    """Writing the same twice adds no schema."""
    write(tables, work, 1)
    write(tables, work, 2)
    assert len(tables.catalog(work).load_table(TABLE).metadata.schemas) == 1


def test_identifier_fields_follow_their_columns(tables: Tables, work: Branch) -> None:
    """They are kept by name, also when the column gets a new id."""
    for kind in (IntegerType(), StringType()):
        key = NestedField(1, "a", kind, required=True)
        value = pa.array(["1"] if kind == StringType() else [1], pa.string() if kind == StringType() else pa.int32())
        wanted = Schema(NestedField(7, "b", LongType(), required=False), key, identifier_field_ids=[1])
        tables.write(TABLE, work, pa.table({"a": value, "b": [1]}), schema=wanted, properties={})
        assert tables.catalog(work).load_table(TABLE).schema().identifier_field_names() == {"a"}


def test_nested_columns(tables: Tables, work: Branch) -> None:
    """Lists and structs are written, kept with their ids, and replaced when they change."""
    kind = StructType(
        NestedField(5, "x", LongType(), required=False), NestedField(6, "s", StringType(), required=False)
    )
    nested = schema(l=ListType(9, StringType(), element_required=False), t=kind)
    given = pa.table({"l": [["a", None], None, []], "t": [{"x": 1, "s": "ü"}, None, {"x": None, "s": None}]})
    tables.write(TABLE, work, given, schema=nested, properties={})
    before = field_ids(tables, work)
    tables.write(TABLE, work, given, schema=nested, properties={})
    assert field_ids(tables, work) == before
    assert tables.scan(TABLE, work).read_all().to_pylist() == given.to_pylist()
    wider = schema(l=ListType(9, LongType(), element_required=False), t=kind)
    tables.write(TABLE, work, given.set_column(0, "l", pa.array([[1], None, []])), schema=wider, properties={})
    assert field_ids(tables, work)["t"] == before["t"]
    assert field_ids(tables, work)["l"] not in before.values()


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        (pa.array([1], pa.int8()), LongType(), 1),
        (pa.array([1], pa.uint32()), IntegerType(), 1),
        (pa.array([0.5], pa.float32()), DoubleType(), 0.5),
        (pa.array(["a"], pa.large_string()), StringType(), "a"),
        (pa.array(["a"]).dictionary_encode(), StringType(), "a"),
        (pa.array([b"a"], pa.large_binary()), BinaryType(), b"a"),
        (pa.array([None], pa.null()), BooleanType(), None),
        (pa.array([1_000], pa.timestamp("ns", "America/New_York")), TimestamptzType(), 1),
        (pa.array([1], pa.timestamp("s")), TimestampType(), 1_000_000),
        (pa.array([86_400_000], pa.date64()), DateType(), 1),
    ],
    ids=str,
)
def test_casts_that_change_no_value(
    tables: Tables, work: Branch, column: pa.Array, kind: IcebergType, expected: object
) -> None:
    """Within a family of types, where the value fits."""
    tables.write(TABLE, work, pa.table({"a": column}), schema=schema(a=kind), properties={})
    found = tables.scan(TABLE, work).read_all().column("a")
    plain = found.cast(pa.int64() if pa.types.is_timestamp(found.type) else found.type)
    assert (plain.cast(pa.int32()) if pa.types.is_date(found.type) else plain).to_pylist() == [expected]


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([1 << 40]), IntegerType()),
        (pa.array([0.1]), FloatType()),
        (pa.array(["5"]), LongType()),
        (pa.array([5]), StringType()),
        (pa.array([5]), DoubleType()),
        (pa.array([0], pa.timestamp("us")), TimestamptzType()),
        (pa.array([0], pa.timestamp("us", "UTC")), TimestampType()),
        (pa.array([1], pa.timestamp("ns", "UTC")), TimestamptzType()),
        (pa.array([Decimal(10**30)], pa.decimal128(38, 0)), DecimalType(9, 2)),
        (pa.array([True]), LongType()),
    ],
    ids=str,
)
def test_casts_that_would_change_a_value_are_refused(
    tables: Tables, work: Branch, column: pa.Array, kind: IcebergType
) -> None:
    """Text is no number, local time is not UTC, and nothing is cut; the table stays as it was."""
    write(tables, work, 1)
    with pytest.raises(TableError, match=r"column 'a' is .* and does not fit"):
        tables.write(TABLE, work, pa.table({"a": column}), schema=schema(a=kind), properties={})
    assert keys(tables, work) == [1]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["key"], "other columns than the schema"),
        (["key", "carrier", "at", "delay", "more"], r"unknown \['more'\];"),
        (["key", "key", "at", "delay"], r"more than once \['key'\]"),
        (["key", "key", "carrier", "at", "delay"], r"missing \[\], unknown \[\], more than once \['key'\]"),
    ],
)
def test_columns_must_be_the_schemas(tables: Tables, work: Branch, names: list[str], says: str) -> None:
    """None missing, none too many, none twice."""
    given = pa.Table.from_arrays([pa.array([1])] * len(names), names=names)
    with pytest.raises(TableError, match=says):
        tables.write(TABLE, work, given, schema=ROUTE, properties=RUN)


def test_a_null_in_a_required_column(tables: Tables, work: Branch) -> None:
    """The error names the column; without nulls it is written, and stays required."""
    required = Schema(NestedField(1, "a", LongType(), required=True))
    with pytest.raises(TableError, match="required column 'a' holds 1 nulls"):
        tables.write(TABLE, work, pa.table({"a": [1, None]}), schema=required, properties={})
    tables.write(TABLE, work, pa.table({"a": [1, 2]}), schema=required, properties={})
    assert tables.schema(TABLE, work).field("a").nullable is False


def test_required_becomes_optional_and_back(tables: Tables, work: Branch) -> None:
    """All rows are replaced, so that either way is safe; the column stays the same one."""
    for required in (False, True, False):
        wanted = Schema(NestedField(1, "a", LongType(), required=required))
        tables.write(TABLE, work, pa.table({"a": [1]}), schema=wanted, properties={})
        assert tables.schema(TABLE, work).field("a").nullable is not required
        assert field_ids(tables, work) == {"a": 1}


def data_files(lake: Lake, branch: Branch) -> list[pq.ParquetFile]:
    """The data files of the table, in order of name."""
    paths = [stat.path for stat in lake.ls(branch, f"{FOLDER}data/")]
    return [pq.ParquetFile(lake.gateway.open_input_file(f"{lake.repository}/{branch}/{path}")) for path in paths]


def test_data_files_are_compressed_and_cut_into_row_groups(
    lake: Lake, tables: Tables, work: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row groups of the set size whatever the batches, files of about the set size, zstd, the order of rows."""
    monkeypatch.setattr(writer, "ROW_GROUP_ROWS", 10)
    monkeypatch.setattr(writer, "FILE_BYTES", rows(*range(30)).nbytes)
    batches = rows(*range(95)).to_batches(max_chunksize=7)
    tables.write(TABLE, work, pa.RecordBatchReader.from_batches(rows().schema, batches), schema=ROUTE, properties=RUN)
    files = data_files(lake, work)
    sizes = [[file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] for file in files]
    assert sorted(size for groups in sizes for size in groups) == [5, *[10] * 9]
    assert len(files) > 1
    assert {file.metadata.row_group(0).column(0).compression for file in files} == {"ZSTD"}
    assert [key for file in files for key in file.read().column("key").to_pylist()] == list(range(95))
    assert tables.head(TABLE, work).rows == 95
    assert tables.head(TABLE, work).bytes == sum(s.size for s in lake.ls(work, f"{FOLDER}data/"))


def test_wide_rows_make_smaller_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row group ends after its set bytes, too."""
    monkeypatch.setattr(writer, "ROW_GROUP_BYTES", 1_000)
    batches = pa.table({"a": ["x" * 600] * 5}).to_batches(max_chunksize=1)
    assert [group.num_rows for group in writer.row_groups(batches)] == [2, 2, 1]


def test_a_write_holds_one_row_group_at_a_time(tables: Tables, work: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    """No batch is taken before the row group before it is written."""
    monkeypatch.setattr(writer, "ROW_GROUP_ROWS", 10)
    log: list[str] = []
    plain = writer.DataFileWriter.write

    def logged(self: writer.DataFileWriter, group: pa.Table) -> None:
        log.append(f"write {group.num_rows}")
        plain(self, group)

    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(6):
            log.append("take 5")
            yield rows(*range(number * 5, number * 5 + 5)).to_batches()[0]

    monkeypatch.setattr(writer.DataFileWriter, "write", logged)
    reader = pa.RecordBatchReader.from_batches(rows().schema, batches())
    tables.write(TABLE, work, reader, schema=ROUTE, properties=RUN)
    assert log == ["take 5", "take 5", "write 10"] * 3
    assert keys(tables, work) == list(range(30))


def test_a_table_of_another_tool_gets_the_properties(tables: Tables, work: Branch) -> None:
    """Among them that a raced commit is not repeated over the other's."""
    tables.catalog(work).create_table(TABLE, ROUTE, properties={"commit.retry.num-retries": "9", "other": "kept"})
    write(tables, work, 1)
    properties = tables.catalog(work).load_table(TABLE).properties
    assert {**properties, **TABLE_PROPERTIES, "other": "kept"} == properties


def test_a_table_that_another_tool_partitioned(tables: Tables, work: Branch) -> None:
    """It is replaced as the caller says: unpartitioned, unless it says something else."""
    loaded = tables.catalog(work).create_table(TABLE, ROUTE)
    with loaded.update_spec() as update:
        update.add_identity("carrier")
    write(tables, work, 1)
    assert keys(tables, work) == [1]
    assert tables.catalog(work).load_table(TABLE).spec().is_unpartitioned()


def test_upsert_after_add_column_needs_an_append_first(tables: Tables, work: Branch) -> None:
    """PyIceberg scans with the snapshot's old schema. Should this fail, it does so no more."""
    write(tables, work, 1)
    loaded = tables.catalog(work).load_table(TABLE)
    with loaded.update_schema() as update:
        update.add_column("extra", LongType())
    wider = rows(1, 2).append_column("extra", pa.array([5, 6]))
    with pytest.raises(ValueError, match="field names"):
        loaded.upsert(wider, join_cols=["key"])
    loaded = tables.catalog(work).load_table(TABLE)
    loaded.append(wider.slice(1))
    loaded.upsert(wider, join_cols=["key"])
    assert tables.scan(TABLE, work, ["key", "extra"]).read_all().sort_by("key").to_pydict() == {
        "key": [1, 2],
        "extra": [5, 6],
    }


def test_write_on_a_missing_branch(tables: Tables) -> None:
    """Nothing is made."""
    with pytest.raises(LookupError):
        write(tables, Branch("nope"), 1)
    with pytest.raises(LookupError) as caught:
        tables.head(TABLE, Branch("nope"))
    assert not isinstance(caught.value, NoSuchTable)
