"""What every engine offers: `Engine` makes a `Session`, a session reads, computes, joins, digests and writes.

Tables are Ibis tables: lazy, bound to the session that made them. Rows travel as Arrow record batches whose types are
those of the contract, whatever the engine gives: text is ``string``, time is ``timestamp[us, UTC]``. The order of rows
means nothing unless the expression sorts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from ml_assets.lib.core.digest import RowSum
from ml_assets.lib.core.names import SPLIT
from ml_assets.lib.core.refs import Branch, Ref

if TYPE_CHECKING:  # heavy, and only named in signatures
    import ibis.expr.types as ir
    from pyiceberg.schema import Schema

    from ml_assets.lib.tables.maintain import Rewrite
    from ml_assets.lib.tables.tables import Tables


class TableStore(Protocol):
    """What a session asks of the tables in the lake."""

    def scan(self, table: str, ref: Ref, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """Rows of *table* at *ref*, streamed; only *columns* are read."""

    def write(
        self,
        table: str,
        branch: Branch,
        rows: pa.RecordBatchReader,
        *,
        schema: Schema,
        properties: Mapping[str, str],
        partition_by: Sequence[str] = (),
    ) -> None:
        """Replace all rows of *table* on *branch*; creates it or evolves it to exactly *schema* and *partition_by*."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewJoin:
    """One feature view, as it takes part in a point-in-time join.

    Attributes:
        name: Name for messages.
        table: Rows of the view: *keys*, ``event_timestamp`` (the moment the values become known) and *values*.
        keys: Columns that spine and view share; empty for a view without entity, whose latest row fits every spine row.
        ttl: Oldest age at which values still count, ends included, exact to the microsecond; ``None`` or zero: any age.
        values: Columns to bring to the spine, in this order.
        created: Column that tells the latest of several rows with equal keys and timestamp; its nulls are oldest.
    """

    name: str
    table: ir.Table
    keys: tuple[str, ...]
    ttl: timedelta | None
    values: tuple[str, ...]
    created: str | None = None


class Session(Protocol):
    """A running engine with a private, temporary database. Not to be shared between threads."""

    def read(self, table: str, ref: Ref, columns: Sequence[str] | None = None) -> ir.Table:
        """*table* of the lake as it is at *ref*, safe to be used any number of times.

        Args:
            table: Table name, as in ``sources.flights``.
            ref: Where to read; the head of a branch is taken once, now.
            columns: The columns to read; ``None`` means all.

        Raises:
            TableError: No such table, or it cannot be read.
            LakeError: The lake refused, or could not be reached.
        """

    def offer(self, rows: pa.Table | pa.RecordBatchReader) -> ir.Table:
        """*rows* as a table of this session. Times without a zone are taken as UTC, others are converted.

        Raises:
            EngineError: A time finer than microseconds, or a type the engine does not know.
        """

    def bind(self, expr: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
        """*expr* with its unbound tables replaced by *tables* of their name.

        The tables may lack columns that the expression does not use (see `columns_needed`).

        Raises:
            EngineError: A table, or a column that the expression uses, is not there or has another type.
        """

    def persist(self, expr: ir.Table) -> ir.Table:
        """The rows of *expr*, computed once and kept until the session ends.

        Raises:
            EngineError: The expression cannot be run.
        """

    def batches(self, expr: ir.Table) -> pa.RecordBatchReader:
        """The rows of *expr*, streamed; other calls may be made while it is read.

        Raises:
            EngineError: The expression cannot be run; also while reading.
        """

    def write(
        self,
        expr: ir.Table,
        table: str,
        branch: Branch,
        *,
        schema: Schema,
        properties: Mapping[str, str],
        partition_by: Sequence[str] = (),
    ) -> None:
        """Replace all rows of *table* on *branch* by those of *expr*, in the order in which it sorts them, if it does.

        Args:
            expr: The rows.
            table: Which table.
            branch: Where, uncommitted.
            schema: Names, order, types and docs.
            properties: Recorded with the snapshot.
            partition_by: Columns, or periods of times (``month(at)``), by which the files are parted.

        Raises:
            EngineError: The expression cannot be run.
            TableError: The table cannot be written.
            LakeError: The lake refused, or could not be reached.
        """

    def row_sum(self, expr: ir.Table) -> RowSum:
        """What the digest of *expr* needs to know of its rows.

        Raises:
            EngineError: The expression cannot be run.
            NotDigestible: A column that the digest does not define.
        """

    def row_sums_by(self, expr: ir.Table, column: str = SPLIT) -> tuple[RowSum, dict[str, RowSum]]:
        """The sum over all rows, and of the rows of each value of *column*, in one pass; null belongs to no group.

        Raises:
            EngineError: The expression cannot be run.
            NotDigestible: A column that the digest does not define.
        """

    def point_in_time(self, spine: ir.Table, views: Sequence[ViewJoin]) -> ir.Table:
        """Each spine row once, with the values of each view as they were known at the row's ``event_timestamp``.

        A view's row counts when its keys equal the spine row's (null equals nothing) and its ``event_timestamp`` is not
        later and not more than ``ttl`` earlier. The latest such row gives *all* values, nulls included; where there is
        none, they are null. Among rows of equal keys and timestamp the one created last wins, then the one with the
        greatest values, so the answer does not depend on the order of the rows. The result is computed once and kept.

        Args:
            spine: The rows to keep, with ``event_timestamp`` and the keys of all views. Equal rows are kept apart.
            views: What to join, in the order of the result's columns.

        Returns:
            The spine's columns, then the values of each view.

        Raises:
            EngineError: A column is missing, is there twice (case does not count), or keys differ in type.
        """


class Engine(Protocol):
    """Something that can run sessions. Cheap to make; nothing starts before `session`."""

    @property
    def name(self) -> str:
        """``duckdb`` or ``spark``."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the libraries that compute, for the record of a run."""

    def session(self, tables: TableStore) -> AbstractContextManager[Session]:
        """A new session over *tables*; whatever it stored is gone when the context ends.

        Raises:
            ConfigError: A setting of the engine is wrong.
        """

    def rewriter(self, tables: Tables) -> Rewrite | None:
        """What merges the files of tables that are too large for one process; ``None`` if this engine is in one too."""
