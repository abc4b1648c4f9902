"""What the tables promise."""

from __future__ import annotations

from ml_assets.lib.declare import FeatureContract, Field, FrameContract, Int32, SourceContract, Timestamp


class Trips(SourceContract):
    """One row per trip of a taxi."""

    trip: str = Field(description="Key of the trip")
    car: str = Field(description="The taxi")
    started: Timestamp = Field(description="Departure (UTC)")
    ended: Timestamp = Field(nullable=True, description="Arrival (UTC); null while it is under way")
    minutes: Int32 = Field(nullable=True, ge=0, le=600, description="Duration, minutes; known at arrival")
    seats: Int32 = Field(ge=1, description="Seats of the taxi")

    class Config:
        """Keys."""

        unique = ("trip",)


class Longest(FeatureContract):
    """One row per taxi and arrival."""

    car: str = Field(description="The taxi")
    event_timestamp: Timestamp = Field(description="Arrival (UTC)")
    longest: Int32 = Field(nullable=True, description="Duration of the trip that ended, minutes")

    class Config:
        """Keys."""

        unique = ("car", "event_timestamp")


class Shortest(FeatureContract):
    """One row per taxi and arrival."""

    car: str = Field(description="The taxi")
    event_timestamp: Timestamp = Field(description="Arrival (UTC)")
    shortest: Int32 = Field(nullable=True, description="Duration of the trip that ended, minutes")

    class Config:
        """Keys."""

        unique = ("car", "event_timestamp")


class Cars(FeatureContract):
    """One row per taxi."""

    car: str = Field(description="The taxi")
    event_timestamp: Timestamp = Field(description="The beginning of time")
    seats: Int32 = Field(description="Seats of the taxi")

    class Config:
        """Keys."""

        unique = ("car", "event_timestamp")


class LateFrame(FrameContract):
    """One row per trip that ended."""

    trip: str = Field(description="Key of the trip")
    car: str = Field(description="The taxi")
    event_timestamp: Timestamp = Field(description="When the prediction is asked for: at departure (UTC)")
    label: Int32 = Field(isin=(0, 1), description="1 if the trip took more than half an hour")
    split: str = Field(isin=("train", "val", "test"), description="Part")

    class Config:
        """Keys."""

        unique = ("trip",)
