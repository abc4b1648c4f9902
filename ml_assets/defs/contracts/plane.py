"""Contract of the feature view ``plane``."""

from ml_assets.lib.declare import FeatureContract, Field, Int32, Timestamp


class Plane(FeatureContract):
    """One row per aircraft in the register."""

    tailnum: str = Field(description="Registration of the aircraft")
    event_timestamp: Timestamp = Field(description="2000-01-01: the register is always known (UTC)")
    seats: Int32 = Field(ge=1, le=900, description="Number of seats")
    engines: Int32 = Field(ge=1, le=8, description="Number of engines")
    plane_age: Int32 = Field(nullable=True, ge=0, le=110, description="Years since manufacture, in 2013")

    class Config:
        unique = ("tailnum", "event_timestamp")
