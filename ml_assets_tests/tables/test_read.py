"""`Tables.scan`, `head`, `schema`, `exists`, `tables`; what is remembered at a commit and what is not at a branch."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from ml_assets.lib.core.errors import BrokenClosure, LakeError, NoSuchTable, RefNotFound, TableError
from ml_assets.lib.core.refs import Branch, Commit
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables import files
from ml_assets.lib.tables.tables import Head, Tables
from ml_assets_tests.tables.examples import FOLDER, ROUTE, RUN, TABLE, keys, rows, write


@pytest.fixture
def commit(lake: Lake, tables: Tables, work: Branch) -> Commit:
    """A commit with the keys 1 to 5."""
    write(tables, work, 1, 2, 3, 4, 5)
    return lake.commit(work, "five", {})


def test_columns_come_in_the_order_asked_for(tables: Tables, commit: Commit) -> None:
    """With the types that `schema` tells."""
    reader = tables.scan(TABLE, commit, ["delay", "key"])
    wanted = tables.schema(TABLE, commit)
    assert reader.schema.equals(pa.schema([wanted.field("delay"), wanted.field("key")]))
    assert reader.read_all().to_pydict() == {"delay": [0.5, 1, 1.5, 2, 2.5], "key": [1, 2, 3, 4, 5]}


def test_rows_are_filtered(tables: Tables, commit: Commit) -> None:
    """Also by a column that is not asked for."""
    found = tables.scan(TABLE, commit, ["key"], "delay > 1 and carrier != 'c4'").read_all()
    assert sorted(found.column("key").to_pylist()) == [3, 5]


def test_files_are_read_when_it_is_their_turn(
    tables: Tables, work: Branch, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are read at the same time are held whole: few, however many the table has."""
    write(tables, work, 0)
    for key in range(1, 6):
        tables.append(TABLE, work, rows(key), schema=ROUTE, properties=RUN)
    for size, at_first in ((1, 1), (files.READ_BYTES, 6)):
        monkeypatch.setattr(files, "READ_BYTES", size)
        opened.clear()
        reader = tables.scan(TABLE, work, ["key"])
        found = reader.read_next_batch()["key"].to_pylist()
        assert at_first == sum(location.endswith(".parquet") for location in opened)
        assert list(range(6)) == sorted(found + reader.read_all()["key"].to_pylist())


def test_what_the_table_does_not_have(tables: Tables, commit: Commit) -> None:
    """A column, or one in the filter: the error names it."""
    with pytest.raises(TableError, match=r"of which \['nope'\] are unknown"):
        tables.scan(TABLE, commit, ["key", "nope"])
    for odd in ([], ["key", "key"]):
        with pytest.raises(TableError, match="at least one"):
            tables.scan(TABLE, commit, odd)
    for wrong in ("nope = 1", "key === 1", "key = 'x'"):
        with pytest.raises(TableError, match=r"features\.route_v1 at"):
            tables.scan(TABLE, commit, row_filter=wrong).read_all()


def test_no_such_table_and_no_such_ref(tables: Tables, commit: Commit, main: Branch) -> None:
    """Two different errors, from every method."""
    for call in (tables.scan, tables.head, tables.schema):
        with pytest.raises(NoSuchTable, match=r"features\.other at"):
            call("features.other", commit)
        with pytest.raises(NoSuchTable):
            call(TABLE, main)
        with pytest.raises(RefNotFound):
            call(TABLE, Branch("nope"))
    assert tables.exists(TABLE, commit)
    assert not tables.exists(TABLE, main)
    with pytest.raises(RefNotFound):
        tables.exists(TABLE, Branch("nope"))
    with pytest.raises(RefNotFound):
        list(tables.tables(Branch("nope")))


def test_head_tells_the_state(lake: Lake, tables: Tables, work: Branch, commit: Commit) -> None:
    """Path and checksum of the metadata, rows and bytes of the data; committed or not."""
    path = f"{FOLDER}metadata/v2.metadata.json"
    stat = lake.stat(commit, path)
    assert stat is not None
    size = sum(data.size for data in lake.ls(commit, f"{FOLDER}data/"))
    assert tables.head(TABLE, commit) == Head(path=path, checksum=stat.checksum, rows=5, bytes=size)
    write(tables, work, 1)
    assert (tables.head(TABLE, work).rows, tables.head(TABLE, commit).rows) == (1, 5)
    assert tables.head(TABLE, work).path == f"{FOLDER}metadata/v3.metadata.json"


