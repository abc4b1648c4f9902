"""Point-in-time join: our engine through the lake, against what else there is, one after the other in every round.

The time is from known places to an Arrow table in the process. Right is what the range join with ``row_number`` gives,
which says what is meant word for word.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import duckdb
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.lib.core.digest import digest
from ml_assets.lib.core.refs import Branch
from ml_assets.lib.devlake import server
from ml_assets.lib.engines import Engine, ViewJoin, engine
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.benchmarks.measuring import Measured, lake_of, new_lake, run
from ml_assets_tests.benchmarks.pit_data import (
    ENTITY_SCHEMA,
    FEATURE_SCHEMA,
    SIZES,
    TTL,
    VALUES,
    Size,
    rows,
    write_parquet,
)

MAIN: Final = Branch("main")
ENTITIES, FEATURES = "sources.entities", "features.view_v1"
_ROUNDS: Final = {"sparse": 2, "dense": 3, "tiny": 1}
_REFERENCE: Final = "range join, row_number"


def _ours(folder: Path) -> pa.Table:
    return _joined_by(engine("duckdb"), folder)


def _ours_on_spark(folder: Path) -> pa.Table:
    """In Spark's own process on this machine."""
    jars = _start_spark()
    _STARTED[0] = time.perf_counter()
    return _joined_by(engine("spark", jars=jars), folder)


def _start_spark() -> Path:
    """Have a Spark that runs before the clock does. Where its jars are."""
    from ml_assets.lib.tables.spark import start
    from ml_assets_tests.spark import JARS

    start(JARS).range(1).count()
    return JARS


def _joined_by(chosen: Engine, folder: Path) -> pa.Table:
    lake = lake_of(folder / "lake")
    tables, commit = Tables(lake), lake.head(MAIN)
    with chosen.session(tables) as session:
        view = session.read(FEATURES, commit)
        joined = session.point_in_time(
            session.read(ENTITIES, commit),
            [ViewJoin(name="view", table=view, keys=("key",), ttl=TTL, values=VALUES)],
        )
        return session.batches(joined).read_all()


def _duckdb(join: str) -> Callable[[Path], pa.Table]:
    def joined(folder: Path) -> pa.Table:
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        for name in ("entities", "features"):
            connection.execute(f"CREATE VIEW {name} AS FROM '{folder / name}.parquet'")
        return connection.execute(join).to_arrow_table()

    return joined


_WITHIN: Final = f"f.event_timestamp >= e.event_timestamp - INTERVAL {TTL.days} DAY"
_ASOF: Final = f"""
    SELECT e.*, {", ".join(f"CASE WHEN {_WITHIN} THEN f.{name} END AS {name}" for name in VALUES)}
    FROM entities e ASOF LEFT JOIN features f ON e.key = f.key AND e.event_timestamp >= f.event_timestamp"""
_RANGE: Final = f"""
    SELECT e.*, {", ".join(f"f.{name}" for name in VALUES)}
    FROM entities e LEFT JOIN features f
      ON e.key = f.key AND e.event_timestamp >= f.event_timestamp AND {_WITHIN}
    QUALIFY row_number() OVER (PARTITION BY e.rid ORDER BY f.event_timestamp DESC) = 1"""


def _polars(folder: Path) -> pa.Table:
    """`join_asof` on the same objects of the same gateway."""
    pl: Any = importlib.import_module("polars")  # beside the project, if at all
    lake = lake_of(folder / "lake")
    catalog, frames = Tables(lake).catalog(lake.head(MAIN)), []
    for table in (ENTITIES, FEATURES):
        loaded = catalog.load_table(table)
        found = [task.file.file_path.partition("/main/")[2] for task in loaded.scan().plan_files()]
        places = [f"{lake.repository}/{MAIN}/{path}" for path in found]
        frames.append(
            pl.from_arrow(pa.concat_tables([pq.read_table(place, filesystem=lake.gateway) for place in places]))
        )
    entities, features = (frame.sort("event_timestamp") for frame in frames)
    joined = entities.join_asof(
        features, on="event_timestamp", by="key", strategy="backward", tolerance=TTL, check_sortedness=False
    )
    return joined.to_arrow()


def _feast(folder: Path) -> pa.Table:
    """Feast's own DuckDB store, on local files; entity rows are in memory before the clock runs."""
    import feast

    source = feast.FileSource(name="features", path=_features(folder), timestamp_field="event_timestamp")
    return _feast_with({"type": "duckdb"}, source, folder)


def _feast_on_spark(folder: Path) -> pa.Table:
    """Feast's own Spark store, on local files, in the same Spark as ours."""
    from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource

    _start_spark()
    source = SparkSource(
        name="features", path=_features(folder), file_format="parquet", timestamp_field="event_timestamp"
    )
    return _feast_with({"type": "spark", "spark_conf": {"spark.sql.session.timeZone": "UTC"}}, source, folder)


def _features(folder: Path) -> str:
    return str(folder / "features.parquet")


