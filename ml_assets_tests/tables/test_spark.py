"""Spark reads and writes the tables of the lake at a ref, beside PyIceberg."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.types import BooleanType, DateType, DoubleType, IntegerType, LongType, StringType, TimestamptzType

from ml_assets.lib.core.errors import (
    ConfigError,
    EngineError,
    LakeUnavailable,
    LostCommit,
    NoSuchTable,
    TableError,
)
from ml_assets.lib.core.refs import Branch
from ml_assets.lib.devlake import server
from ml_assets.lib.engines import Session, engine
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables.tables import TABLE_PROPERTIES, Tables
from ml_assets_tests.spark import JARS, MARKS
from ml_assets_tests.tables.examples import FOLDER, ROUTE, RUN, TABLE, keys, rows, schema, write

pytestmark = MARKS


@pytest.fixture
def session(tables: Tables) -> Iterator[Session]:
    """A session of Spark over the tables."""
    with engine("spark", threads=2, jars=JARS).session(tables) as session:
        yield session


def sparks_keys(session: Session, ref: object) -> list[int]:
    """The keys that Spark finds in the table at *ref*."""
    found: list[int] = sorted(session.batches(session.read(TABLE, ref, ["key"])).read_all()["key"].to_pylist())  # type: ignore[arg-type]  # any ref
    return found


def spark_writes(session: Session, branch: Branch, *keys: int) -> None:
    """Spark makes the table hold `rows` of *keys*."""
    session.write(session.offer(rows(*keys)), TABLE, branch, schema=ROUTE, properties=RUN)


def test_what_pyiceberg_writes_spark_reads(session: Session, tables: Tables, work: Branch) -> None:
    """Rows, names, order and types."""
    write(tables, work, 3, 1, 2)
    read = session.batches(session.read(TABLE, work)).read_all()
    assert read.sort_by("key") == rows(1, 2, 3)


def test_what_spark_writes_pyiceberg_reads(session: Session, tables: Tables, work: Branch, lake: Lake) -> None:
    """Rows, ids, docs, properties of table and snapshot are as if PyIceberg had written; a commit of it is whole."""
    spark_writes(session, work, 1, 2, 3)
    tables.check_before_commit(work)
    commit = lake.commit(work, "rows", {})
    assert tables.scan(TABLE, commit).read_all().sort_by("key") == rows(1, 2, 3)
    loaded = tables.catalog(commit).load_table(TABLE)
    assert loaded.schema().as_struct() == ROUTE.as_struct()
    assert TABLE_PROPERTIES.items() <= loaded.properties.items()
    (snapshot,) = loaded.snapshots()
    assert snapshot.summary is not None
    assert snapshot.summary["ml_assets.run"] == "r1"
    assert tables.head(TABLE, commit).rows == 3
    tables.check_closure(TABLE, commit)


def test_a_write_replaces_all_rows_in_one_snapshot(session: Session, tables: Tables, work: Branch) -> None:
    """Whoever wrote before, and whoever writes next."""
    write(tables, work, 1, 2, 3)
    spark_writes(session, work, 4, 5)
    assert keys(tables, work) == sparks_keys(session, work) == [4, 5]
    write(tables, work, 6)
    assert keys(tables, work) == sparks_keys(session, work) == [6]
    assert len(tables.catalog(work).load_table(TABLE).snapshots()) == 3


def test_an_empty_result_empties_the_table(session: Session, tables: Tables, work: Branch) -> None:
    """No rows are rows, too."""
    spark_writes(session, work, 1)
    spark_writes(session, work)
    assert keys(tables, work) == sparks_keys(session, work) == []
    assert tables.head(TABLE, work).rows == 0


def test_the_schema_becomes_the_given_one(session: Session, tables: Tables, work: Branch) -> None:
    """A dropped, a promoted and a new column, with the ids that PyIceberg would give."""
    tables.write(
        TABLE,
        work,
        rows(1).select(["key", "delay"]).cast(pa.schema({"key": pa.int32(), "delay": pa.float64()})),
        schema=schema(key=IntegerType(), delay=DoubleType()),
        properties=RUN,
    )
    wanted = schema(key=LongType(), carrier=StringType())
    session.write(session.offer(rows(1, 2).select(["carrier", "key"])), TABLE, work, schema=wanted, properties=RUN)
    fields = tables.catalog(work).load_table(TABLE).schema().fields
    assert [(field.field_id, field.name, str(field.field_type)) for field in fields] == [
        (1, "key", "long"),
        (3, "carrier", "string"),
    ]
    assert tables.scan(TABLE, work).read_all().sort_by("key") == rows(1, 2).select(["key", "carrier"])


def test_every_type_and_far_values_survive(session: Session, tables: Tables, work: Branch) -> None:
    """From PyIceberg's file to Spark's, and back; old dates are not moved to another calendar."""
    kinds = {
        "truth": (BooleanType(), pa.array([True, None, False])),
        "small": (IntegerType(), pa.array([2**31 - 1, None, -(2**31)], pa.int32())),
        "large": (LongType(), pa.array([2**63 - 1, None, -(2**63)], pa.int64())),
        "real": (DoubleType(), pa.array([float("nan"), None, -0.0])),
        "text": (StringType(), pa.array(["", None, "é\n\0🛫"])),
        "day": (DateType(), pa.array([date(1, 1, 1), None, date(9999, 12, 31)])),
        "at": (
            TimestamptzType(),
            pa.array([datetime(1, 1, 1, tzinfo=UTC), None, datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)],
                     pa.timestamp("us", "UTC")),
        ),
    }  # fmt: skip
    given = pa.table({name: cells for name, (_, cells) in kinds.items()})
    odd = schema(**{name: kind for name, (kind, _) in kinds.items()})
    tables.write(TABLE, work, given, schema=odd, properties=RUN)
    session.write(session.read(TABLE, work), "features.copy", work, schema=odd, properties=RUN)
    for read in (tables.scan("features.copy", work), session.batches(session.read("features.copy", work))):
        assert sorted(map(str, read.read_all().to_pylist())) == sorted(map(str, given.to_pylist()))


def test_refs_are_kept_apart(session: Session, tables: Tables, work: Branch, lake: Lake, main: Branch) -> None:
    """In one session: a commit stays as it is, a branch moves, and main has none of it."""
    spark_writes(session, work, 1)
    tables.check_before_commit(work)
    first = lake.commit(work, "first", {})
    spark_writes(session, work, 2)
    assert (sparks_keys(session, first), sparks_keys(session, work)) == ([1], [2])
    with pytest.raises(NoSuchTable):
        session.read(TABLE, main)
    lake.merge(first, main, "publish", {})
    assert sparks_keys(session, main) == [1]


def test_a_branch_is_read_as_it_was_when_it_was_read(session: Session, tables: Tables, work: Branch) -> None:
    """A table that is used twice is the same table twice."""
    write(tables, work, 1)
    table = session.read(TABLE, work)
    write(tables, work, 2)
    assert session.batches(table).read_all()["key"].to_pylist() == [1]
    assert sparks_keys(session, work) == [2]


def test_no_file_names_the_branch(session: Session, tables: Tables, work: Branch, lake: Lake) -> None:
    """A merge need not rewrite anything; no marker or temporary file is left for the commit."""
    spark_writes(session, work, 1)
    spark_writes(session, work, 2)
    tables.check_before_commit(work)
    changed = [row.path for row in lake.uncommitted(work)]
    assert changed
    for path in changed:
        assert path.startswith(FOLDER)
        assert path.endswith((".parquet", ".avro", ".metadata.json", "version-hint.text"))
        assert work.name.encode() not in (lake.read(work, path) or b"")


def test_a_lost_commit_of_spark_is_found(session: Session, tables: Tables, work: Branch, lake: Lake) -> None:
    """Somebody overwrote the head that Spark wrote: its snapshot is there, and nobody knows it."""
    spark_writes(session, work, 1)
    head = tables.head(TABLE, work).path
    before = lake.read(work, head)
    spark_writes(session, work, 2)
    lake.delete(work, [tables.head(TABLE, work).path])
    lake.put(work, head, before or b"")
    with pytest.raises(LostCommit):
        tables.check_before_commit(work)


def test_a_column_that_is_not_there(session: Session, tables: Tables, work: Branch) -> None:
    """It is named, with those that are."""
    write(tables, work, 1)
    with pytest.raises(TableError, match=r"no columns \['colour'\].*'carrier'"):
        session.read(TABLE, work, ["key", "colour"])


def test_rows_that_do_not_fit_leave_the_table_as_it_was(session: Session, tables: Tables, work: Branch) -> None:
    """A wrong type is refused, and a value that fails while it is computed fails the write."""
    write(tables, work, 1)
    offered = session.offer(rows(2))
    with pytest.raises(EngineError):
        session.write(offered.mutate(delay=offered.carrier), TABLE, work, schema=ROUTE, properties=RUN)
    with pytest.raises(EngineError):
        session.write(offered.mutate(key=offered.carrier.cast("int64")), TABLE, work, schema=ROUTE, properties=RUN)
    assert keys(tables, work) == [1]


def test_a_lake_that_is_gone_is_told_as_such(tmp_path: Path) -> None:
    """Not as an error of the engine: the run may be started again as it is."""
    endpoint = server.ensure(tmp_path)
    try:
        lake = Lake(endpoint.url, "gone", endpoint.access_key_id, endpoint.secret_access_key)
        lake.ensure_repository()
        tables, branch = Tables(lake), Branch("run-1")
        lake.branch(branch, Branch("main"))
        write(tables, branch, 1)
        with engine("spark", threads=2, jars=JARS).session(tables) as session:
            table = session.read(TABLE, branch)
            server.stop(tmp_path)
            with pytest.raises(LakeUnavailable):
                session.row_sum(table)
    finally:
        server.stop(tmp_path)


def test_one_process_one_lake_for_each_repository(session: Session, lake: Lake) -> None:
    """Clients are kept by the name of the repository: another lake's rows must not be read by mistake."""
    connection = lake.connection
    other = Lake("http://127.0.0.1:9", lake.repository, connection.access_key_id, connection.secret_access_key)
    with (
        pytest.raises(ConfigError, match="one process for each lake"),
        engine("spark", jars=JARS).session(Tables(other)),
    ):
        pass
