"""The cache of frame rows: it may be deleted, damaged or written twice at any time, and never lies."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from ml_assets.lib.core.digest import digest
from ml_assets.lib.gate.outcome import Published, Unchanged
from ml_assets.lib.gate.rows import RowCache
from ml_assets_tests.gate.children import Child, DieAt, Job
from ml_assets_tests.gate.world import FRAME, MODEL, Place

TABLE = pa.table({"key": ["a", "b", "c", "d"], "x": [1, None, 3, 4], "split": ["train", "train", "val", "test"]})


@pytest.fixture
def cache(tmp_path: Path) -> RowCache:
    """An empty cache."""
    return RowCache(tmp_path / "rows")


def reader(table: pa.Table = TABLE) -> pa.RecordBatchReader:
    """The rows as a stream."""
    return table.to_reader(max_chunksize=2)


def test_put_and_get(cache: RowCache) -> None:
    """What was put is found by its digest: rows, digests and counts of each split, columns."""
    rows = cache.put(reader())
    assert rows == cache.get(rows.digest)
    assert digest(TABLE) == rows.digest
    assert {"train": 2, "val": 1, "test": 1} == rows.counts
    assert {s: digest(TABLE.filter(pa.compute.equal(TABLE["split"], s))) for s in rows.counts} == rows.digests
    assert (("key", "string"), ("x", "int64"), ("split", "string")) == rows.columns
    assert TABLE.equals(rows.reader().read_all())
    assert ["x"] == rows.reader(["x"]).read_all().column_names


def test_splits_without_rows(cache: RowCache) -> None:
    """A split that has no rows has a digest and a count all the same, and so has an empty frame."""
    rows = cache.put(reader(TABLE.slice(0, 2)))
    assert {"train": 2, "val": 0, "test": 0} == rows.counts
    assert rows.digests["val"] == rows.digests["test"]
    assert 0 == cache.put(reader(TABLE.slice(0, 0))).count


def test_absent(cache: RowCache) -> None:
    """Another digest, and a folder that is not there, are absent."""
    assert cache.get("tbl1:00") is None
    rows = cache.put(reader())
    shutil.rmtree(rows.path.parent)
    assert cache.get(rows.digest) is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"{}", b'{"checksum": 1}', b'{"checksum": "../x"}', b"\xff"]
)
def test_damaged_facts(cache: RowCache, content: bytes) -> None:
    """Facts that cannot be read count as absent, and are written anew."""
    rows = cache.put(reader())
    (facts,) = rows.path.parent.glob("*.json")
    facts.write_bytes(content)
    assert cache.get(rows.digest) is None
    assert rows == cache.put(reader())
    assert rows == cache.get(rows.digest)


@pytest.mark.parametrize("harm", ["overwritten", "cut", "deleted"])
def test_damaged_rows(cache: RowCache, harm: str) -> None:
    """Rows that are not what was digested count as absent, and are written anew."""
    rows = cache.put(reader())
    data = rows.path.read_bytes()
    if harm == "deleted":
        rows.path.unlink()
    else:
        rows.path.write_bytes(data[:-1] if harm == "cut" else data[:50] + b"?" + data[51:])
    assert cache.get(rows.digest) is None
    assert rows.digest == cache.put(reader()).digest
    found = cache.get(rows.digest)
    assert found is not None
    assert TABLE.equals(found.reader().read_all())


def test_failed_put_leaves_nothing(cache: RowCache, tmp_path: Path) -> None:
    """Rows that end in an error leave no file behind."""

    def broken() -> pa.RecordBatchReader:
        def batches() -> object:
            yield from TABLE.to_batches()
            raise ValueError("made up")

        return pa.RecordBatchReader.from_batches(TABLE.schema, batches())

    with pytest.raises(ValueError, match="made up"):
        cache.put(broken())
    assert [] == list((tmp_path / "rows").iterdir())


def test_same_rows_at_once(cache: RowCache, tmp_path: Path) -> None:
    """Many writers of equal rows, in any order of rows, leave one that can be read."""
    with ThreadPoolExecutor(8) as pool:
        puts = [
            pool.submit(cache.put, reader(TABLE.take([n % 4, *(i for i in range(4) if i != n % 4)]))) for n in range(24)
        ]
    assert {digest(TABLE)} == {put.result().digest for put in puts}
    found = cache.get(digest(TABLE))
    assert found is not None
    assert 4 == found.reader().read_all().num_rows
    assert all(put.result().path.is_file() for put in puts)
    assert not [path for path in (tmp_path / "rows").iterdir() if path.suffix == ".part"]


def test_two_processes_put_the_same_frame(place_before: Callable[[object], Place]) -> None:
    """Two processes that compute the same frame at once leave rows that a third one reads."""
    place = place_before(FRAME)
    children = [Child(Job(place, [FRAME]), hold=True) for _ in range(2)]
    for child in children:
        child.go()
    assert any(isinstance(child.result(), Published) for child in children)
    rows = place.machinery.systems.rows.get(place.publication(FRAME).digest)
    assert rows is not None
    assert place.publication(FRAME).digest == digest(rows.reader().read_all())


def test_killed_while_writing_rows(place_before: Callable[[object], Place]) -> None:
    """A process that dies while it writes rows leaves none that count."""
    place = place_before(FRAME)
    Child(Job(place, [FRAME], die_at=DieAt("ml_assets.lib.gate.rows:RowCache._store", "before"))).death()
    assert [] == list((place.home / "rows").glob("*.json"))
    assert isinstance(place.materialize(FRAME), Published)


@pytest.mark.parametrize("harm", ["deleted", "overwritten"])
def test_rows_are_rebuilt_for_a_model(place: Place, harm: str) -> None:
    """A model that finds no rows, or damaged ones, rebuilds them at the frame's pin and learns the same."""
    digest_before = place.publication(FRAME).digest
    place.materialize(FRAME, recompute=True)
    folder = place.home / "rows"
    if harm == "deleted":
        shutil.rmtree(folder)
    else:
        next(folder.glob("*.parquet")).write_bytes(b"PAR1")
    assert isinstance(place.materialize(MODEL, recompute=True), Unchanged)
    rows = place.machinery.systems.rows.get(digest_before)
    assert rows is not None
    facts = json.loads(next(folder.glob("*.json")).read_bytes())
    assert rows.path.stem == facts["checksum"]
