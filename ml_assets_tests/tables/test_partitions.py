"""Partitioned tables: files parted by a column or a period, rows as of any table, bounded memory."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from random import Random
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import parse_transform
from pyiceberg.types import BooleanType, DateType, IntegerType, LongType, NestedField, StringType, TimestamptzType

from ml_assets.lib.core.digest import digest
from ml_assets.lib.core.errors import TableError
from ml_assets.lib.core.refs import Branch
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables import writer
from ml_assets.lib.tables.partitions import parted
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.tables.examples import ROUTE, RUN, TABLE, keys, rows

ODD = Schema(
    NestedField(1, "n", IntegerType(), required=False),
    NestedField(2, "s", StringType(), required=False),
    NestedField(3, "d", DateType(), required=False),
    NestedField(4, "b", BooleanType(), required=False),
    NestedField(5, "t", TimestamptzType(), required=False),
)
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "n": st.none() | st.integers(-3, 3),
    "s": st.none() | st.sampled_from(["", "a", "a/b", "a=b", "..", "ü €", "%2F", " ", "null", "+", "&?#"]),
    "d": st.none() | st.dates(),
    "b": st.none() | st.booleans(),
    "t": st.none() | st.datetimes(timezones=st.just(UTC)),
}
BY = [*CELLS.keys() - {"t"}, *(f"{period}(t)" for period in ("year", "month", "day", "hour"))]
SOME = st.lists(st.sampled_from(sorted(BY)), min_size=1, max_size=3)
TYPES = {"n": pa.int32(), "s": pa.string(), "d": pa.date32(), "b": pa.bool_(), "t": pa.timestamp("us", "UTC")}


def partitions(tables: Tables, ref: Branch) -> list[str]:
    """The partition of each data file, as PyIceberg records it, in order."""
    return sorted(str(task.file.partition) for task in tables.catalog(ref).load_table(TABLE).scan().plan_files())


def put(tables: Tables, branch: Branch, *numbers: int, by: tuple[str, ...] = ("carrier",)) -> None:
    """Write `rows` of keys, partitioned."""
    tables.write(TABLE, branch, rows(*numbers), schema=ROUTE, properties=RUN, partition_by=by)


def test_a_file_for_each_partition(tables: Tables, work: Branch) -> None:
    """Rows that are mixed come back whole; a scan with a filter reads the files of its partition only."""
    mixed = pa.concat_tables([rows(3, 1), rows(2, 1), rows(3)])
    tables.write(TABLE, work, mixed, schema=ROUTE, properties=RUN, partition_by=("carrier",))
    assert partitions(tables, work) == ["Record[c1]", "Record[c2]", "Record[c3]"]
    assert keys(tables, work) == [1, 1, 2, 3, 3]
    plan = tables.catalog(work).load_table(TABLE).scan(row_filter="carrier = 'c1'").plan_files()
    assert 1 == len(list(plan))
    assert 2 == tables.scan(TABLE, work, row_filter="carrier = 'c1'").read_all().num_rows
    assert tables.head(TABLE, work).rows == 5


def test_each_row_is_in_the_file_of_its_partition(lake: Lake, tables: Tables, work: Branch) -> None:
    """Rows of ten partitions, mixed: engines that take a value from the partition read what the row says.

    Regression: the count of a partition was once given to another, so files held rows of their neighbours.
    """
    drawn = Random(1).choices(range(10), k=300)
    put(tables, work, *drawn)
    counted: Counter[str] = Counter()
    for task in tables.catalog(work).load_table(TABLE).scan().plan_files():
        place = f"{lake.repository}/{work}/{task.file.file_path.partition('/main/')[2]}"
        with lake.gateway.open_input_file(place) as file:
            carriers = pq.read_table(file, columns=["carrier"])["carrier"].to_pylist()
        assert set(carriers) == {task.file.partition[0]}
        counted.update(carriers)
    assert counted == Counter(f"c{number}" for number in drawn)


@given(
    drawn=st.lists(st.fixed_dictionaries({name: CELLS[name] for name in "nsb"}), min_size=1, max_size=200),
    by=st.lists(st.sampled_from("nsb"), min_size=1, max_size=3, unique=True),
    chunks=st.integers(1, 50),
)
def test_rows_are_parted_as_a_dict_would(drawn: list[dict[str, Any]], by: list[str], chunks: int) -> None:
    """Rows that are equal in all fields are together, in their order, whatever chunks they came in."""
    fields = [
        PartitionField(ODD.find_field(name).field_id, 1000 + n, parse_transform("identity"), name)
        for n, name in enumerate(by)
    ]
    expected: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in drawn:
        expected.setdefault(tuple(row[name] for name in by), []).append(row)
    whole = pa.Table.from_pylist(drawn, pa.schema([(name, TYPES[name]) for name in "nsb"]))
    given_rows = pa.Table.from_batches(whole.to_batches(max_chunksize=chunks))
    found = [(values, part.to_pylist()) for values, part in parted(given_rows, PartitionSpec(*fields), ODD)]
    assert len(found) == len(expected)
    assert dict(found) == expected


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    drawn=st.lists(st.fixed_dictionaries(CELLS), max_size=12),
    by=SOME,
)
def test_any_values(tables: Tables, work: Branch, drawn: list[dict[str, Any]], by: list[str]) -> None:
    """Whatever the values, nulls and odd text too: the rows and their digest are those that were given."""
    columns = dict.fromkeys(text.strip(")").rpartition("(")[2] for text in by)
    partition_by = [next(text for text in by if column in text.strip(")").rpartition("(")[2]) for column in columns]
    given_rows = pa.table({name: pa.array([row[name] for row in drawn], kind) for name, kind in TYPES.items()})
    tables.write(TABLE, work, given_rows, schema=ODD, properties=RUN, partition_by=partition_by)
    found = tables.scan(TABLE, work).read_all()
    assert digest(given_rows.to_reader()) == digest(found.to_reader())
    spec = tables.catalog(work).load_table(TABLE).spec()
    assert len(partition_by) == len(spec.fields)


def test_appends_and_replacements(tables: Tables, work: Branch) -> None:
    """Both put rows into their partitions; a replacement leaves none behind."""
    put(tables, work, 1, 2)
    tables.append(TABLE, work, rows(2, 3), schema=ROUTE, properties=RUN, partition_by=("carrier",))
    assert Counter(partitions(tables, work)) == {"Record[c1]": 1, "Record[c2]": 2, "Record[c3]": 1}
    assert keys(tables, work) == [1, 2, 2, 3]
    put(tables, work, 4)
    assert keys(tables, work) == [4]


def test_another_partitioning(tables: Tables, work: Branch) -> None:
    """A table can get one, change it, lose it, and get the first again under its old number."""
    specs = []
    for number, by in enumerate([(), ("carrier",), ("year(at)", "carrier"), (), ("carrier",)]):
        put(tables, work, number, by=by)
        assert keys(tables, work) == [number]
        specs.append(tables.catalog(work).load_table(TABLE).spec())
    assert specs[0] == specs[3]
    assert specs[1] == specs[4]
    fields = [(field.name, field.field_id) for field in specs[2].fields]
    assert fields == [("at_year", 1001), ("carrier", 1000)]


def test_an_append_to_other_partitions(tables: Tables, work: Branch) -> None:
    """Files that are there stay as they are."""
    put(tables, work, 1)
    tables.append(TABLE, work, rows(2), schema=ROUTE, properties=RUN)
    tables.append(TABLE, work, rows(3), schema=ROUTE, properties=RUN, partition_by=("day(at)",))
    assert keys(tables, work) == [1, 2, 3]


def test_a_partition_column_goes(tables: Tables, work: Branch) -> None:
    """Not while files are parted by it: the error says what to do first."""
    numbers = pa.table({"key": pa.array([1], pa.int64()), "carrier": pa.array([7], pa.int64())})
    schema = Schema(
        NestedField(1, "key", LongType(), required=False), NestedField(2, "carrier", LongType(), required=False)
    )
    put(tables, work, 1)
    with pytest.raises(TableError, match=r"is partitioned by \['carrier'\]") as refused:
        tables.write(TABLE, work, numbers, schema=schema, properties=RUN, partition_by=("carrier",))
    assert "once with another partition_by" in str(refused.value)
    assert keys(tables, work) == [1]
    put(tables, work, 1, by=())
    tables.write(TABLE, work, numbers, schema=schema, properties=RUN, partition_by=("carrier",))
    assert tables.scan(TABLE, work).read_all().to_pylist() == [{"key": 1, "carrier": 7}]
    tables.check_before_commit(work)
    commit = tables.lake.commit(work, "all of it", {})
    tables.check_closure(TABLE, commit)


def test_many_partitions(tables: Tables, work: Branch) -> None:
    """More than files may be open, or expressions nested."""
    put(tables, work, *range(150))
    put(tables, work, *range(150))
    assert keys(tables, work) == list(range(150))


def test_refusals(tables: Tables, work: Branch) -> None:
    """What is no column, no time, or no word for a period."""
    for by, said in (
        ("bus", "no such column"),
        ("day(carrier)", "carrier is string"),
        ("week(at)", "is no column and no period"),
    ):
        with pytest.raises(TableError, match=said):
            put(tables, work, 1, by=(by,))


def test_memory_is_bounded(tables: Tables, work: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of many partitions in any order: few are held, few files are open, and every row arrives."""
    monkeypatch.setattr(writer, "ROW_GROUP_ROWS", 8)
    monkeypatch.setattr(writer, "HELD_BYTES", 600)
    monkeypatch.setattr(writer, "OPEN_FILES", 2)
    held: list[int] = []
    is_open: list[int] = []
    real = writer.TableWriter.write

    def watched(self: writer.TableWriter, group: pa.Table) -> None:
        real(self, group)
        held.append(sum(part.bytes for part in self._held.values()))
        is_open.append(sum(one.is_open for one in self._writers.values()))

    monkeypatch.setattr(writer.TableWriter, "write", watched)
    numbers = [number % 7 for number in range(160)]
    put(tables, work, *numbers)
    assert keys(tables, work) == sorted(numbers)
    assert max(held) <= 600
    assert max(is_open) == 2
    assert len(held) == 20


