"""Contract of ``sources.planes``."""

from ml_assets.lib.declare import Field, Int32, SourceContract


class Planes(SourceContract):
    """One row per aircraft in the register; many that fly are not in it."""

    tailnum: str = Field(description="Registration of the aircraft")
    year: Int32 = Field(nullable=True, ge=1903, le=2013, description="Year of manufacture")
    manufacturer: str = Field(description="Manufacturer")
    model: str = Field(description="Model")
    engines: Int32 = Field(ge=1, le=8, description="Number of engines")
    seats: Int32 = Field(ge=1, le=900, description="Number of seats")
    engine: str = Field(description="Kind of engine")

    class Config:
        unique = ("tailnum",)
