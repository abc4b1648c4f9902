"""Contract of the feature view ``schedule``."""

from ml_assets.lib.declare import FeatureContract, Field, Int32, Timestamp


class Schedule(FeatureContract):
    """One row per flight: what the timetable says."""

    flight_key: str = Field(description="The flight")
    event_timestamp: Timestamp = Field(description="2000-01-01: a timetable is known long before (UTC)")
    hour: Int32 = Field(ge=0, le=23, description="Hour of the scheduled departure in New York")
    minute: Int32 = Field(ge=0, le=59, description="Minute of the scheduled departure")
    month: Int32 = Field(ge=1, le=12, description="Month of the scheduled departure in New York")
    dow: Int32 = Field(ge=0, le=6, description="Day of the week of the scheduled departure, Monday is 0")

    class Config:
        unique = ("flight_key", "event_timestamp")