def test_what_is_held_pins_nothing_else(tables: Tables, work: Branch) -> None:
    """A row that waits for others of its partition must not keep the row group alive that it came in."""
    put(tables, work)
    loaded = tables.catalog(work).load_table(TABLE)
    before = pa.total_allocated_bytes()
    large = rows(*([1] * 100_000), 2)
    kept = [part for _, part in parted(large, loaded.spec(), loaded.schema())][1]
    assert 1 == kept.num_rows
    del large
    assert pa.total_allocated_bytes() - before < 100_000


def test_paths_are_plain(lake: Lake, tables: Tables, work: Branch) -> None:
    """Folders are named as other tools name them."""
    put(tables, work, 1, by=("carrier", "month(at)"))
    folders = {stat.path.rpartition("/")[0] for stat in lake.ls(work, "warehouse/") if stat.path.endswith(".parquet")}
    assert folders == {"warehouse/features/route_v1/data/carrier=c1/at_month=1970-01"}


@given(at=st.datetimes(timezones=st.just(UTC)), period=st.sampled_from(["year", "month", "day", "hour"]))
def test_periods_are_icebergs(at: datetime, period: str) -> None:
    """Periods are counted as Iceberg counts them, before 1970 too."""
    schema = Schema(NestedField(1, "t", TimestamptzType(), required=False))
    transform = parse_transform(period)
    spec = PartitionSpec(PartitionField(1, 1000, transform, "p"))
    times = pa.array([at, None], pa.timestamp("us", "UTC"))
    found = [values for values, _ in parted(pa.table({"t": times}), spec, schema)]
    assert [(transform.transform(TimestamptzType())(times[0].value),), (None,)] == found
