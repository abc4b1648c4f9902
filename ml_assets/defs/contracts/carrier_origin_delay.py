"""Contract of the feature view ``carrier_origin_delay``."""

from ml_assets.lib.declare import FeatureContract, Field, Timestamp


class CarrierOriginDelay(FeatureContract):
    """One row per carrier, airport and arrival time."""

    carrier: str = Field(description="IATA code of the carrier")
    origin: str = Field(description="Airport of departure (FAA code)")
    event_timestamp: Timestamp = Field(description="Arrival: the moment these values become known (UTC)")
    co_n_7d: int = Field(ge=1, description="Arrivals in the seven days up to then")
    co_delay_7d: float = Field(ge=-180, le=1440, description="Their mean arrival delay, minutes")
    co_late_7d: float = Field(ge=0, le=1, description="Share of them more than 15 minutes late")

    class Config:
        unique = ("carrier", "origin", "event_timestamp")
