"""Keeps a table small: few files, one manifest, no snapshot that nobody needs, no object that nothing refers to.

It is done on a branch that nobody else writes to, hence without a grace period for objects that are being written.
What is removed there stays readable at every commit that has it. The rows stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyarrow as pa
from pyiceberg.manifest import DataFileContent, ManifestEntry, ManifestFile
from pyiceberg.table import FileScanTask, Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update.snapshot import ExpireSnapshots
from pyiceberg.typedef import Record

from ml_assets.lib.core.refs import Branch, Ref
from ml_assets.lib.tables.catalog import table_path
from ml_assets.lib.tables.checks import referred
from ml_assets.lib.tables.errors import translated
from ml_assets.lib.tables.file_io import PinnedFileIO, path_of
from ml_assets.lib.tables.files import read_files
from ml_assets.lib.tables.replace import RewriteFiles
from ml_assets.lib.tables.schemas import arrow_schema, conform
from ml_assets.lib.tables.tables import Tables
from ml_assets.lib.tables.writer import DataFileWriter, row_groups

SMALL_FILE_BYTES: Final = 32 << 20
"""Compressed size below which a data file is worth merging with others."""
SMALL_FILES: Final = 5
"""So many small files are merged; fewer are not worth a rewrite. Iceberg's own default."""
MANIFESTS: Final = 20
"""So many manifests become one: each is read at every scan."""
LARGE_BYTES: Final = 2 << 30
"""Compressed size of the files to be merged above which that is left to another engine."""

