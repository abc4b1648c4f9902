"""The register of aircraft."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.defs import contracts
from ml_assets.defs.sources.files import LIBRARIES, as_table, package_file, read_csv
from ml_assets.lib.declare import source

if TYPE_CHECKING:  # heavy, and only named in the signature
    import pyarrow as pa


@source(
    files={"planes": package_file("planes.csv")},
    always_known=True,
    contract=contracts.Planes,
    libraries=LIBRARIES,
    owner="team:flights",
)
def planes(planes: Path) -> pa.Table:
    """Aircraft in the register of the Federal Aviation Administration, as far as they are known there."""
    text = dict.fromkeys(("tailnum", "manufacturer", "model", "engine"), "str")
    return as_table(
        read_csv(planes, {**text, **dict.fromkeys(("year", "engines", "seats"), "Int64")}), contracts.Planes
    )