def _feast_with(offline_store: dict[str, Any], source: Any, folder: Path) -> pa.Table:
    import feast
    import pandas as pd

    user = feast.Entity(name="user", join_keys=["key"], value_type=feast.ValueType.INT64)
    fields = [feast.Field(name=name, dtype=feast.types.Float64) for name in VALUES]
    view = feast.FeatureView(name="view", entities=[user], ttl=TTL, schema=fields, source=source)
    with tempfile.TemporaryDirectory() as home:
        store = feast.FeatureStore(
            config=feast.RepoConfig(
                project="bench",
                provider="local",
                registry=f"{home}/registry.db",
                offline_store=offline_store,
                online_store={"type": "sqlite", "path": f"{home}/online.db"},
                entity_key_serialization_version=3,
            )
        )
        store.apply([user, source, view])
        entities = pd.read_parquet(folder / "entities.parquet")
        _STARTED[0] = time.perf_counter()
        job = store.get_historical_features(entity_df=entities, features=[f"view:{name}" for name in VALUES])
        return job.to_arrow()


_STARTED: Final = [0.0]
METHODS: Final[dict[str, tuple[Callable[[Path], pa.Table], str]]] = {
    "ours, through the lake": (_ours, ""),
    "DuckDB ASOF, local files": (_duckdb(_ASOF), ""),
    _REFERENCE: (_duckdb(_RANGE), ""),
    "Polars join_asof, same lake": (_polars, "polars"),
    "Feast's duckdb store, local files": (_feast, "feast"),
    "ours on Spark, through the lake": (_ours_on_spark, "pyspark"),
    "Feast's Spark store, local files": (_feast_on_spark, "pyspark"),
}
"""By name: the method, and the library without which it is left out."""


def prepare(size: Size, folder: Path) -> None:
    """The rows as local files, and as tables of the lake of *folder*, which runs."""
    lake = lake_of(folder / "lake")
    tables = Tables(lake)
    for name, table, sql, schema in (
        ("entities", ENTITIES, size.entity_sql(), ENTITY_SCHEMA),
        ("features", FEATURES, size.feature_sql(), FEATURE_SCHEMA),
    ):
        write_parquet(sql, folder / f"{name}.parquet")
        tables.write(table, MAIN, rows(sql, schema), schema=schema, properties={})
    lake.commit(MAIN, "benchmark", {})


def one(method: str, folder: Path) -> dict[str, Any]:
    """One method in this process: seconds, and what came of it."""
    warnings.simplefilter("ignore")
    importlib.import_module(METHODS[method][1] or "ml_assets.lib.engines.duckdb")  # imports are not what is measured
    _STARTED[0] = time.perf_counter()
    found = METHODS[method][0](folder)
    seconds = time.perf_counter() - _STARTED[0]
    schema = pa.schema([("rid", pa.int64()), *((name, pa.float64()) for name in VALUES)])
    return {"seconds": seconds, "digest": digest(found.select(schema.names).cast(schema)), "rows": found.num_rows}


def measure(*names: str) -> Iterator[str]:
    """Lines with the figures of the sizes that are named, else ``dense`` and ``sparse``."""
    for name in names or ("dense", "sparse"):
        size = SIZES[name]
        yield f"point-in-time join, {name}: {size.entities:,} x {size.features:,} rows, {size.keys:,} keys"
        with tempfile.TemporaryDirectory() as home, new_lake(Path(home) / "lake"):
            prepare(size, Path(home))
            told: dict[str, list[Measured]] = {method: [] for method in METHODS}
            served: dict[str, list[float]] = {method: [] for method in METHODS}
            for _ in range(_ROUNDS[name]):
                for method, (_, library) in METHODS.items():
                    if not library or importlib.util.find_spec(library):
                        before = _server_cpu(Path(home))
                        told[method].append(run(__name__, method, home))
                        served[method].append(_server_cpu(Path(home)) - before)
            yield from _lines(told, {method: statistics.median(found or [0]) for method, found in served.items()})


def _server_cpu(folder: Path) -> float:
    """CPU seconds that the lake has used so far; it is no child of who reads from it."""
    pid = server.status(folder / "lake").pid
    assert pid is not None
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system


def _lines(told: dict[str, list[Measured]], served: dict[str, float]) -> Iterator[str]:
    right = {measured.told.get("digest") for measured in told[_REFERENCE]}
    base = _seconds(told[next(iter(METHODS))])
    for method, found in told.items():
        if not found:
            yield f"  {method:34} skipped: {METHODS[method][1]} is not installed"
            continue
        seconds, peak = _seconds(found), max(measured.peak for measured in found)
        if seconds is None or base is None:
            yield f"  {method:34} {next((m.error for m in found if m.error), '')[:80]}, peak {peak / 2**30:.2f} GiB"
            continue
        same = {measured.told.get("digest") for measured in found} == right
        yield (
            f"  {method:34} {seconds:7.2f} s = {seconds / base:5.2f}x ours, peak {peak / 2**30:5.2f} GiB,"
            f" {'right' if same else 'WRONG'}; the lake's server {served[method]:.2f} s CPU"
        )


def _seconds(found: list[Measured]) -> float | None:
    times = [measured.told["seconds"] for measured in found if measured.told]
    return statistics.median(times) if times else None


if __name__ == "__main__":
    sys.stdout.write(json.dumps(one(sys.argv[1], Path(sys.argv[2]))) + "\n")