Rewrite = Callable[[str, Branch, Mapping[str, str]], None]
"""Merges the small files of a table on a branch, uncommitted, with properties for the snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a table takes up in the lake.

    Attributes:
        objects: Objects in its folder: data, manifests, versions of its metadata.
        bytes: Of all of them.
        files: Data and delete files that hold its rows.
        manifests: Manifests that name these.
        snapshots: Snapshots that can be read at the ref.
    """

    objects: int
    bytes: int
    files: int
    manifests: int
    snapshots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done; false if nothing is.

    Attributes:
        merge_files: Data files that are merged into few.
        merge_manifests: Manifests that become one.
        expire: Snapshots that go.
        remove: Objects that go, because nothing refers to them any more.
        needs_engine: Whether files are to be merged that are left to another engine, which nobody has given.
    """

    merge_files: int
    merge_manifests: int
    expire: int
    remove: int
    needs_engine: bool

    def __bool__(self) -> bool:
        return bool(self.merge_files or self.merge_manifests or self.expire or self.remove)


def size(tables: Tables, table: str, ref: Ref) -> Size:
    """What *table* takes up at *ref*."""
    with translated(table, ref):
        state = _State.of(tables, table, ref)
        stats = list(tables.lake.ls(ref, f"{table_path(table)}/"))
    return Size(
        objects=len(stats),
        bytes=sum(stat.size for stat in stats),
        files=len(state.entries),
        manifests=len(state.manifests),
        snapshots=len(state.table.snapshots()),
    )


def plan(tables: Tables, table: str, ref: Ref, *, older_than: datetime, rewrite: Rewrite | None = None) -> Plan:
    """What `tidy` would do to *table* at *ref*; nothing is written.

    Args:
        tables: The tables.
        table: Which.
        ref: At what.
        older_than: Snapshots from before go, unless they hold the table's rows.
        rewrite: As for `tidy`.
    """
    with translated(table, ref):
        state = _State.of(tables, table, ref)
        skipped = state.is_left_to_engine and rewrite is None
        merges = bool(state.to_merge or state.merges_manifests) and not skipped
        current = None if merges else state.table.metadata.current_snapshot_id
        kept = list(_kept(state.table.metadata, older_than, current))
        return Plan(
            merge_files=len(state.to_merge) if merges else 0,
            merge_manifests=len(state.manifests) if merges else 0,
            expire=len(state.table.snapshots()) - len(kept),
            remove=len(_orphans(tables, table, ref, state.table, kept)),
            needs_engine=bool(state.to_merge) and skipped,
        )


def tidy(
    tables: Tables,
    table: str,
    branch: Branch,
    *,
    older_than: datetime,
    properties: Mapping[str, str],
    rewrite: Rewrite | None = None,
) -> None:
    """Merge small files and manifests, expire snapshots, remove what nothing refers to any more; all uncommitted.

    Args:
        tables: The tables.
        table: Which.
        branch: Where; nobody else may write there.
        older_than: As for `plan`.
        properties: Recorded with the snapshot.
        rewrite: For tables that are partitioned, or too large to be merged here; without one, their files stay.

    Raises:
        CommitRaced: Somebody else wrote the table.
    """
    with translated(table, branch):
        state = _State.of(tables, table, branch)
        if state.is_left_to_engine and (state.to_merge or state.merges_manifests) and rewrite is not None:
            rewrite(table, branch, properties)
            state = _State.of(tables, table, branch)
        transaction = state.table.transaction()
        changed = not state.is_left_to_engine and bool(state.to_merge or state.merges_manifests)
        if changed:
            _merge(tables, state, branch, transaction, properties)
        metadata = transaction.table_metadata
        kept = {snapshot.snapshot_id for snapshot in _kept(metadata, older_than, metadata.current_snapshot_id)}
        if old := [known.snapshot_id for known in metadata.snapshots if known.snapshot_id not in kept]:
            ExpireSnapshots(transaction).by_ids(old).commit()
        if changed or old:
            transaction.commit_transaction()
        loaded = tables.catalog(branch).load_table(table)
        tables.lake.delete(branch, _orphans(tables, table, branch, loaded, loaded.snapshots()))


@dataclass(frozen=True, kw_only=True)
class _State:
    """A table at a ref, with what its head refers to."""

    table: Table
    manifests: tuple[ManifestFile, ...]
    entries: tuple[ManifestEntry, ...]
    tasks: tuple[FileScanTask, ...]

    @classmethod
    def of(cls, tables: Tables, table: str, ref: Ref) -> _State:
        loaded = tables.catalog(ref).load_table(table)
        snapshot = loaded.current_snapshot()
        listed = snapshot.manifests(loaded.io) if snapshot else []
        manifests = tuple(known for known in listed if known.has_added_files() or known.has_existing_files())
        entries = tuple(entry for manifest in manifests for entry in manifest.fetch_manifest_entry(loaded.io))
        return cls(table=loaded, manifests=manifests, entries=entries, tasks=tuple(loaded.scan().plan_files()))

    @property
    def has_deletes(self) -> bool:
        """Whether rows were deleted without their files being rewritten."""
        return any(entry.data_file.content != DataFileContent.DATA for entry in self.entries)

    @property
    def to_merge(self) -> tuple[FileScanTask, ...]:
        """The files to merge: small ones if a partition has many, and all where deleted rows are still in them."""
        if self.has_deletes:
            return self.tasks
        small: dict[tuple[int, Record], list[FileScanTask]] = {}
        for task in self.tasks:
            if task.file.file_size_in_bytes < SMALL_FILE_BYTES:
                small.setdefault((task.file.spec_id, task.file.partition), []).append(task)
        return tuple(task for tasks in small.values() if len(tasks) >= SMALL_FILES for task in tasks)

    @property
    def merges_manifests(self) -> bool:
        return len(self.manifests) >= MANIFESTS

    @property
    def is_left_to_engine(self) -> bool:
        bytes_ = sum(task.file.file_size_in_bytes for task in self.to_merge)
        specs = {manifest.partition_spec_id for manifest in self.manifests} - {self.table.metadata.default_spec_id}
        return bytes_ > LARGE_BYTES or not self.table.spec().is_unpartitioned() or bool(specs)


def _merge(
    tables: Tables, state: _State, branch: Branch, transaction: Transaction, properties: Mapping[str, str]
) -> None:
    metadata = state.table.metadata
    io = PinnedFileIO(tables.lake, branch, metadata.properties)
    writer = DataFileWriter(metadata, io)
    for group in row_groups(_rows(state)):
        writer.write(group)
    merged = {task.file.file_path for task in state.to_merge}
    data = (entry for entry in state.entries if entry.data_file.content == DataFileContent.DATA)
    RewriteFiles(
        transaction,
        io,
        kept=[entry for entry in data if entry.data_file.file_path not in merged],
        removed=[task.file for task in state.to_merge],
        added=writer.close(),
        properties=properties,
    ).commit()


def _rows(state: _State) -> Iterator[pa.RecordBatch]:
    """Rows of the files to merge; one file at a time is held in memory."""
    wanted = arrow_schema(state.table.schema())
    for task in state.to_merge:
        yield from conform(read_files(state.table, [task]), wanted, where=task.file.file_path)


def _kept(metadata: TableMetadata, older_than: datetime, current: int | None) -> Iterator[Snapshot]:
    """Snapshots that are young enough, and the current one."""
    oldest = older_than.timestamp() * 1000
    return (known for known in metadata.snapshots if known.timestamp_ms >= oldest or known.snapshot_id == current)


def _orphans(tables: Tables, table: str, ref: Ref, loaded: Table, snapshots: Iterable[Snapshot]) -> list[str]:
    """Objects in the table's folder that neither its metadata nor *snapshots* refer to."""
    folder = f"{table_path(table)}/"
    named = [loaded.metadata_location, *(entry.metadata_file for entry in loaded.metadata.metadata_log)]
    known = {path_of(location, tables.lake.repository) for location in (*named, *referred(loaded, snapshots))}
    known.add(f"{folder}metadata/version-hint.text")
    return [stat.path for stat in tables.lake.ls(ref, folder) if stat.path not in known]
