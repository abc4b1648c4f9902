"""Contract of ``sources.flights``."""

from ml_assets.lib.declare import Field, Int32, SourceContract, Timestamp


class Flights(SourceContract):
    """One row per scheduled departure from one of New York City's three airports in 2013, flown or not."""

    flight_key: str = Field(
        str_matches=r"\d{4}-\d\d-\d\d\|[A-Z0-9]{2}\|\d{1,4}\|[A-Z]{3}$",
        description="Local date, carrier, flight number and origin, as in 2013-01-01|UA|1545|EWR",
    )
    carrier: str = Field(str_matches=r"[A-Z0-9]{2}$", description="IATA code of the carrier")
    flight: Int32 = Field(ge=1, le=9999, description="Flight number")
    tailnum: str = Field(
        nullable=True, description="Registration of the aircraft that flew; null for some flights that did not"
    )
    origin: str = Field(isin=("EWR", "JFK", "LGA"), description="Airport of departure (FAA code)")
    dest: str = Field(str_matches=r"[A-Z0-9]{3}$", description="Airport of destination (FAA code)")
    sched_dep_ts: Timestamp = Field(description="Scheduled departure (UTC)")
    sched_arr_ts: Timestamp = Field(description="Scheduled arrival (UTC)")
    dep_ts: Timestamp = Field(nullable=True, description="Actual departure (UTC); null if cancelled")
    arr_ts: Timestamp = Field(nullable=True, description="Actual arrival (UTC); null if cancelled or diverted")
    local_month: Int32 = Field(ge=1, le=12, description="Month of the scheduled departure in New York")
    local_day: Int32 = Field(ge=1, le=31, description="Day of the month of the scheduled departure in New York")
    local_hour: Int32 = Field(ge=0, le=23, description="Hour of the scheduled departure in New York")
    local_minute: Int32 = Field(ge=0, le=59, description="Minute of the scheduled departure")
    local_dow: Int32 = Field(ge=0, le=6, description="Day of the week of the scheduled departure, Monday is 0")
    dep_delay: Int32 = Field(
        nullable=True, ge=-120, le=1440, description="Minutes departed late, negative if early; known at dep_ts"
    )
    arr_delay: Int32 = Field(
        nullable=True, ge=-180, le=1440, description="Minutes arrived late, negative if early; known at arr_ts"
    )
    air_time: Int32 = Field(nullable=True, ge=1, le=1440, description="Minutes in the air; known at arr_ts")
    distance: Int32 = Field(ge=1, le=12500, description="Distance between origin and destination, miles")

    class Config:
        unique = ("flight_key",)
