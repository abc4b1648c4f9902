"""Contract of the frame ``late_arrival``: its spine and ``split``. Values come with the views' contracts."""

from ml_assets.lib.declare import Field, FrameContract, Int32, Timestamp


class LateArrivalFrame(FrameContract):
    """One row per flight that arrived."""

    flight_key: str = Field(description="The flight")
    carrier: str = Field(description="IATA code of the carrier")
    origin: str = Field(description="Airport of departure (FAA code)")
    dest: str = Field(description="Airport of destination (FAA code)")
    tailnum: str = Field(
        nullable=True, description="The aircraft that flew, taken to be assigned when the prediction is asked for"
    )
    event_timestamp: Timestamp = Field(
        description="When the prediction is asked for: two hours before the scheduled departure (UTC)"
    )
    sched_dep_ts: Timestamp = Field(description="Scheduled departure (UTC)")
    label: Int32 = Field(isin=(0, 1), description="1 if the flight arrived more than 15 minutes late, else 0")
    split: str = Field(isin=("train", "val", "test"), description="Part of the split version")

    class Config:
        unique = ("flight_key",)
