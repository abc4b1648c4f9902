"""One catalog is pinned to one ref, metadata says ``main``, and nothing leads elsewhere."""

from __future__ import annotations

import pytest
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.table import StaticTable

from ml_assets.lib.core.errors import (
    AccessDenied,
    Conflict,
    LakeError,
    NoSuchTable,
    TableError,
)
from ml_assets.lib.core.refs import Branch, Commit, Tag
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.tables.examples import FOLDER, ROUTE, RUN, TABLE, keys, rows, write


def committed(lake: Lake, tables: Tables, branch: Branch, *values: int) -> Commit:
    """Write and commit."""
    write(tables, branch, *values)
    return lake.commit(branch, f"write {values}", {})


def test_branches_do_not_see_each_other(lake: Lake, tables: Tables, work: Branch, main: Branch) -> None:
    """A table on a branch is not on main, nor on another branch, before or after its commit."""
    other = Branch("other")
    lake.branch(other, main)
    write(tables, work, 1)
    write(tables, other, 2)
    assert not tables.exists(TABLE, main)
    commit = lake.commit(work, "x", {})
    assert not tables.exists(TABLE, main)
    assert (keys(tables, work), keys(tables, other), keys(tables, commit)) == ([1], [2], [1])


def test_a_merge_publishes_and_old_commits_stay(lake: Lake, tables: Tables, work: Branch, main: Branch) -> None:
    """Reads by commit never change, whatever is merged or dropped later."""
    first = committed(lake, tables, work, 1)
    merged = lake.merge(work, main, "publish", {})
    next_run = Branch("run-2")
    lake.branch(next_run, merged)
    assert keys(tables, next_run) == [1]
    second = committed(lake, tables, next_run, 2, 3)
    assert (keys(tables, main), keys(tables, next_run)) == ([1], [2, 3])
    landed = lake.merge(second, main, "publish", {})
    lake.drop(work)
    lake.drop(next_run)
    assert [keys(tables, ref) for ref in (first, merged, second, landed, main)] == [[1], [1], [2, 3], [2, 3], [2, 3]]


def test_a_branch_copies_nothing(lake: Lake, tables: Tables, work: Branch) -> None:
    """A new branch of a table has no object of its own."""
    commit = committed(lake, tables, work, 1)
    lake.branch(Branch("copy"), commit)
    assert list(lake.uncommitted(Branch("copy"))) == []
    assert keys(tables, Branch("copy")) == [1]


def test_any_ref_can_be_read(lake: Lake, tables: Tables, work: Branch) -> None:
    """Branch, tag and commit."""
    commit = committed(lake, tables, work, 1)
    lake.tag(Tag("v1.0"), commit)
    assert keys(tables, work) == keys(tables, Tag("v1.0")) == keys(tables, commit) == [1]


def test_only_a_branch_can_be_written(lake: Lake, tables: Tables, work: Branch) -> None:
    """A catalog at a commit or tag refuses, and changes nothing."""
    commit = committed(lake, tables, work, 1)
    lake.tag(Tag("t"), commit)
    for ref in (commit, Tag("t")):
        catalog = tables.catalog(ref)
        with pytest.raises(AccessDenied, match="is not a branch"):
            catalog.create_table("features.other", ROUTE)
        with pytest.raises(AccessDenied, match="is not a branch"):
            catalog.drop_table(TABLE)
        with pytest.raises((LakeError, OSError)):
            catalog.load_table(TABLE).append(rows(2))
        with pytest.raises(AccessDenied, match="cannot be deleted"):
            catalog.load_table(TABLE).io.delete(f"s3a://{lake.repository}/main/x")
    assert keys(tables, commit) == keys(tables, work) == [1]


def test_no_written_file_names_the_branch(lake: Lake, tables: Tables, work: Branch) -> None:
    """Metadata, manifests and data say main only; what is inside compressed manifests, too."""
    write(tables, work, 1)
    write(tables, work, 1, 2)
    loaded = tables.catalog(work).load_table(TABLE)
    with loaded.update_schema() as update:
        update.rename_column("delay", "lateness")
    loaded.append(rows(3).rename_columns(["key", "carrier", "at", "lateness"]))
    for stat in lake.ls(work, ""):
        content = lake.read(work, stat.path)
        assert content is not None
        assert work.name.encode() not in content, stat.path
    home = f"s3a://{lake.repository}/main/{FOLDER}"
    for snapshot in loaded.snapshots():
        for manifest in snapshot.manifests(loaded.io):
            assert manifest.manifest_path.startswith(home)
            assert all(e.data_file.file_path.startswith(home) for e in manifest.fetch_manifest_entry(loaded.io))


