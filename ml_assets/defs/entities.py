"""What features describe, and the columns that identify it."""

from ml_assets.lib.declare import Entity

FLIGHT = Entity("flight", ("flight_key",), "One scheduled departure")
CARRIER_AT_ORIGIN = Entity("carrier_origin", ("carrier", "origin"), "A carrier at an airport of departure")
ROUTE = Entity("route", ("origin", "dest"), "A pair of origin and destination")
ORIGIN = Entity("origin", ("origin",), "An airport of departure")
TAIL = Entity("tail", ("tailnum",), "An aircraft")
