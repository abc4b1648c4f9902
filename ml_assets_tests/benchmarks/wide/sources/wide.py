"""Rows of a Parquet file."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.lib.declare import PackageFile, source
from ml_assets_tests.benchmarks.wide import contracts


@source(files={"wide": PackageFile("ml-assets", "")}, contract=contracts.Wide, event_time="at", known_from="at")
def wide(wide: Path) -> pa.Table:
    """Ten columns, as many rows as the file has."""
    return pq.read_table(wide)
