"""A table's files, read in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.io.pyarrow import ArrowScan, schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.table import FileScanTask, Table

READ_BYTES: Final = 64 << 20
"""Compressed bytes of the files that are read at the same time, at least one file: PyIceberg reads as many as it is
given at once, and holds all of their rows."""


def read_files(
    table: Table,
    tasks: Iterable[FileScanTask],
    projection: Schema | None = None,
    row_filter: BooleanExpression | None = None,
) -> pa.RecordBatchReader:
    """Rows of the files that *tasks* name, without deleted ones.

    Args:
        table: Which.
        tasks: As its scan plans them.
        projection: Names, order and types; ``None`` means the schema that the table has now.
        row_filter: Which rows; ``None`` means all.
    """
    projection = projection or table.schema()
    scan = ArrowScan(table.metadata, table.io, projection, row_filter or AlwaysTrue())
    batches = chain.from_iterable(map(scan.to_record_batches, _groups(tasks)))
    schema = schema_to_pyarrow(projection)
    return pa.RecordBatchReader.from_batches(schema, batches).cast(schema)


def _groups(tasks: Iterable[FileScanTask]) -> Iterator[list[FileScanTask]]:
    """*tasks* in their order; each group but the last has `READ_BYTES` or more."""
    group: list[FileScanTask] = []
    size = 0
    for task in tasks:
        group.append(task)
        size += task.file.file_size_in_bytes
        if size >= READ_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
