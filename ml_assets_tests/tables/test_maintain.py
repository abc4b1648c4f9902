"""`tidy`: a table gets small without a change of its rows, and every earlier commit stays readable."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.table.snapshots import Operation
from pyiceberg.transforms import IdentityTransform

from ml_assets.lib.core.digest import digest
from ml_assets.lib.core.refs import Branch, Commit, Ref
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables import maintain
from ml_assets.lib.tables.maintain import Plan, Size, plan, size, tidy
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.tables.examples import FOLDER, ROUTE, RUN, TABLE, keys, rows, write

NOW = datetime.now(UTC) + timedelta(days=1)
"""Every snapshot is older."""
LONG_AGO = NOW - timedelta(days=400)
"""None is."""


def append(tables: Tables, branch: Branch, *new: int) -> None:
    """Append `rows` of the keys *new*."""
    tables.append(TABLE, branch, rows(*new), schema=ROUTE, properties=RUN)


@pytest.fixture
def many(lake: Lake, tables: Tables, work: Branch) -> Commit:
    """A table of seven files, seven manifests and seven snapshots."""
    for key in range(7):
        append(tables, work, key)
    return lake.commit(work, "many", {})


def whole(tables: Tables, ref: Ref) -> str:
    """The digest of all rows."""
    return digest(tables.scan(TABLE, ref))


def tidied(tables: Tables, branch: Branch, older_than: datetime = NOW) -> Commit:
    """Do what `plan` says, and check as before every commit and merge."""
    before = whole(tables, branch)
    said, taken = plan(tables, TABLE, branch, older_than=older_than), size(tables, TABLE, branch)
    tidy(tables, TABLE, branch, older_than=older_than, properties={"ml_assets.run": "m"})
    tables.check_before_commit(branch)
    commit = tables.lake.commit(branch, "tidied", {})
    tables.check_closure(TABLE, commit)
    assert before == whole(tables, commit)
    now = size(tables, TABLE, commit)
    assert taken.snapshots - said.expire + bool(said.merge_manifests) == now.snapshots
    assert not plan(tables, TABLE, commit, older_than=older_than)
    return commit


def test_many_small_files_become_one(lake: Lake, tables: Tables, work: Branch, many: Commit) -> None:
    """With old snapshots and all that only they need gone; the new snapshot says that the rows are the same."""
    before = size(tables, TABLE, many)
    assert (7, 7, 7) == (before.files, before.manifests, before.snapshots)
    commit = tidied(tables, work)
    after = size(tables, TABLE, commit)
    assert Size(objects=after.objects, bytes=after.bytes, files=1, manifests=1, snapshots=1) == after
    assert after.bytes < before.bytes
    snapshot = tables.catalog(commit).load_table(TABLE).current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert (Operation.REPLACE, "m") == (snapshot.summary.operation, snapshot.summary["ml_assets.run"])
    assert 7 == tables.head(TABLE, commit).rows
    assert 1 == len(list(lake.ls(commit, f"{FOLDER}data/")))


def test_earlier_commits_stay_readable(lake: Lake, tables: Tables, work: Branch, many: Commit) -> None:
    """Each with its rows and its history."""
    write(tables, work, 1)
    replaced = lake.commit(work, "replaced", {})
    tidied(tables, work)
    assert list(range(7)) == keys(tables, many)
    assert [1] == keys(tables, replaced)
    for commit in (many, replaced):
        tables.check_closure(TABLE, commit)


def test_young_snapshots_stay(tables: Tables, work: Branch, many: Commit) -> None:
    """They can still be read at the new head, so their files stay too."""
    before = size(tables, TABLE, many)
    assert Plan(merge_files=7, merge_manifests=7, expire=0, remove=0, needs_engine=False) == plan(
        tables, TABLE, work, older_than=LONG_AGO
    )
    after = size(tables, TABLE, tidied(tables, work, LONG_AGO))
    assert (1, 8) == (after.files, after.snapshots)
    assert before.objects < after.objects


def test_a_replaced_table_only_forgets(lake: Lake, tables: Tables, work: Branch) -> None:
    """One file, one manifest: nothing to merge; what is replaced goes."""
    for key in range(4):
        write(tables, work, key)
    current = tables.catalog(work).load_table(TABLE).metadata.current_snapshot_id
    said = plan(tables, TABLE, work, older_than=NOW)
    assert (0, 0, 3) == (said.merge_files, said.merge_manifests, said.expire)
    commit = tidied(tables, work)
    assert current == tables.catalog(commit).load_table(TABLE).metadata.current_snapshot_id
    assert [1, 1] == [len(list(lake.ls(commit, f"{FOLDER}{kind}"))) for kind in ("data/", "metadata/snap-")]


def test_nothing_to_do(lake: Lake, tables: Tables, work: Branch) -> None:
    """A table of one snapshot is left alone, as is an empty one."""
    write(tables, work, 1)
    lake.commit(work, "x", {})
    tidy(tables, TABLE, work, older_than=NOW, properties={})
    assert [] == list(lake.uncommitted(work))
    tables.catalog(work).create_table("features.empty_v1", ROUTE)
    lake.commit(work, "empty", {})
    assert not plan(tables, "features.empty_v1", work, older_than=NOW)
    tidy(tables, "features.empty_v1", work, older_than=NOW, properties={})
    assert [] == list(lake.uncommitted(work))


def test_large_files_are_not_rewritten(tables: Tables, work: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay as they are, under one manifest with the merged ones, and remember when they came."""
    tables.append(TABLE, work, rows(*range(5000)), schema=ROUTE, properties={})
    (large,) = (task.file for task in tables.catalog(work).load_table(TABLE).scan().plan_files())
    for key in range(6):
        append(tables, work, -key - 1)
    monkeypatch.setattr(maintain, "SMALL_FILE_BYTES", large.file_size_in_bytes)
    commit = tidied(tables, work)
    loaded = tables.catalog(commit).load_table(TABLE)
    assert large.file_path in {task.file.file_path for task in loaded.scan().plan_files()}
    snapshot = loaded.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert ("6", "1") == (snapshot.summary["deleted-data-files"], snapshot.summary["added-data-files"])
    entries = [e for m in snapshot.manifests(loaded.io) for e in m.fetch_manifest_entry(loaded.io)]
    assert [1] == [entry.sequence_number for entry in entries if entry.data_file == large]


