"""Contract of the feature view ``origin_weather``."""

from ml_assets.lib.declare import FeatureContract, Field, Timestamp


class OriginWeather(FeatureContract):
    """One row per airport and observation of its weather."""

    origin: str = Field(description="Airport of departure (FAA code)")
    event_timestamp: Timestamp = Field(description="When the observation becomes known (UTC)")
    temp: float = Field(nullable=True, ge=-60, le=140, description="Temperature, degrees Fahrenheit")
    dewp: float = Field(nullable=True, ge=-60, le=100, description="Dew point, degrees Fahrenheit")
    humid: float = Field(nullable=True, ge=0, le=100, description="Relative humidity, percent")
    wind_speed: float = Field(nullable=True, ge=0, description="Wind speed, miles per hour")
    precip: float = Field(nullable=True, ge=0, le=20, description="Precipitation in the hour, inches")
    pressure: float = Field(nullable=True, ge=850, le=1100, description="Pressure at sea level, millibars")
    visib: float = Field(nullable=True, ge=0, le=10, description="Visibility, miles; 10 means 10 or more")
    wind_gust: float = Field(ge=0, le=250, description="Gusts, miles per hour; 0 where there are none")

    class Config:
        unique = ("origin", "event_timestamp")
