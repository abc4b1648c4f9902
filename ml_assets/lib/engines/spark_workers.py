"""What runs in Spark's Python workers: functions over a partition's Arrow batches.

They travel by value, with what they use of `ml_assets.lib.core`: workers need NumPy and PyArrow, and not this project.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import pyarrow as pa

from ml_assets.lib.core.digest import RowSum, row_sum, row_sums_by

Partition = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]

STREAMS: Final = "stream binary"
"""What `streams` gives."""

SUMS: Final = "whole boolean, name string, rows bigint, total binary"
"""What `sums` gives."""


def streams(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Each batch as one cell that holds an Arrow stream."""
    for batch in batches:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        yield pa.RecordBatch.from_arrays([pa.array([sink.getvalue().to_pybytes()], pa.binary())], ["stream"])


def sums(column: str | None) -> Partition:
    """The row sum of a partition, then that of each group of rows with one value of *column*."""

    def partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        whole, groups = (row_sum(batches), {}) if column is None else row_sums_by(batches, column)
        parts = [whole, *groups.values()]
        columns = {
            "whole": pa.array([True, *[False] * len(groups)]),
            "name": pa.array([None, *groups], pa.string()),
            "rows": pa.array([part.rows for part in parts], pa.int64()),
            "total": pa.array([part.total.to_bytes(16, "big") for part in parts], pa.binary()),
        }
        yield pa.RecordBatch.from_pydict(columns)

    return partition


def total(sums: Iterable[tuple[bool, str, int, bytes]]) -> tuple[RowSum, dict[str, RowSum]]:
    """Whole and groups over all partitions."""
    whole, groups = RowSum.zero(), dict[str, RowSum]()
    for is_whole, name, rows, part in sums:
        add = RowSum(rows, int.from_bytes(part, "big"))
        if is_whole:
            whole += add
        else:
            groups[name] = groups.get(name, RowSum.zero()) + add
    return whole, groups
