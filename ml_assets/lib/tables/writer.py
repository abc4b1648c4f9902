"""Data files, written row group by row group: what is held in memory does not grow with the table."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Final

import pyarrow as pa
from pyiceberg.io import FileIO, OutputFile
from pyiceberg.io.fileformat import FileFormatFactory, FileFormatWriter
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.schema import sanitize_column_names
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.typedef import Record

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


class DataFileWriter:
    """Writes the data files of one snapshot of an unpartitioned table.

    Args:
        metadata: The table, with the schema that the rows have.
        io: Where the files go.
    """

    def __init__(self, metadata: TableMetadata, io: FileIO) -> None:
        self._metadata = metadata
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
            output = self._io.new_output(self._places.new_data_location(name))
            self._open = output, self._format.create_writer(output, self._schema, self._metadata.properties)
            self._open_bytes = 0
        self._open[1].write(pa.Table.from_arrays(rows.columns, schema=self._arrow_schema))
        self._open_bytes += rows.nbytes
        if self._open_bytes >= FILE_BYTES:
            self._finish()

    def close(self) -> list[DataFile]:
        """Finish the last file. All files, in the order of their rows."""
        self._finish()
        return self._files

    def _finish(self) -> None:
        if self._open is None:
            return
        (output, writer), self._open = self._open, None
        statistics = writer.close()
        self._files.append(
            DataFile.from_args(
                content=DataFileContent.DATA,
                file_path=output.location,
                file_format=FileFormat.PARQUET,
                partition=Record(),
                file_size_in_bytes=len(output),
                sort_order_id=None,
                spec_id=self._metadata.default_spec_id,
                equality_ids=None,
                key_metadata=None,
                **statistics.to_serialized_dict(),
            )
        )
