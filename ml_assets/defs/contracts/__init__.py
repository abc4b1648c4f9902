"""The contract of every table: the only place where its columns are spelled."""

from ml_assets.defs.contracts.airlines import Airlines
from ml_assets.defs.contracts.airports import Airports
from ml_assets.defs.contracts.carrier_origin_delay import CarrierOriginDelay
from ml_assets.defs.contracts.flights import Flights
from ml_assets.defs.contracts.late_arrival import LateArrivalFrame
from ml_assets.defs.contracts.origin_weather import OriginWeather
from ml_assets.defs.contracts.plane import Plane
from ml_assets.defs.contracts.planes import Planes
from ml_assets.defs.contracts.route import Route
from ml_assets.defs.contracts.route_delay import RouteDelay
from ml_assets.defs.contracts.schedule import Schedule
from ml_assets.defs.contracts.tail_last_leg import TailLastLeg
from ml_assets.defs.contracts.weather import Weather

__all__ = [
    "Airlines",
    "Airports",
    "CarrierOriginDelay",
    "Flights",
    "LateArrivalFrame",
    "OriginWeather",
    "Plane",
    "Planes",
    "Route",
    "RouteDelay",
    "Schedule",
    "TailLastLeg",
    "Weather",
]
