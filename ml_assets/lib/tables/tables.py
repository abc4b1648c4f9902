"""`Tables`: read, replace and check the Iceberg tables of a lake, each call at a ref.

Everything that knows how a table is pinned to a ref sits behind `Tables.catalog`; a REST catalog, or relative paths of
Iceberg v4, can replace it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import pyarrow as pa
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot

from ml_assets.lib.core.errors import TableError
from ml_assets.lib.core.refs import Branch, Commit, Ref
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables import checks
from ml_assets.lib.tables.catalog import LakeCatalog, table_path
from ml_assets.lib.tables.errors import translated
from ml_assets.lib.tables.file_io import PinnedFileIO, location_of
from ml_assets.lib.tables.files import read_files
from ml_assets.lib.tables.layout import FORMAT_VERSION, refuse_foreign
from ml_assets.lib.tables.partitions import ReplaceSpec, refuse_lost_partitions
from ml_assets.lib.tables.replace import ReplaceRows, append_files
from ml_assets.lib.tables.schemas import ReplaceSchema, arrow_schema, conform, evolved, refuse_loss
from ml_assets.lib.tables.writer import ROW_GROUP_ROWS, TableWriter, row_groups

TABLE_PROPERTIES: Final[Mapping[str, str]] = {
    "write.parquet.compression-codec": "zstd",
    "write.parquet.row-group-limit": str(ROW_GROUP_ROWS),
    # Iceberg's 2 MB would be filled by values that hardly repeat: tables up to 1.8 times as large, written in twice the
    # time (python -m ml_assets_tests.benchmarks layout).
    "write.parquet.dict-size-bytes": str(64 << 10),
    # A branch has one writer: to commit over another's commit would mix the rows of both.
    "commit.retry.num-retries": "0",
}
"""Properties of every table that is written here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The state of a table at a ref, without its rows.

    Attributes:
        path: Path of the metadata object inside the ref: ``warehouse/features/route_v1/metadata/v3.metadata.json``.
        checksum: lakeFS's checksum of that object.
        rows: Rows of the table.
        bytes: Bytes of its data files, compressed.
    """

    path: str
    checksum: str
    rows: int
    bytes: int


class Tables:
    """The Iceberg tables of a lake. A table is named ``<namespace>.<table>``, and every call names its ref.

    Args:
        lake: Where they are.

    Raises:
        NoSuchTable: From every method that needs a table: the ref has none of this name.
        LakeError: From every method, as `Lake` says.
    """

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._catalogs = lru_cache(maxsize=64)(lambda ref: LakeCatalog(lake, ref))

    def __repr__(self) -> str:
        return f"Tables({self.lake!r})"

    def catalog(self, ref: Ref) -> LakeCatalog:
        """The PyIceberg catalog of *ref*; at a commit it remembers what it has read."""
        return self._catalogs(ref)

    def exists(self, table: str, ref: Ref) -> bool:
        """Whether *ref* has the table."""
        with translated(table, ref):
            return self.catalog(ref).table_exists(table)

    def tables(self, ref: Ref) -> Iterator[str]:
        """Names of all tables at *ref*, in order."""
        catalog = self.catalog(ref)
        for namespace in catalog.list_namespaces():
            yield from (".".join(identifier) for identifier in catalog.list_tables(namespace))

    def schema(self, table: str, ref: Ref) -> pa.Schema:
        """What `scan` gives: names, order, types (timestamps in microseconds, UTC; ``string``), nullability."""
        return arrow_schema(self._load(table, ref).schema())

    def head(self, table: str, ref: Ref) -> Head:
        """The state of the table at *ref*."""
        with translated(table, ref):
            state = self.catalog(ref).state(table)
        snapshot = state.metadata.current_snapshot()
        return Head(
            path=state.stat.path,
            checksum=state.stat.checksum,
            rows=_total(snapshot, "total-records"),
            bytes=_total(snapshot, "total-files-size"),
        )

    def scan(
        self,
        table: str,
        ref: Ref,
        columns: Sequence[str] | None = None,
        row_filter: str | BooleanExpression | None = None,
    ) -> pa.RecordBatchReader:
        """Rows of the table at *ref*, batch by batch, in no particular order.

        Args:
            table: Which.
            ref: At what; it is not looked at again once the reader is made, but a branch may move meanwhile.
            columns: Which columns, at least one, in which order; ``None`` means all, in the order of the schema.
            row_filter: Iceberg's filter; files that cannot hold such rows are not read.

        Raises:
            TableError: A column that the table does not have, or a filter that does not fit.
        """
        loaded = self._load(table, ref)
        wanted = arrow_schema(loaded.schema())
        if columns is not None:
            unknown = sorted(set(columns) - set(wanted.names))
            if unknown or not columns or len(columns) != len(set(columns)):
                raise TableError(
                    f"{table} at {ref}: columns {list(columns)}, of which {unknown} are unknown",
                    remedy=f"choose at least one of {wanted.names}, each once",
                )
            wanted = pa.schema([wanted.field(name) for name in columns])
        with translated(table, ref):
            scan = loaded.scan(
                row_filter=AlwaysTrue() if row_filter is None else row_filter, selected_fields=tuple(wanted.names)
            )
            reader = read_files(loaded, scan.plan_files(), scan.projection(), scan.row_filter)
        return pa.RecordBatchReader.from_batches(wanted, _batches(reader, wanted, table, ref))

    def scan_added(self, table: str, ref: Ref, *, since: Commit) -> pa.RecordBatchReader | None:
        """Rows at *ref* that appends brought since *since*; ``None`` if something else was done to the table."""
        loaded = self._load(table, ref)
        with translated(table, ref):
            before = {task.file.file_path for task in self._load(table, since).scan().plan_files()}
            tasks = list(loaded.scan().plan_files())
            if any(task.delete_files for task in tasks) or not before <= {task.file.file_path for task in tasks}:
                return None
            new = [task for task in tasks if task.file.file_path not in before]
            reader = read_files(loaded, new)
        wanted = arrow_schema(loaded.schema())
        return pa.RecordBatchReader.from_batches(wanted, _batches(reader, wanted, table, ref))

    def write(
        self,
        table: str,
        branch: Branch,
        rows: pa.RecordBatchReader | pa.Table,
        *,
        schema: Schema,
        properties: Mapping[str, str],
        partition_by: Sequence[str] = (),
    ) -> None:
        """Make the table, or replace its schema and all of its rows, as one snapshot on *branch*, uncommitted.

        Rows are held in memory one row group at a time. A reader is read once: after an error start again with a new
        one.

        Args:
            table: Which.
            branch: Where; nobody else may write the table there meanwhile.
            rows: Columns by name; types are cast to the schema's where no value changes.
            schema: Names, order, types, nullability and docs; its field ids do not matter.
            properties: Recorded with the snapshot: run, code commit, user, recipe.
            partition_by: What the files are parted by: columns, or periods of times in UTC, as in ``month(at)``. Rows
                may come in any order.

        Raises:
            CommitRaced: Somebody else did.
            TableError: The rows do not fit the schema, or it cannot be partitioned so.
        """
        with translated(table, branch):
            loaded, transaction = self._begin(table, branch, schema, partition_by)
        added = self._write_files(table, branch, rows, transaction.table_metadata)
        with translated(table, branch):
            removed = [task.file for task in loaded.scan().plan_files()]
            io = PinnedFileIO(self.lake, branch, transaction.table_metadata.properties)
            ReplaceRows(transaction, io, removed=removed, added=added, properties=properties).commit()
            transaction.commit_transaction()

    def append(
        self,
        table: str,
        branch: Branch,
        rows: pa.RecordBatchReader | pa.Table,
        *,
        schema: Schema,
        properties: Mapping[str, str],
        partition_by: Sequence[str] = (),
    ) -> None:
        """As `write`, but the rows that are in the table stay in it; its schema may get wider, not narrower.

        Raises:
            CommitRaced: As `write`.
            TableError: As `write`, or a column that is in the table would go, or be required of rows that lack it.
        """
        with translated(table, branch):
            loaded, transaction = self._begin(table, branch, schema, partition_by)
            refuse_loss(loaded.schema(), transaction.table_metadata.schema(), where=f"{table} on {branch}")
        added = self._write_files(table, branch, rows, transaction.table_metadata)
        with translated(table, branch):
            append_files(transaction, added, properties)
            transaction.commit_transaction()

    def prepare(self, table: str, branch: Branch, *, schema: Schema, partition_by: Sequence[str] = ()) -> None:
        """Make the table, or give it *schema*, as `write` does; its rows are left to an engine that writes them itself.

        Args:
            table: Which.
            branch: Where, uncommitted.
            schema: As for `write`.
            partition_by: As for `write`.
        """
        with translated(table, branch):
            _, transaction = self._begin(table, branch, schema, partition_by)
            transaction.commit_transaction()

    def drop(self, table: str, branch: Branch) -> None:
        """Remove the table from *branch*, uncommitted; earlier commits keep it."""
        with translated(table, branch):
            self.catalog(branch).drop_table(table)

    def check_before_commit(self, branch: Branch) -> None:
        """Remove directory markers from *branch*, and look for commits of tables that were lost on it.

        Raises:
            LostCommit: There is one: the rows of somebody who was told "done" are not in the table.
        """
        checks.check_before_commit(self.lake, self.catalog(branch), branch)

    def check_closure(self, table: str, commit: Commit, *, since: Commit | None = None) -> None:
        """Check that every file that the table refers to exists at *commit*, those of older snapshots too.

        Args:
            table: Which.
            commit: At what.
            since: A commit at which this is known to hold, such as the target's: makes the check cheap for a table with
                a long history.

        Raises:
            BrokenClosure: One does not.
            NonCanonicalPath: One is recorded elsewhere than below ``main``.
        """
        checks.check_closure(self.lake, self.catalog, table, commit, since)

    def _load(self, table: str, ref: Ref) -> Table:
        with translated(table, ref):
            return self.catalog(ref).load_table(table)

    def _write_files(
        self, table: str, branch: Branch, rows: pa.RecordBatchReader | pa.Table, metadata: TableMetadata
    ) -> list[DataFile]:
        """Write *rows* as files that no snapshot names yet."""
        writer = TableWriter(metadata, PinnedFileIO(self.lake, branch, metadata.properties))
        # Errors of whoever makes the rows pass as they are: only the writing is translated.
        for group in row_groups(conform(rows, arrow_schema(metadata.schema()), where=f"{table} on {branch}")):
            with translated(table, branch):
                writer.write(group)
        with translated(table, branch):
            return writer.close()

    def _begin(
        self, table: str, branch: Branch, schema: Schema, partition_by: Sequence[str]
    ) -> tuple[Table, Transaction]:
        """The table as it is, made if there is none, and a transaction in which it has *schema* and *partition_by*."""
        catalog = self.catalog(branch)
        try:
            loaded = catalog.load_table(table)
        except NoSuchTableError:
            properties = {"format-version": str(FORMAT_VERSION), **TABLE_PROPERTIES}
            loaded = catalog.create_table(table, schema, properties=properties)
        refuse_foreign(loaded.metadata, location=location_of(table_path(table), self.lake.repository))
        transaction = loaded.transaction()
        transaction.set_properties({k: v for k, v in TABLE_PROPERTIES.items() if loaded.properties.get(k) != v})
        wanted, where = evolved(loaded.schema(), loaded.metadata.last_column_id, schema), f"{table} on {branch}"
        refuse_lost_partitions(loaded.spec(), wanted, where=where)
        ReplaceSchema(transaction, wanted).commit()
        ReplaceSpec(transaction, partition_by, where=where).commit()
        return loaded, transaction


def _total(snapshot: Snapshot | None, name: str) -> int:
    """A total of the snapshot's summary, which every engine writes; a table without a snapshot has no rows."""
    if snapshot is None:
        return 0
    value = snapshot.summary[name] if snapshot.summary else None
    if value is None:
        raise TableError(f"snapshot {snapshot.snapshot_id} does not say its {name}", remedy="rewrite the table")
    return int(value)


def _batches(reader: pa.RecordBatchReader, schema: pa.Schema, table: str, ref: Ref) -> Iterator[pa.RecordBatch]:
    """Batches of a scan in the types of *schema*; errors of the lake that come while it is read are translated, too."""
    with translated(table, ref):
        yield from conform(reader, schema, where=f"{table} at {ref}")
