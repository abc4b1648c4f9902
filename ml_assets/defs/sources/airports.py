"""The airports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.defs import contracts
from ml_assets.defs.sources.files import LIBRARIES, as_table, package_file, read_csv
from ml_assets.lib.declare import source

if TYPE_CHECKING:  # heavy, and only named in the signature
    import pyarrow as pa


@source(
    files={"airports": package_file("airports.csv")},
    always_known=True,
    contract=contracts.Airports,
    libraries=LIBRARIES,
    owner="team:flights",
)
def airports(airports: Path) -> pa.Table:
    """Airports of the United States with place and time zone."""
    types = {
        **dict.fromkeys(("faa", "name", "dst", "tzone"), "str"),
        **dict.fromkeys(("lat", "lon"), "float64"),
        **dict.fromkeys(("alt", "tz"), "Int64"),
    }
    return as_table(read_csv(airports, types), contracts.Airports)
