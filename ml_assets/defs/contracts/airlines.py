"""Contract of ``sources.airlines``."""

from ml_assets.lib.declare import Field, SourceContract


class Airlines(SourceContract):
    """One row per carrier."""

    carrier: str = Field(str_matches=r"[A-Z0-9]{2}$", description="IATA code of the carrier")
    name: str = Field(description="Name")

    class Config:
        unique = ("carrier",)
