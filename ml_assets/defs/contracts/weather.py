"""Contract of ``sources.weather``."""

from ml_assets.lib.declare import Field, SourceContract, Timestamp


class Weather(SourceContract):
    """One row per airport and hour in which the weather was observed."""

    origin: str = Field(isin=("EWR", "JFK", "LGA"), description="Airport (FAA code)")
    obs_ts: Timestamp = Field(description="Hour of the observation (UTC)")
    known_ts: Timestamp = Field(description="When the observation is taken to be published: one hour later (UTC)")
    temp: float = Field(nullable=True, ge=-60, le=140, description="Temperature, degrees Fahrenheit")
    dewp: float = Field(nullable=True, ge=-60, le=100, description="Dew point, degrees Fahrenheit")
    humid: float = Field(nullable=True, ge=0, le=100, description="Relative humidity, percent")
    wind_dir: float = Field(nullable=True, ge=0, le=360, description="Where the wind comes from, degrees")
    wind_speed: float = Field(
        nullable=True, ge=0, description="Wind speed, miles per hour; the data holds one misread 1048"
    )
    wind_gust: float = Field(
        nullable=True, ge=0, le=250, description="Gusts, miles per hour; null where there are none"
    )
    precip: float = Field(nullable=True, ge=0, le=20, description="Precipitation in the hour, inches")
    pressure: float = Field(nullable=True, ge=850, le=1100, description="Pressure at sea level, millibars")
    visib: float = Field(nullable=True, ge=0, le=10, description="Visibility, miles; 10 means 10 or more")

    class Config:
        unique = ("origin", "obs_ts")
