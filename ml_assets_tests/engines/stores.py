"""Tables for engines to read and write, without a lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from ml_assets.lib.core.refs import Branch, Ref


class MemoryTables:
    """Tables by name, the same at every ref; notes which columns were asked for."""

    def __init__(self, **tables: pa.Table) -> None:
        self.tables = dict(tables)
        self.asked: list[tuple[str, tuple[str, ...] | None]] = []
        self.properties: dict[str, Mapping[str, str]] = {}

    def scan(self, table: str, ref: Ref, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """The table, in small batches."""
        self.asked.append((table, None if columns is None else tuple(columns)))
        found = self.tables[table] if columns is None else self.tables[table].select(list(columns))
        return pa.RecordBatchReader.from_batches(found.schema, found.to_batches(max_chunksize=2))

    def write(
        self,
        table: str,
        branch: Branch,
        rows: pa.RecordBatchReader,
        *,
        schema: Any,
        properties: Mapping[str, str],
        partition_by: Sequence[str] = (),
    ) -> None:
        """Keep the rows."""
        self.tables[table] = rows.read_all()
        self.properties[table] = properties


class NoTables(MemoryTables):
    """Nothing to read."""


class BrokenTables(MemoryTables):
    """Tables whose reading fails with *error* after the first batch."""

    def __init__(self, error: Exception, **tables: pa.Table) -> None:
        super().__init__(**tables)
        self.error = error

    def scan(self, table: str, ref: Ref, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """One batch, then the error."""

        def batches() -> Any:
            yield next(iter(self.tables[table].to_batches()))
            raise self.error

        return pa.RecordBatchReader.from_batches(self.tables[table].schema, batches())
