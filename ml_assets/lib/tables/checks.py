"""What is checked of a branch before its tables are committed, and of a commit before it is merged."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from ml_assets.lib.core.errors import BrokenClosure, LostCommit
from ml_assets.lib.core.refs import Branch, Commit
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables.catalog import LakeCatalog, table_path
from ml_assets.lib.tables.errors import translated
from ml_assets.lib.tables.file_io import path_of

_SNAPSHOT: Final = re.compile(r"warehouse/([^/]+)/([^/]+)/metadata/snap-[^/]*\.avro")


def check_before_commit(lake: Lake, catalog: LakeCatalog, branch: Branch) -> None:
    """Remove directory markers from *branch*, and look for commits that were lost on it.

    A snapshot file that was added on the branch, but that the table's head does not know, was written by somebody who
    was told that the commit succeeded.

    Raises:
        LostCommit: There is one.
    """
    markers: list[str] = []
    snapshots: defaultdict[str, set[str]] = defaultdict(set)
    for row in lake.uncommitted(branch):
        if row.kind == "added" and row.path.endswith("/"):
            markers.append(row.path)
        elif row.kind == "added" and (found := _SNAPSHOT.fullmatch(row.path)):
            snapshots[f"{found[1]}.{found[2]}"].add(row.path)
    lake.delete(branch, markers)
    for table, added in snapshots.items():
        with translated(table, branch):
            known = {
                path_of(snapshot.manifest_list, lake.repository) for snapshot in catalog.load_table(table).snapshots()
            }
        if lost := sorted(added - known):
            raise LostCommit(
                f"{table} on {branch}: {len(lost)} snapshots are not part of its head, the first is {lost[0]!r}",
                remedy="start again on a new branch, with one writer per table",
            )


def check_closure(
    lake: Lake, catalog_at: Callable[[Commit], LakeCatalog], table: str, commit: Commit, since: Commit | None
) -> None:
    """Check that every file that the table's head refers to exists at *commit*, in every snapshot.

    Args:
        lake: Where.
        catalog_at: Gives the catalog of a commit.
        table: Which.
        commit: At what.
        since: A commit at which this holds: if no file was removed since, its snapshots are not read again.

    Raises:
        BrokenClosure: A file does not exist.
        NonCanonicalPath: One is recorded elsewhere than below ``main``.
        NoSuchTable: *commit* has no such table.
    """
    folder = f"{table_path(table)}/"
    with translated(table, commit):
        loaded = catalog_at(commit).load_table(table)
        known: set[int] = set()
        if since is not None and catalog_at(since).table_exists(table):
            changes = lake.diff(since, commit, base="left", prefix=folder)
            if all(row.kind != "removed" for row in changes):
                known = {snapshot.snapshot_id for snapshot in catalog_at(since).load_table(table).snapshots()}
        present = {stat.path for stat in lake.ls(commit, folder)}
        new = [snapshot for snapshot in loaded.snapshots() if snapshot.snapshot_id not in known]
        for location in referred(loaded, new):
            if path_of(location, lake.repository) not in present:
                raise BrokenClosure(
                    f"{table} at {commit.short}: {location!r} does not exist", remedy="start again on a new branch"
                )


def referred(table: Table, snapshots: Iterable[Snapshot]) -> Iterator[str]:
    """Statistics; manifest lists, manifests, data and delete files of *snapshots*, each once."""
    yield from (statistics.statistics_path for statistics in table.metadata.statistics)
    yield from (statistics.statistics_path for statistics in table.metadata.partition_statistics)
    seen: set[str] = set()
    for snapshot in snapshots:
        yield snapshot.manifest_list
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path in seen:
                continue
            seen.add(manifest.manifest_path)
            yield manifest.manifest_path
            if manifest.has_added_files() or manifest.has_existing_files():
                for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                    yield entry.data_file.file_path
