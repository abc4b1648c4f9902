"""The carriers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.defs import contracts
from ml_assets.defs.sources.files import LIBRARIES, as_table, package_file, read_csv
from ml_assets.lib.declare import source

if TYPE_CHECKING:  # heavy, and only named in the signature
    import pyarrow as pa


@source(
    files={"airlines": package_file("airlines.csv")},
    always_known=True,
    contract=contracts.Airlines,
    libraries=LIBRARIES,
    owner="team:flights",
)
def airlines(airlines: Path) -> pa.Table:
    """Carriers and their names."""
    return as_table(read_csv(airlines, {"carrier": "str", "name": "str"}), contracts.Airlines)
