"""Wires settings, resources and declarations together: Dagster's code location. Nothing is started here."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

import dagster as dg

from ml_assets.lib.assets.build import Builder
from ml_assets.lib.assets.maintenance import maintenance_job
from ml_assets.lib.assets.metadata import Links
from ml_assets.lib.assets.resources import (
    LakeFSResource,
    SparkSessionOf,
    mlflow_resource,
    spark_resource,
    tracking_store,
)
from ml_assets.lib.declare.loading import load
from ml_assets.lib.gate.plan import Plan
from ml_assets.settings import Settings

if TYPE_CHECKING:
    from ml_assets.lib.gate.machinery import Machinery
    from ml_assets.lib.lake.client import Lake
    from ml_assets.lib.tracking.store import Tracking

settings = Settings.load()
plan = Plan(declarations=load())


@cache
def open_machinery(lake: Lake, tracking: Tracking, spark: SparkSessionOf | None = None) -> Machinery:
    """Gate, engines and systems on *lake*, *tracking* and the Spark that *spark* gives, once per process."""
    from ml_assets.lib.engines import engine
    from ml_assets.lib.gate.machinery import Machinery

    engine_named = cache(partial(engine, memory_limit=settings.memory_limit, jars=settings.jars, spark=spark))
    return Machinery(
        declarations=plan.declarations,
        lake=lake,
        tracking=tracking,
        engine=engine_named(settings.engine),
        engine_named=engine_named,
        target=settings.target,
        state=settings.state,
        code_commit=settings.code_commit,
        frame_rows=settings.frame_rows,
        sample_rows=settings.sample_rows,
    )


def open_tracking() -> Tracking:
    """MLflow, opened at its first use."""
    return tracking_store(settings.mlflow_tracking_uri, str(settings.state))


def links(lake: Lake) -> Links:
    """Where people look at what was made."""
    return Links(lakefs=lake.endpoint, repository=lake.repository, mlflow=settings.mlflow_ui)


lakefs = LakeFSResource(
    repository=settings.lake_repository,
    home=str(settings.state),
    endpoint=settings.endpoint_url,
    access_key_id=dg.EnvVar("LAKECTL_CREDENTIALS_ACCESS_KEY_ID") if settings.endpoint_url else None,
    secret_access_key=dg.EnvVar("LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY") if settings.endpoint_url else None,
    storage_namespace=settings.lake_storage_namespace,
    timeout_s=settings.lake_timeout_s,
)


builder = Builder(plan=plan, open=open_machinery, tracking=open_tracking, links=links, engine=settings.engine)
pyspark = spark_resource(settings.jars) if builder.uses_spark else None


@cache
def machinery() -> Machinery:
    """Gate and systems without a Dagster run, made once: for commands that look, and for asking the gate."""
    spark = SparkSessionOf(pyspark.process_config_and_initialize()) if pyspark else None
    return open_machinery(lakefs.process_config_and_initialize().lake(), open_tracking(), spark)


defs = dg.Definitions(
    assets=builder.assets(),
    jobs=[maintenance_job(open_machinery, open_tracking, spark=builder.uses_spark)],
    resources={
        "lakefs": lakefs,
        "mlflow": mlflow_resource.configured(
            {"mlflow_tracking_uri": settings.mlflow_tracking_uri, "home": str(settings.state)}
        ),
        **({"pyspark": pyspark} if pyspark else {}),
    },
    executor=dg.in_process_executor,  # a step is short beside the start of a process; runs are processes of their own
)
