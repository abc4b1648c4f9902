"""The splits of the trips."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from ml_assets.lib.declare import split
from ml_assets.lib.declare.rules import complete, ordered


@split("hash-s42", of="trips", key="trip", seed=42, rules=(complete(of="trips"),))
def hash_s42(trips: ir.Table) -> ir.Table:
    """Half, a quarter and a quarter by hash of the trip."""
    digit = trips.trip.hexdigest("md5").substr(0, 1)
    return trips.select("trip", split=ibis.cases((digit < "8", "train"), (digit < "c", "val"), else_="test"))


@split("june", of="trips", key="trip", rules=(complete(of="trips"), ordered(by="started", of="trips")))
def june(trips: ir.Table) -> ir.Table:
    """By time: train until 11 June, val until 16 June, test afterwards."""
    first, second = ibis.timestamp("2020-06-11T00:00:00+00:00"), ibis.timestamp("2020-06-16T00:00:00+00:00")
    part = ibis.cases((trips.started < first, "train"), (trips.started < second, "val"), else_="test")
    return trips.select("trip", split=part)
