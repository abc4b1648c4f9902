"""Run an expression or a point-in-time join.

Everything above this package works with `Engine` and `Session`; only `engine` knows which engines there are, and
imports the one that is asked for. What an engine must do is written once, as tests: ``ml_assets_tests/engines``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_assets.lib.core.errors import ConfigError
from ml_assets.lib.engines.expressions import columns_needed
from ml_assets.lib.engines.protocol import Engine, Session, TableStore, ViewJoin

__all__ = ["Engine", "Session", "TableStore", "ViewJoin", "columns_needed", "engine"]


def engine(
    name: str,
    *,
    threads: int | None = None,
    memory_limit: str | None = None,
    jars: Path = Path("spark-jars"),
    spark: Callable[[], Any] | None = None,
) -> Engine:
    """The engine of this name, not yet started.

    Args:
        name: ``duckdb`` or ``spark``.
        threads: Threads to work with, in this process; ``None`` means one per core.
        memory_limit: DuckDB's memory before it spills to disk, as in ``"2GB"``; ``None`` means its own default. Spark's
            memory is a matter of its own configuration.
        jars: Folder of the jars that Spark needs.
        spark: Gives the ``SparkSession`` of this process; ``None`` means that the engine starts one.

    Raises:
        ConfigError: There is no engine of this name, or Spark is not installed.
    """
    if name == "duckdb":
        from ml_assets.lib.engines.duckdb import DuckDB

        return DuckDB(threads=threads, memory_limit=memory_limit)
    if name == "spark":
        from ml_assets.lib.tables.spark import check_pyspark

        check_pyspark()
        from ml_assets.lib.engines.spark import Spark

        return Spark(jars=jars, threads=threads, started=spark)
    raise ConfigError(f"there is no engine {name!r}", remedy="set ML_ASSETS_ENGINE to duckdb or spark")
