"""How Parquet is written: sizes of dictionary, row group and page, and zstd's level, for tables of three shapes.

All in memory and through PyArrow's writer, which is PyIceberg's. `ml_assets.lib.tables.tables.TABLE_PROPERTIES` holds
what was chosen by it.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.defs.sources.files import package_file
from ml_assets.defs.sources.flights import flights as flights_source
from ml_assets_tests.benchmarks.gate import wide_sql

_ROUNDS: Final = 3
_ROWS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Layout:
    """Settings of the writer. The defaults are those of PyIceberg, but for the rows of a row group."""

    level: int = 1
    dictionary_bytes: int = 2 << 20
    page_bytes: int = 1 << 20
    page_rows: int = 20_000
    row_group_rows: int = 122_880

    def write(self, rows: pa.Table) -> bytes:
        """A file with *rows*."""
        file, step = io.BytesIO(), self.row_group_rows
        settings: dict[str, Any] = {"compression": "zstd", "compression_level": self.level}
        settings |= {"dictionary_pagesize_limit": self.dictionary_bytes}
        settings |= {"data_page_size": self.page_bytes, "write_batch_size": self.page_rows}
        with pq.ParquetWriter(file, rows.schema, **settings) as writer:
            for begin in range(0, rows.num_rows, step):
                writer.write_table(rows.slice(begin, step), row_group_size=step)
        return file.getvalue()


_DEFAULT: Final = Layout()
_CHOSEN: Final = Layout(dictionary_bytes=64 << 10)
LAYOUTS: Final = {
    "PyIceberg's own": _DEFAULT,
    "dictionary 512 KiB": replace(_DEFAULT, dictionary_bytes=512 << 10),
    "dictionary 128 KiB": replace(_DEFAULT, dictionary_bytes=128 << 10),
    "dictionary 64 KiB (chosen)": _CHOSEN,
    "dictionary 32 KiB": replace(_DEFAULT, dictionary_bytes=32 << 10),
    "chosen, level 3": replace(_CHOSEN, level=3),
    "chosen, level 6": replace(_CHOSEN, level=6),
    "chosen, page of 128 KiB": replace(_CHOSEN, page_bytes=128 << 10),
    "chosen, page of 1,024 rows": replace(_CHOSEN, page_rows=1024),
    "chosen, row group of 61,440": replace(_CHOSEN, row_group_rows=61_440),
    "chosen, row group of 245,760": replace(_CHOSEN, row_group_rows=245_760),
    "chosen, row group of 1,048,576": replace(_CHOSEN, row_group_rows=1 << 20),
}


def tables() -> dict[str, pa.Table]:
    """An index of distinct sorted keys, the flights, and rows of numbers that hardly repeat."""
    flights = flights_source(package_file("flights.csv.zip").locate(), package_file("airports.csv").locate())
    split = "CASE WHEN hash(flight_key) % 10 < 7 THEN 'train' ELSE 'test' END AS split"
    index = duckdb.sql(f"SELECT flight_key, {split} FROM flights ORDER BY flight_key").to_arrow_table()
    return {"index": index, "flights": flights, "numbers": duckdb.sql(wide_sql(_ROWS, 1)).to_arrow_table()}


def measure() -> Iterator[str]:
    """Lines with the figures: MiB, CPU seconds to write and to read (the least of three, all settings in turn)."""
    for name, rows in tables().items():
        yield f"{name}: {rows.num_rows:,} rows x {rows.num_columns}"
        written, read = dict.fromkeys(LAYOUTS, 1e9), dict.fromkeys(LAYOUTS, 1e9)
        sizes = dict[str, int]()
        for _ in range(_ROUNDS):
            for what, layout in LAYOUTS.items():
                began = time.process_time()
                file = layout.write(rows)
                between = time.process_time()
                assert pq.read_table(pa.BufferReader(file)).num_rows == rows.num_rows
                written[what] = min(written[what], between - began)
                read[what] = min(read[what], time.process_time() - between)
                sizes[what] = len(file)
        for what, size in sizes.items():
            yield f"  {what:32} {size / 2**20:6.2f} MiB, written in {written[what]:.2f} s, read in {read[what]:.2f} s"