def test_head_of_a_table_without_a_snapshot(tables: Tables, work: Branch) -> None:
    """It has no rows."""
    tables.catalog(work).create_table(TABLE, ROUTE)
    assert (tables.head(TABLE, work).rows, tables.head(TABLE, work).bytes) == (0, 0)
    assert tables.scan(TABLE, work).read_all().num_rows == 0


def test_tables_are_listed_at_the_ref(lake: Lake, tables: Tables, work: Branch, commit: Commit) -> None:
    """In order; a folder that holds no table is none."""
    lake.put(work, "warehouse/features/not_a_table/readme", b"x")
    lake.put(work, "warehouse/readme", b"x")
    write(tables, work, 1, table="sources.flights")
    assert list(tables.tables(work)) == [TABLE, "sources.flights"]
    assert list(tables.tables(commit)) == [TABLE]


def test_at_a_commit_a_table_is_asked_for_once(lake: Lake, tables: Tables, commit: Commit) -> None:
    """One listing and one read, however often and by whatever method; the scan itself uses the gateway."""
    keys(tables, commit)
    before = lake.calls.total()
    for _ in range(3):
        assert tables.head(TABLE, commit).rows == 5
        tables.schema(TABLE, commit)
        tables.scan(TABLE, commit).read_all()
        tables.catalog(commit).load_table(TABLE)
    assert lake.calls.total() == before
    fresh = Tables(lake)
    keys(fresh, commit)
    assert lake.calls.total() == before + 2


def test_what_is_remembered_is_not_changed_by_its_users(tables: Tables, commit: Commit) -> None:
    """Each caller gets a table of its own."""
    first, second = (tables.catalog(commit).load_table(TABLE) for _ in range(2))
    assert first is not second
    assert first == second


def test_a_branch_is_asked_each_time(tables: Tables, work: Branch) -> None:
    """It may have moved."""
    for key in (1, 2, 3):
        write(tables, work, key)
        assert keys(tables, work) == [key]


def test_rows_deleted_and_columns_renamed_by_pyiceberg(tables: Tables, work: Branch, commit: Commit) -> None:
    """Old files are read under the new names, without the deleted rows."""
    loaded = tables.catalog(work).load_table(TABLE)
    with loaded.update_schema() as update:
        update.rename_column("delay", "lateness")
        update.add_column("extra", ROUTE.find_type("key"))
    loaded.delete("key = 2")
    assert tables.scan(TABLE, work, ["lateness", "extra"]).read_all().to_pydict() == {
        "lateness": [0.5, 1.5, 2.0, 2.5],
        "extra": [None] * 4,
    }
    assert keys(tables, commit) == [1, 2, 3, 4, 5]


def test_duckdb_reads_the_reader(tables: Tables, commit: Commit) -> None:
    """Through batches of Arrow."""
    reader = tables.scan(TABLE, commit)
    assert duckdb.connect().execute("select count(*), sum(delay) from reader").fetchall() == [(5, 7.5)]
    assert reader.schema.names == ROUTE.column_names


def test_a_scan_of_a_branch_that_moves_meanwhile_stays_whole(tables: Tables, work: Branch) -> None:
    """The reader reads the state that was there when it was made: files are never overwritten."""
    write(tables, work, 1, 2)
    reader = tables.scan(TABLE, work)
    write(tables, work, 3)
    assert sorted(reader.read_all().column("key").to_pylist()) == [1, 2]


def test_a_missing_data_file_is_a_broken_table(lake: Lake, tables: Tables, work: Branch, commit: Commit) -> None:
    """The error is one of ours, also when it comes while batches are read."""
    lake.delete(work, [stat.path for stat in lake.ls(work, f"{FOLDER}data/")])
    with pytest.raises((BrokenClosure, LakeError)):
        keys(tables, work)
    assert keys(tables, commit) == [1, 2, 3, 4, 5]


def test_a_gap_between_versions_is_an_error(lake: Lake, tables: Tables, work: Branch) -> None:
    """Readers that follow the hint and readers that list would disagree which version is the head."""
    for key in (1, 2, 3):
        write(tables, work, key)
    lake.delete(work, [f"{FOLDER}metadata/v2.metadata.json"])
    with pytest.raises(BrokenClosure, match=r"has the versions \[1, 3, 4\]"):
        keys(tables, work)
    lake.delete(work, [f"{FOLDER}metadata/v1.metadata.json"])  # old versions may go
    assert keys(tables, work) == [3]


def test_an_empty_batch_keeps_its_schema(tables: Tables, work: Branch) -> None:
    """A scan without rows has all columns."""
    tables.write(TABLE, work, rows(), schema=ROUTE, properties={})
    assert tables.scan(TABLE, work, ["carrier"]).read_all().schema.names == ["carrier"]
