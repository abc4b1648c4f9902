"""Spark merges the files of tables that are too large for one process, on a branch, and their rows stay the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.transforms import IdentityTransform

from ml_assets.lib.core.refs import Branch
from ml_assets.lib.engines import engine
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables import maintain
from ml_assets.lib.tables.maintain import Rewrite, plan, size, tidy
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.spark import JARS, MARKS
from ml_assets_tests.tables.examples import FOLDER, ROUTE, RUN, TABLE, keys, rows, write

pytestmark = MARKS

NOW = datetime.now(UTC) + timedelta(days=1)
"""So that every snapshot but the current one is old."""


@pytest.fixture
def rewrite(tables: Tables) -> Rewrite:
    """What Spark offers to maintenance."""
    found = engine("spark", threads=2, jars=JARS).rewriter(tables)
    assert found is not None
    return found


def appended(tables: Tables, work: Branch) -> None:
    """A table of seven files."""
    write(tables, work, 0)
    for key in range(1, 7):
        tables.catalog(work).load_table(TABLE).append(rows(key))


def test_duckdb_leaves_it_alone(tables: Tables) -> None:
    """It works in one process."""
    assert engine("duckdb").rewriter(tables) is None


def test_a_large_table_becomes_one_file(
    rewrite: Rewrite, lake: Lake, tables: Tables, work: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the run's properties; nothing is left over, no file names the branch, and earlier commits stay readable."""
    monkeypatch.setattr(maintain, "LARGE_BYTES", 100)
    appended(tables, work)
    before = lake.commit(work, "appended", {})
    assert plan(tables, TABLE, work, older_than=NOW, rewrite=rewrite).merge_files == 7
    tidy(tables, TABLE, work, older_than=NOW, properties=RUN, rewrite=rewrite)
    tables.check_before_commit(work)
    changed = [row.path for row in lake.uncommitted(work) if row.kind != "removed"]
    assert all(work.name.encode() not in (lake.read(work, path) or b"") for path in changed)
    after = lake.commit(work, "maintained", {})
    assert keys(tables, before) == keys(tables, after) == list(range(7))
    found = size(tables, TABLE, after)
    assert (found.files, found.manifests, found.snapshots) == (1, 1, 1)
    (snapshot,) = tables.catalog(after).load_table(TABLE).snapshots()
    assert snapshot.summary is not None
    assert RUN.items() <= snapshot.summary.additional_properties.items()
    tables.check_closure(TABLE, after)
    assert not plan(tables, TABLE, after, older_than=NOW, rewrite=rewrite)
    assert not [stat.path for stat in lake.ls(after, FOLDER) if stat.path.endswith("/")]


def test_partitions_are_merged_each(rewrite: Rewrite, lake: Lake, tables: Tables, work: Branch) -> None:
    """Only where one has many small files; then there is nothing left to be done."""
    spec = PartitionSpec(PartitionField(source_id=2, field_id=1000, transform=IdentityTransform(), name="carrier"))
    loaded = tables.catalog(work).create_table(TABLE, ROUTE, partition_spec=spec)
    for key in range(8):
        carrier = pa.array(["few" if key < 2 else "many"])
        loaded.append(rows(key).set_column(1, "carrier", carrier))
    assert plan(tables, TABLE, work, older_than=NOW, rewrite=rewrite).merge_files == 6
    tidy(tables, TABLE, work, older_than=NOW, properties=RUN, rewrite=rewrite)
    after = lake.commit(work, "maintained", {})
    assert keys(tables, after) == list(range(8))
    assert size(tables, TABLE, after).files == 3
    assert not plan(tables, TABLE, after, older_than=NOW, rewrite=rewrite)
