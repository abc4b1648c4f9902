"""A code location of the small trips graph in which one partition of the frame fails its audit: for backfills."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import dagster as dg
import ibis.expr.types as ir

from ml_assets.lib.assets.build import Builder
from ml_assets.lib.assets.metadata import Links
from ml_assets.lib.assets.resources import LakeFSResource, mlflow_resource, tracking_store
from ml_assets.lib.core.refs import Branch
from ml_assets.lib.declare import load
from ml_assets.lib.declare.rules import rule
from ml_assets.lib.engines import engine
from ml_assets.lib.gate.machinery import Machinery
from ml_assets.lib.gate.plan import Plan
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tracking.store import Tracking

HOME = Path(os.environ["ML_ASSETS_HOME"])


@rule()
def mixed_in_time(late: ir.Table) -> ir.Table:
    """Some training row is younger than some test row: true of a split by hash, not of one by time."""
    ends = late.aggregate(
        last_train=late.event_timestamp.max(where=late.split == "train"),
        first_test=late.event_timestamp.min(where=late.split == "test"),
    )
    return ends.filter(ends.last_train < ends.first_test)


declared = load("ml_assets_tests.gate.trips")
declared = replace(declared, frames={"late": replace(declared.frames["late"], rules=(mixed_in_time,))})
plan = Plan(declarations=declared)


@cache
def open_machinery(lake: Lake, tracking: Tracking, _spark: None) -> Machinery:
    """The machinery of this process."""
    return Machinery(
        declarations=declared, lake=lake, tracking=tracking, engine=engine("duckdb"), target=Branch("main"), state=HOME
    )


defs = dg.Definitions(
    assets=Builder(
        plan=plan,
        open=open_machinery,
        tracking=lambda: tracking_store(None, str(HOME)),
        links=lambda lake: Links(lakefs=lake.endpoint, repository=lake.repository, mlflow="http://mlflow"),
    ).assets(),
    resources={
        "lakefs": LakeFSResource(repository="ml-assets", home=str(HOME)),
        "mlflow": mlflow_resource.configured({"mlflow_tracking_uri": None, "home": str(HOME)}),
    },
    executor=dg.in_process_executor,
)