def test_many_manifests_become_one(tables: Tables, work: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the files are too few, or too large, to be merged."""
    for key in range(3):
        append(tables, work, key)
    monkeypatch.setattr(maintain, "MANIFESTS", 3)
    after = size(tables, TABLE, tidied(tables, work))
    assert (3, 1, 1) == (after.files, after.manifests, after.snapshots)


def test_rows_of_many_schemas(tables: Tables, work: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written before a column was renamed or added are read as the table reads them."""
    monkeypatch.setattr(maintain, "SMALL_FILES", 2)
    append(tables, work, 1)
    with tables.catalog(work).load_table(TABLE).update_schema() as update:
        update.rename_column("delay", "late")
    tables.catalog(work).load_table(TABLE).append(rows(2).rename_columns(["key", "carrier", "at", "late"]))
    tidied(tables, work)
    found = tables.scan(TABLE, work).read_all().sort_by("key").to_pylist()
    assert [(1, 0.5), (2, 1.0)] == [(row["key"], row["late"]) for row in found]


def test_objects_that_nothing_refers_to_are_removed(lake: Lake, tables: Tables, work: Branch, many: Commit) -> None:
    """What a killed writer left, and what was put there by hand; in this table's folder only."""
    write(tables, work, 1, table="features.route_v10")
    for path in (f"{FOLDER}data/lost.parquet", f"{FOLDER}metadata/lost-m0.avro", f"{FOLDER}notes.txt"):
        lake.put(work, path, b"x")
    lake.commit(work, "lost", {})
    tidied(tables, work)
    assert not [stat.path for stat in lake.ls(work, FOLDER) if "lost" in stat.path or "notes" in stat.path]
    assert [1] == keys(tables, work, table="features.route_v10")


def test_what_is_large_or_partitioned_is_left_to_an_engine(
    lake: Lake, tables: Tables, work: Branch, many: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one, files stay and all else is done; with one, it does the rewrite and the rest follows."""
    monkeypatch.setattr(maintain, "LARGE_BYTES", 100)
    assert plan(tables, TABLE, work, older_than=NOW).needs_engine
    after = size(tables, TABLE, tidied(tables, work))
    assert (7, 1) == (after.files, after.snapshots)
    asked = []

    def engine(table: str, branch: Branch, properties: object) -> None:
        asked.append((table, branch, properties))
        write(tables, branch, *range(7))

    assert not plan(tables, TABLE, work, older_than=NOW, rewrite=engine).needs_engine
    tidy(tables, TABLE, work, older_than=NOW, properties=RUN, rewrite=engine)
    assert [(TABLE, work, RUN)] == asked
    after = size(tables, TABLE, lake.commit(work, "by engine", {}))
    assert (1, 1) == (after.files, after.snapshots)


def test_a_partitioned_table(tables: Tables, work: Branch) -> None:
    """Its files stay; its snapshots expire."""
    spec = PartitionSpec(PartitionField(source_id=1, field_id=1000, transform=IdentityTransform(), name="key"))
    loaded = tables.catalog(work).create_table(TABLE, ROUTE, partition_spec=spec)
    for key in range(6):
        loaded.append(rows(key))
    after = size(tables, TABLE, tidied(tables, work))
    assert (6, 1) == (after.files, after.snapshots)


def test_again_and_again(lake: Lake, tables: Tables, work: Branch) -> None:
    """Appends go on between: the table stays small, and every state of it can be read."""
    states = {}
    for n in range(3):
        for key in range(6):
            append(tables, work, 10 * n + key)
        states[lake.commit(work, "appended", {})] = keys(tables, work)
        states[tidied(tables, work)] = keys(tables, work)
        assert size(tables, TABLE, work).files <= 2
    for commit, expected in states.items():
        assert expected == keys(tables, commit)