def test_no_secret_is_written_or_shown(lake: Lake, tables: Tables, work: Branch) -> None:
    """Not in any file, nor in what catalog, table, file IO and their properties show."""
    write(tables, work, 1)
    catalog = tables.catalog(work)
    loaded = catalog.load_table(TABLE)
    secret = lake.connection.secret_access_key.get_secret_value()
    shown = [
        tables,
        catalog,
        catalog.properties,
        loaded,
        loaded.io,
        loaded.io.properties,
        loaded.metadata,
        loaded.config,
    ]
    shown += [vars(catalog), vars(loaded.io), vars(tables)]
    assert not [thing for thing in shown if secret in repr(thing) or secret in str(thing)]
    for stat in lake.ls(work, ""):
        assert secret.encode() not in (lake.read(work, stat.path) or b"")


def test_a_plain_reader_sees_main(lake: Lake, tables: Tables, work: Branch, main: Branch) -> None:
    """PyIceberg with nothing of ours reads what was published on main, and the hint leads to the head."""
    committed(lake, tables, work, 1)
    write(tables, work, 1, 2)
    lake.commit(work, "x", {})
    lake.merge(work, main, "publish", {})
    plain = StaticTable.from_metadata(
        f"s3a://{lake.repository}/main/{FOLDER}".rstrip("/"),
        {
            "s3.endpoint": lake.endpoint,
            "s3.access-key-id": lake.connection.access_key_id,
            "s3.secret-access-key": lake.connection.secret_access_key.get_secret_value(),
            "s3.region": "us-east-1",
        },
    )
    assert sorted(plain.scan().to_arrow().column("key").to_pylist()) == [1, 2]


def test_metadata_has_names_that_collide(lake: Lake, tables: Tables, work: Branch) -> None:
    """Versions are v1, v2, …; the hint names the last one."""
    write(tables, work, 1)
    write(tables, work, 2)
    names = [stat.path.removeprefix(f"{FOLDER}metadata/") for stat in lake.ls(work, f"{FOLDER}metadata/v")]
    assert names == ["v1.metadata.json", "v2.metadata.json", "v3.metadata.json", "version-hint.text"]
    assert lake.read(work, f"{FOLDER}metadata/version-hint.text") == b"3"


def diverged(lake: Lake, tables: Tables, work: Branch, main: Branch) -> Branch:
    """Another branch from where *work* is, after a first published state of the table."""
    write(tables, work, 1)
    lake.merge(lake.commit(work, "first", {}), main, "first", {})
    other = Branch("other")
    lake.branch(other, work)
    return other


@pytest.mark.parametrize("ours", [1, 3])
def test_two_branches_that_change_one_table_conflict(
    lake: Lake, tables: Tables, work: Branch, main: Branch, ours: int
) -> None:
    """Even if one made more versions than the other; nothing is lost silently."""
    other = diverged(lake, tables, work, main)
    for number in range(ours):
        write(tables, work, 10 + number)
    here = lake.commit(work, "ours", {})
    lake.merge(committed(lake, tables, other, 20), main, "theirs", {})
    conflicts = [row.path for row in lake.diff(main, here) if row.kind == "conflict"]
    assert f"{FOLDER}metadata/v3.metadata.json" in conflicts
    with pytest.raises(Conflict):
        lake.merge(here, main, "ours", {})
    assert keys(tables, main) == [20]


def test_two_branches_that_make_one_table_conflict(lake: Lake, tables: Tables, work: Branch, main: Branch) -> None:
    """With the same rows as well."""
    other = Branch("other")
    lake.branch(other, main)
    here = committed(lake, tables, work, 1)
    lake.merge(committed(lake, tables, other, 1), main, "theirs", {})
    with pytest.raises(Conflict):
        lake.merge(here, main, "ours", {})


def test_drop_against_write_conflicts(lake: Lake, tables: Tables, work: Branch, main: Branch) -> None:
    """A table that was dropped on one side does not come back in pieces."""
    other = diverged(lake, tables, work, main)
    tables.drop(TABLE, work)
    here = lake.commit(work, "dropped", {})
    lake.merge(committed(lake, tables, other, 2), main, "theirs", {})
    with pytest.raises(Conflict):
        lake.merge(here, main, "ours", {})


