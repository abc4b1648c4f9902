"""Some of a table's files, read by themselves."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan, schema_to_pyarrow
from pyiceberg.table import FileScanTask, Table


def read_files(table: Table, tasks: Iterable[FileScanTask]) -> pa.RecordBatchReader:
    """Rows of the files that *tasks* name, under the schema that the table has now, without deleted ones."""
    schema = schema_to_pyarrow(table.schema())
    batches = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue()).to_record_batches(list(tasks))
    return pa.RecordBatchReader.from_batches(schema, batches).cast(schema)
