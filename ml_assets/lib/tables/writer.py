"""Data files, written row group by row group: what is held in memory does not grow with the table."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
from pyiceberg.io import FileIO, OutputFile
from pyiceberg.io.fileformat import FileFormatFactory, FileFormatWriter
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionKey
from pyiceberg.schema import sanitize_column_names
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.typedef import Record

from ml_assets.lib.tables.partitions import Values, parted, partition_key
from ml_assets.lib.tables.schemas import arrow_schema

ROW_GROUP_ROWS: Final = 122_880
"""Rows of a row group: DuckDB's own default."""
ROW_GROUP_BYTES: Final = 64 << 20
"""Arrow bytes after which a row group ends early, where rows are wide."""
FILE_BYTES: Final = 512 << 20
"""Arrow bytes after which a new file begins; compressed it is several times smaller."""


def row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """*batches* in portions of `ROW_GROUP_ROWS` rows, fewer where rows are wide and in the last one; order is kept."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, ROW_GROUP_ROWS - rows)
            held.append(part)
            start, rows, size = start + part.num_rows, rows + part.num_rows, size + part.nbytes
            if rows >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
                yield pa.Table.from_batches(held)
                held, rows, size = [], 0, 0
    if held:
        yield pa.Table.from_batches(held)


HELD_BYTES: Final = 256 << 20
"""Arrow bytes of rows that wait for more of their partition before the largest share of them is written."""
OPEN_FILES: Final = 16
"""Files that are written at the same time: each has a buffer of its own on the way to the lake."""


class TableWriter:
    """Writes the data files of one snapshot of a table, partitioned or not, in bounded memory.

    Rows of a partitioned table may come in any order. Those of one partition are held until they make a row group;
    when too many are held in all, the partition with most of them gets a smaller one.

    Args:
        metadata: The table, with the schema that the rows have, and the partition spec.
        io: Where the files go.
    """

    def __init__(self, metadata: TableMetadata, io: FileIO) -> None:
        self._metadata, self._io = metadata, io
        self._spec = metadata.spec()
        self._whole = DataFileWriter(metadata, io)
        self._writers: dict[Values, DataFileWriter] = {}
        self._held: dict[Values, _Held] = {}

    def write(self, rows: pa.Table) -> None:
        """Add some rows, at most a row group; columns have the order and types of the table's schema."""
        if self._spec.is_unpartitioned():
            self._whole.write(rows)
            return
        for values, part in parted(rows, self._spec, self._metadata.schema()):
            held = self._held.setdefault(values, _Held())
            held.add(part)
            if held.rows >= ROW_GROUP_ROWS or held.bytes >= ROW_GROUP_BYTES:
                self._release(values)
        while sum(held.bytes for held in self._held.values()) > HELD_BYTES:
            self._release(max(self._held, key=lambda values: self._held[values].bytes))

    def close(self) -> list[DataFile]:
        """Finish all files, and name them."""
        while self._held:
            self._release(next(iter(self._held)))
        return [file for writer in (self._whole, *self._writers.values()) for file in writer.close()]

    def _release(self, values: Values) -> None:
        """Write what is held of a partition."""
        writer = self._writers.pop(values, None)
        if writer is None:
            key = partition_key(values, self._spec, self._metadata.schema())
            writer = DataFileWriter(self._metadata, self._io, key)
        self._writers[values] = writer  # last in line
        is_open = [other for other in self._writers.values() if other.is_open]
        if not writer.is_open and len(is_open) >= OPEN_FILES:
            is_open[0].finish()
        rows = pa.concat_tables(self._held.pop(values).parts)
        for start in range(0, rows.num_rows, ROW_GROUP_ROWS):
            writer.write(rows.slice(start, ROW_GROUP_ROWS))


@dataclass
class _Held:
    """Rows of one partition that are not written yet."""

    parts: list[pa.Table] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0

    def add(self, rows: pa.Table) -> None:
        self.parts.append(rows)
        self.rows += rows.num_rows
        self.bytes += rows.nbytes


class DataFileWriter:
    """Writes the data files of one snapshot of an unpartitioned table, or of one partition.

    Args:
        metadata: The table, with the schema that the rows have.
        io: Where the files go.
        partition: Which partition all rows are of.
    """

    def __init__(self, metadata: TableMetadata, io: FileIO, partition: PartitionKey | None = None) -> None:
        self._metadata = metadata
        self._partition = partition
        self._io = io
        self._schema = sanitize_column_names(metadata.schema())
        self._arrow_schema = arrow_schema(self._schema, field_ids=True)
        self._format = FileFormatFactory.get(FileFormat.PARQUET)
        self._places = load_location_provider(metadata.location, metadata.properties)
        self._name = uuid.uuid4()
        self._files: list[DataFile] = []
        self._open: tuple[OutputFile, FileFormatWriter] | None = None
        self._open_bytes = 0

    def write(self, rows: pa.Table) -> None:
        """Add one row group; columns have the order and types of the table's schema."""
        if self._open is None:
            name = f"{len(self._files):05d}-{self._name}.{self._format.file_extension()}"
            output = self._io.new_output(self._places.new_data_location(name, self._partition))
            self._open = output, self._format.create_writer(output, self._schema, self._metadata.properties)
            self._open_bytes = 0
        self._open[1].write(pa.Table.from_arrays(rows.columns, schema=self._arrow_schema))
        self._open_bytes += rows.nbytes
        if self._open_bytes >= FILE_BYTES:
            self.finish()

    @property
    def is_open(self) -> bool:
        """Whether a file is begun and not finished."""
        return self._open is not None

    def close(self) -> list[DataFile]:
        """Finish the last file. All files, in the order of their rows."""
        self.finish()
        return self._files

    def finish(self) -> None:
        """End the file that is open; what is written after goes into a new one."""
        if self._open is None:
            return
        (output, writer), self._open = self._open, None
        statistics = writer.close()
        self._files.append(
            DataFile.from_args(
                content=DataFileContent.DATA,
                file_path=output.location,
                file_format=FileFormat.PARQUET,
                partition=self._partition.partition if self._partition else Record(),
                file_size_in_bytes=len(output),
                sort_order_id=None,
                spec_id=self._metadata.default_spec_id,
                equality_ids=None,
                key_metadata=None,
                **statistics.to_serialized_dict(),
            )
        )