def test_branches_that_change_different_tables_merge(lake: Lake, tables: Tables, work: Branch, main: Branch) -> None:
    """No two units share a table, so their publishes never conflict."""
    other = diverged(lake, tables, work, main)
    write(tables, work, 2, table="features.a")
    write(tables, other, 3, table="features.b")
    for branch in (work, other):
        lake.merge(lake.commit(branch, "x", {}), main, "publish", {})
    assert list(tables.tables(main)) == ["features.a", "features.b", TABLE]
    assert keys(tables, main, table="features.a") == [2]
    assert keys(tables, main, table="features.b") == [3]


def test_no_directory_markers(lake: Lake, tables: Tables, work: Branch) -> None:
    """Neither writing nor deleting the last file of a folder leaves one."""
    write(tables, work, 1)
    loaded = tables.catalog(work).load_table(TABLE)
    for path in [stat.path for stat in lake.ls(work, f"{FOLDER}data/")]:
        loaded.io.delete(f"s3a://{lake.repository}/main/{path}")
    assert [row.path for row in lake.uncommitted(work) if row.path.endswith("/")] == []
    tables.drop(TABLE, work)
    assert list(lake.uncommitted(work)) == []


def test_metadata_goes_by_rest_and_data_by_the_gateway(lake: Lake, tables: Tables, work: Branch) -> None:
    """A write uploads versions and hints by REST, and nothing else."""
    write(tables, work, 1)
    before = lake.calls["upload_object"]
    write(tables, work, 2)
    assert lake.calls["upload_object"] == before + 2


def test_the_gateway_has_a_region(lake: Lake) -> None:
    """Without one, buckets are looked up at AWS."""
    assert lake.gateway.region == "us-east-1"


def test_drop(lake: Lake, tables: Tables, work: Branch) -> None:
    """On this branch only; the table can be made anew."""
    commit = committed(lake, tables, work, 1)
    tables.drop(TABLE, work)
    assert not tables.exists(TABLE, work)
    assert list(tables.tables(work)) == []
    with pytest.raises(NoSuchTable):
        tables.drop(TABLE, work)
    dropped = lake.commit(work, "dropped", {})
    write(tables, work, 2)
    assert (keys(tables, commit), keys(tables, work)) == ([1], [2])
    with pytest.raises(NoSuchTable):
        keys(tables, dropped)


@pytest.mark.parametrize("name", ["route", "a.b.c", "features.", ".route", "features.a/b", ""])
def test_a_table_has_a_namespace_and_a_name(tables: Tables, work: Branch, name: str) -> None:
    """Other spellings name no table."""
    with pytest.raises((NoSuchTable, TableError)):
        tables.head(name, work)
    with pytest.raises((NoSuchTableError, ValueError)):
        tables.catalog(work).load_table(name)


def test_a_table_can_be_made_in_a_transaction(tables: Tables, work: Branch) -> None:
    """PyIceberg's own way to make a table with rows in one step; the second maker is told."""
    catalog = tables.catalog(work)
    first, second = (catalog.create_table_transaction(TABLE, ROUTE) for _ in range(2))
    first.append(rows(1))
    first.commit_transaction()
    second.append(rows(2))
    with pytest.raises(CommitFailedException):
        second.commit_transaction()
    assert keys(tables, work) == [1]
    assert tables.head(TABLE, work).path == f"{FOLDER}metadata/v1.metadata.json"


def test_namespaces_are_folders(lake: Lake, tables: Tables, work: Branch) -> None:
    """They come and go with their tables, and need no object of their own."""
    catalog = tables.catalog(work)
    catalog.create_namespace("sources")
    assert catalog.list_namespaces() == []
    write(tables, work, 1)
    write(tables, work, 1, table="sources.flights")
    assert catalog.list_namespaces() == [("features",), ("sources",)]
    assert catalog.list_tables("sources") == [("sources", "flights")]
    assert catalog.namespace_exists("sources")
    catalog.drop_table("sources.flights")
    catalog.drop_namespace("sources")
    assert not catalog.namespace_exists("sources")
    assert all(stat.path.startswith(FOLDER) for stat in lake.ls(work, ""))


def test_unknown_properties_of_a_write_are_recorded_with_its_snapshot(tables: Tables, work: Branch) -> None:
    """Each snapshot tells who made it, older ones too."""
    write(tables, work, 1, run={"ml_assets.run": "r1", "ml_assets.user": "ü"})
    write(tables, work, 2, run={"ml_assets.run": "r2"})
    summaries = [
        s.summary.additional_properties for s in tables.catalog(work).load_table(TABLE).snapshots() if s.summary
    ]
    assert [summary.get("ml_assets.run") for summary in summaries] == ["r1", "r2"]
    assert [summary.get("ml_assets.user") for summary in summaries] == ["ü", None]
    assert RUN["ml_assets.run"] == "r1"
