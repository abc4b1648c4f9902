"""Contract of the feature view ``route_delay``."""

from ml_assets.lib.declare import FeatureContract, Field, Timestamp


class RouteDelay(FeatureContract):
    """One row per pair of origin and destination and arrival time."""

    origin: str = Field(description="Airport of departure (FAA code)")
    dest: str = Field(description="Airport of destination (FAA code)")
    event_timestamp: Timestamp = Field(description="Arrival: the moment these values become known (UTC)")
    route_n_28d: int = Field(ge=1, description="Arrivals in the 28 days up to then")
    route_delay_28d: float = Field(ge=-180, le=1440, description="Their mean arrival delay, minutes")
    route_late_28d: float = Field(ge=0, le=1, description="Share of them more than 15 minutes late")

    class Config:
        unique = ("origin", "dest", "event_timestamp")
