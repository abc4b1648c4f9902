"""Arrow types at the border of an engine: always those of the contract."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from ml_assets.lib.core.errors import EngineError

if TYPE_CHECKING:  # heavy, and only named in a signature
    import ibis.expr.types as ir

TIMESTAMP: Final = pa.timestamp("us", "UTC")


def schema_of(expr: ir.Table) -> pa.Schema:
    """Names and types of *expr* as Arrow has them, every column nullable."""
    return pa.schema([pa.field(field.name, field.type) for field in expr.schema().to_pyarrow()])


def in_utc(rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same rows with every time as ``timestamp[us, UTC]``; a time without a zone is one of UTC.

    Raises:
        EngineError: While reading: a time finer than microseconds.
    """
    schema = pa.schema([pa.field(f.name, TIMESTAMP if pa.types.is_timestamp(f.type) else f.type) for f in rows.schema])
    return pa.RecordBatchReader.from_batches(schema, _cast(rows, schema))


def portions(rows: pa.RecordBatchReader, size: int) -> Iterator[pa.Table]:
    """*rows* in portions of about *size* bytes, at least one, which is empty if there are no rows."""
    held: list[pa.RecordBatch] = []
    found, first = 0, True
    for batch in rows:
        held.append(batch)
        found += batch.nbytes
        if found >= size:
            yield pa.Table.from_batches(held)
            held, found, first = [], 0, False
    if held or first:
        yield pa.Table.from_batches(held, rows.schema)


def _cast(rows: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    try:
        for batch in rows:
            yield batch.cast(schema)
    except pa.ArrowInvalid as error:
        raise EngineError(
            f"a time cannot be held in microseconds: {error}", remedy="round the column to microseconds first"
        ) from error
