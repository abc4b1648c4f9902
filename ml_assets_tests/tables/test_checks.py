"""What is checked of a branch before a commit, and of a commit before a merge."""

from __future__ import annotations

import pytest

from ml_assets.lib.core.errors import BrokenClosure, LostCommit, NonCanonicalPath, NoSuchTable
from ml_assets.lib.core.refs import Branch
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables.file_io import path_of
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.tables.examples import FOLDER, TABLE, write


def test_markers_are_removed_before_a_commit(lake: Lake, tables: Tables, work: Branch) -> None:
    """Keys that end in a slash and were added on the branch, wherever; nothing else."""
    lake.put(work, "plain/kept", b"x")
    write(tables, work, 1)
    markers = ["warehouse/", "warehouse/features/", f"{FOLDER}data/", "plain/"]
    before = [row.path for row in lake.uncommitted(work)]
    for marker in markers:
        lake.put(work, marker, b"\n")
    tables.check_before_commit(work)
    assert [row.path for row in lake.uncommitted(work)] == before


def test_committed_markers_are_left_alone(lake: Lake, tables: Tables, work: Branch) -> None:
    """They are somebody's history; only what the branch adds is looked at."""
    lake.put(work, "old/", b"\n")
    lake.commit(work, "marker", {})
    tables.check_before_commit(work)
    assert list(lake.uncommitted(work)) == []


def test_nothing_is_lost_by_writes_and_appends(lake: Lake, tables: Tables, work: Branch) -> None:
    """Every snapshot of a good branch is known, over several commits, drops and new tables."""
    write(tables, work, 1)
    write(tables, work, 2)
    tables.check_before_commit(work)
    lake.commit(work, "x", {})
    write(tables, work, 3)
    write(tables, work, 3, table="sources.flights")
    tables.drop("sources.flights", work)
    tables.check_before_commit(work)


def test_a_lost_commit_is_found(lake: Lake, tables: Tables, work: Branch) -> None:
    """A snapshot file that the head does not know, as two Spark writers leave it."""
    write(tables, work, 1)
    lake.put(work, f"{FOLDER}metadata/snap-123-1-abc.avro", b"planted")
    with pytest.raises(LostCommit, match=r"features\.route_v1 on run-leaking-name: 1 snapshots .*snap-123-1-abc"):
        tables.check_before_commit(work)


def test_an_overwritten_version_is_a_lost_commit(lake: Lake, tables: Tables, work: Branch) -> None:
    """What S3A's rename does: the second writer replaces the version of the first."""
    write(tables, work, 1)
    version = f"{FOLDER}metadata/v3.metadata.json"
    write(tables, work, 2)
    first = lake.read(work, version)
    lake.delete(work, [version])
    write(tables, work, 3)
    assert lake.read(work, version) != first
    with pytest.raises(LostCommit):
        tables.check_before_commit(work)


def test_a_snapshot_without_its_table_is_lost(lake: Lake, tables: Tables, work: Branch) -> None:
    """A table that has no version at all."""
    lake.put(work, "warehouse/features/ghost/metadata/snap-1-1-a.avro", b"planted")
    with pytest.raises(NoSuchTable, match=r"features\.ghost"):
        tables.check_before_commit(work)


def test_closure_of_a_good_table(lake: Lake, tables: Tables, work: Branch) -> None:
    """Over several snapshots, commits and kinds of changes."""
    write(tables, work, 1, 2)
    lake.commit(work, "x", {})
    write(tables, work)
    loaded = tables.catalog(work).load_table(TABLE)
    write(tables, work, 3, 4)
    loaded.refresh().delete("key = 3")
    tables.check_closure(TABLE, lake.commit(work, "y", {}))


@pytest.mark.parametrize("part", ["data/", "metadata/snap-", "-m0.avro"])
@pytest.mark.parametrize("snapshot", [0, 1], ids=["old snapshot", "head"])
def test_a_missing_file_breaks_the_closure(lake: Lake, tables: Tables, work: Branch, part: str, snapshot: int) -> None:
    """Data file, manifest list, manifest; of the head and of an older snapshot that it still names."""
    parts: list[set[str]] = []
    for number in range(2):
        write(tables, work, number)
        parts.append({stat.path for stat in lake.ls(work, FOLDER) if part in stat.path}.difference(*parts))
    missing = min(parts[snapshot])
    good = lake.commit(work, "whole", {})
    lake.delete(work, [missing])
    broken = lake.commit(work, "broken", {})
    tables.check_closure(TABLE, good)
    for since in (None, good, lake.info(good).parents[0]):
        with pytest.raises(BrokenClosure, match=r"features\.route_v1 at"):
            tables.check_closure(TABLE, broken, since=since)


def test_since_a_good_commit_old_snapshots_are_not_read_again(
    lake: Lake, tables: Tables, work: Branch, opened: list[str]
) -> None:
    """New ones are, and what they lack is found; a table that is new is read whole."""
    first = lake.head(work)
    for number in range(3):
        write(tables, work, number)
    good = lake.commit(work, "good", {})
    tables.check_closure(TABLE, good, since=first)
    write(tables, work, 3)
    better = lake.commit(work, "better", {})
    opened.clear()
    tables.check_closure(TABLE, better, since=good)
    (snapshot,) = (location for location in opened if "/snap-" in location)
    lake.delete(work, [path_of(snapshot, lake.repository)])
    with pytest.raises(BrokenClosure):
        tables.check_closure(TABLE, lake.commit(work, "broken", {}), since=good)


def test_a_location_elsewhere_breaks_the_closure(lake: Lake, tables: Tables, work: Branch) -> None:
    """Metadata that names another ref than main."""
    write(tables, work, 1)
    path = f"{FOLDER}metadata/v2.metadata.json"
    text = (lake.read(work, path) or b"").decode()
    lake.put(work, path, text.replace("/main/warehouse/features/route_v1/metadata/snap", "/x/snap").encode())
    with pytest.raises(NonCanonicalPath):
        tables.check_closure(TABLE, lake.commit(work, "x", {}))


def test_closure_of_no_table(lake: Lake, tables: Tables, main: Branch) -> None:
    """There must be one."""
    with pytest.raises(NoSuchTable):
        tables.check_closure(TABLE, lake.head(main))
