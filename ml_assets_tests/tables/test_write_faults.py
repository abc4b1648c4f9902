"""`Tables.write` when rows fail, writers race, or answers are lost: nothing half, nothing mixed, nothing lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from ml_assets.lib.core.errors import CommitRaced, LakeUnavailable
from ml_assets.lib.core.refs import Branch
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.lake.types import Stat
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.faults import Fault, Faults
from ml_assets_tests.tables.examples import FOLDER, ROUTE, RUN, TABLE, keys, rows, write


def test_an_error_of_whoever_makes_the_rows_passes_as_it_is(tables: Tables, work: Branch) -> None:
    """Nothing is committed, and the next write works; a FileNotFoundError there is no broken table."""
    write(tables, work, 1)

    def batches() -> Iterator[pa.RecordBatch]:
        yield rows(2).to_batches()[0]
        raise FileNotFoundError("made up")

    with pytest.raises(FileNotFoundError, match="made up"):
        tables.write(
            TABLE, work, pa.RecordBatchReader.from_batches(rows().schema, batches()), schema=ROUTE, properties=RUN
        )
    assert keys(tables, work) == [1]
    write(tables, work, 3)
    assert keys(tables, work) == [3]
    tables.check_before_commit(work)


def test_of_two_writers_one_is_told_that_it_lost(tables: Tables, work: Branch) -> None:
    """The table holds the rows of the other alone, and nothing looks like a lost commit."""
    write(tables, work, 0)
    begun = threading.Barrier(2, timeout=20)

    def run(key: int) -> str:
        def batches() -> Iterator[pa.RecordBatch]:
            begun.wait()
            yield rows(key).to_batches()[0]

        reader = pa.RecordBatchReader.from_batches(rows().schema, batches())
        try:
            tables.write(TABLE, work, reader, schema=ROUTE, properties=RUN)
        except CommitRaced:
            return "raced"
        return "done"

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(run, (1, 2)))
    assert sorted(answers) == ["done", "raced"]
    assert keys(tables, work) == [1 + answers.index("done")]
    tables.check_before_commit(work)


def test_of_two_that_make_a_table_one_is_told_that_it_lost(
    lake: Lake, tables: Tables, work: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both look, neither sees one, one makes it: the other is told before it has written a row."""
    looked = threading.Barrier(2, timeout=20)
    put = Lake.put

    def put_together(self: Lake, branch: Branch, path: str, data: bytes, *, if_absent: bool = False) -> Stat:
        if path.endswith("/v1.metadata.json"):
            looked.wait()
        return put(self, branch, path, data, if_absent=if_absent)

    def run(key: int) -> str:
        try:
            write(tables, work, key)
        except CommitRaced:
            return "raced"
        return "done"

    monkeypatch.setattr(Lake, "put", put_together)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(run, (1, 2)))
    assert sorted(answers) == ["done", "raced"]
    assert keys(tables, work) == [1 + answers.index("done")]
    assert len(list(lake.ls(work, f"{FOLDER}data/"))) == 1
    tables.check_before_commit(work)


def test_appends_of_many_threads_lose_nothing(tables: Tables, work: Branch) -> None:
    """PyIceberg beside PyIceberg: who is told "done" has its rows in the table."""
    catalog = tables.catalog(work)
    catalog.create_table(TABLE, ROUTE, properties={"commit.retry.num-retries": "20", "commit.retry.min-wait-ms": "5"})

    def append(key: int) -> None:
        catalog.load_table(TABLE).append(rows(key))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append, range(12)))
    assert keys(tables, work) == list(range(12))
    tables.check_before_commit(work)


@pytest.mark.parametrize("fault", ["lost", "unreachable", 500])
def test_a_commit_of_a_table_without_an_answer_is_settled(
    lake: Lake, tables: Tables, work: Branch, fault: Fault
) -> None:
    """By looking what is there: the version is created once, whether the first call landed or not."""
    write(tables, work, 1)
    faults = Faults(lake, [fault], only="v3.metadata.json")
    write(tables, work, 2)
    faults.remove()
    assert keys(tables, work) == [2]
    assert tables.head(TABLE, work).path == f"{FOLDER}metadata/v3.metadata.json"
    tables.check_before_commit(work)


def test_a_lake_that_stays_away_is_reported(lake: Lake, tables: Tables, work: Branch) -> None:
    """As what it is, after a bounded number of tries."""
    write(tables, work, 1)
    faults = Faults(lake, [503] * 100, only="v3.metadata.json")
    with pytest.raises(LakeUnavailable):
        write(tables, work, 2)
    faults.remove()
    assert keys(tables, work) == [1]


def test_the_hint_is_only_a_hint(lake: Lake, tables: Tables, work: Branch, caplog: pytest.LogCaptureFixture) -> None:
    """A write succeeds without it, and says so in the log; reads do not need it."""
    write(tables, work, 1)
    faults = Faults(lake, [500], only="version-hint")
    with caplog.at_level(logging.WARNING):
        write(tables, work, 2)
    faults.remove()
    assert "version hint of warehouse/features/route_v1" in caplog.text
    assert lake.read(work, f"{FOLDER}metadata/version-hint.text") == b"2"
    assert keys(tables, work) == [2]
    lake.delete(work, [f"{FOLDER}metadata/version-hint.text"])
    assert keys(tables, work) == [2]
    write(tables, work, 3)
    assert lake.read(work, f"{FOLDER}metadata/version-hint.text") == b"4"
