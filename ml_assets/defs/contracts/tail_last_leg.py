"""Contract of the feature view ``tail_last_leg``."""

from ml_assets.lib.declare import FeatureContract, Field, Int32, Timestamp


class TailLastLeg(FeatureContract):
    """One row per aircraft and arrival time."""

    tailnum: str = Field(description="Registration of the aircraft")
    event_timestamp: Timestamp = Field(description="Arrival: the moment the value becomes known (UTC)")
    prev_leg_delay: Int32 = Field(ge=-180, le=1440, description="Minutes this flight arrived late, negative if early")

    class Config:
        unique = ("tailnum", "event_timestamp")
