"""Contract of the feature view ``route``."""

from ml_assets.lib.declare import FeatureContract, Field, Int32, Timestamp


class Route(FeatureContract):
    """One row per pair of origin and destination."""

    origin: str = Field(description="Airport of departure (FAA code)")
    dest: str = Field(description="Airport of destination (FAA code)")
    event_timestamp: Timestamp = Field(description="2000-01-01: a distance is always known (UTC)")
    distance: Int32 = Field(ge=1, le=12500, description="Distance, miles")

    class Config:
        unique = ("origin", "dest", "event_timestamp")
