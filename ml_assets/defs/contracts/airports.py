"""Contract of ``sources.airports``."""

from ml_assets.lib.declare import Field, SourceContract


class Airports(SourceContract):
    """One row per airport in the United States; a few destinations are missing."""

    faa: str = Field(str_matches=r"[A-Z0-9]{3}$", description="FAA code of the airport")
    name: str = Field(description="Name")
    lat: float = Field(ge=-90, le=90, description="Latitude, degrees north")
    lon: float = Field(ge=-180, le=180, description="Longitude, degrees east")
    alt: int = Field(ge=-1500, le=20000, description="Altitude, feet")
    tz: int = Field(ge=-12, le=14, description="Offset of standard time from UTC, hours")
    dst: str = Field(isin=("A", "N", "U"), description="Summer time: A as in the United States, N none, U unknown")
    tzone: str = Field(nullable=True, description="IANA name of the time zone")

    class Config:
        unique = ("faa",)
