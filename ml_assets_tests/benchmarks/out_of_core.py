"""A point-in-time join that does not fit into memory, from the lake into the lake: DuckDB spills and finishes.

    python -m ml_assets_tests.benchmarks out_of_core 10000000 100000000 5GB

The last argument is what ``ML_ASSETS_MEMORY_LIMIT`` would be; Arrow buffers and the Parquet writer come on top of
it. It needs some 200 bytes of disk for each feature row, for the table and for what is spilled.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pyiceberg.schema import Schema

from ml_assets.lib.core.refs import Branch
from ml_assets.lib.engines import ViewJoin, engine
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.benchmarks.measuring import lake_of, new_lake, run
from ml_assets_tests.benchmarks.pit_data import ENTITY_SCHEMA, FEATURE_SCHEMA, TTL, VALUES, Size, rows

MAIN: Final = Branch("main")
ENTITIES, FEATURES, RESULT = "sources.entities", "features.view_v1", "frames.joined"
_VALUES: Final = VALUES[:2]
_LIMIT_S: Final = 7200


def _schema(schema: Schema, *names: str) -> Schema:
    return Schema(*(schema.find_field(name) for name in names))


def _write(tables: Tables, size: Size) -> dict[str, Any]:
    began = time.perf_counter()
    schema = _schema(FEATURE_SCHEMA, "key", "event_timestamp", *_VALUES)
    tables.write(FEATURES, MAIN, rows(size.feature_sql(_VALUES), schema), schema=schema, properties={})
    tables.write(ENTITIES, MAIN, rows(size.entity_sql(), ENTITY_SCHEMA), schema=ENTITY_SCHEMA, properties={})
    tables.lake.commit(MAIN, "benchmark", {})
    return {"seconds": time.perf_counter() - began, "bytes": tables.head(FEATURES, MAIN).bytes}


def _join(tables: Tables, memory_limit: str) -> dict[str, Any]:
    began, commit, branch = time.perf_counter(), tables.lake.head(MAIN), Branch("joined")
    tables.lake.branch(branch, commit)
    fields = [*ENTITY_SCHEMA.fields, *_schema(FEATURE_SCHEMA, *_VALUES).fields]
    schema = Schema(*(field.model_copy(update={"field_id": number}) for number, field in enumerate(fields, 1)))
    with engine("duckdb", memory_limit=memory_limit).session(tables) as session:
        view = ViewJoin(name="view", table=session.read(FEATURES, commit), keys=("key",), ttl=TTL, values=_VALUES)
        joined = session.point_in_time(session.read(ENTITIES, commit), [view])
        session.write(joined, RESULT, branch, schema=schema, properties={})
        found = joined.aggregate(rows=joined.count(), found=joined[_VALUES[0]].count())
        counts = session.batches(found).read_all().to_pylist()[0]
    tables.lake.commit(branch, "joined", {})
    return {"seconds": time.perf_counter() - began, **counts}


def measure(entities: str = "10000000", features: str = "100000000", memory_limit: str = "5GB") -> Iterator[str]:
    """Lines with the figures."""
    size = Size(int(entities), int(features), max(1, int(features) // 100))
    yield f"out of core: {size.entities:,} x {size.features:,} rows, memory limit {memory_limit}"
    with tempfile.TemporaryDirectory() as folder, new_lake(Path(folder) / "lake"):
        for what in ("write", "join"):
            arguments = (what, folder, entities, features, memory_limit)
            measured = run(__name__, *arguments, limit_s=_LIMIT_S)
            if not measured.told:
                yield f"  {what}: {measured.error}, peak {measured.peak / 2**30:.2f} GiB"
                return
            seconds = measured.told["seconds"]
            figures = ", ".join(f"{name} {value:,}" for name, value in measured.told.items() if name != "seconds")
            yield f"  {what}: {seconds:.0f} s, peak {measured.peak / 2**30:.2f} GiB, {figures}"
            assert measured.told.get("rows", size.entities) == size.entities


def _main(what: str, folder: str, entities: str, features: str, memory_limit: str) -> None:
    tables = Tables(lake_of(Path(folder) / "lake"))
    size = Size(int(entities), int(features), max(1, int(features) // 100))
    told = _write(tables, size) if what == "write" else _join(tables, memory_limit)
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
