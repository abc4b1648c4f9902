"""Small tables that the tests write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.types import (
    DoubleType,
    IcebergType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

from ml_assets.lib.core.refs import Branch
from ml_assets.lib.tables.tables import Tables

TABLE = "features.route_v1"
FOLDER = "warehouse/features/route_v1/"
RUN = {"ml_assets.run": "r1"}


def schema(**columns: IcebergType) -> Schema:
    """A schema of optional columns."""
    return Schema(*(NestedField(n, name, kind, required=False) for n, (name, kind) in enumerate(columns.items(), 1)))


ROUTE = Schema(
    NestedField(1, "key", LongType(), required=False, doc="the flight"),
    NestedField(2, "carrier", StringType(), required=False, doc="who flies"),
    NestedField(3, "at", TimestamptzType(), required=False),
    NestedField(4, "delay", DoubleType(), required=False),
)


def rows(*keys: int) -> pa.Table:
    """One row of `ROUTE` per key."""
    return pa.table(
        {
            "key": pa.array(keys, pa.int64()),
            "carrier": pa.array([f"c{key}" for key in keys], pa.string()),
            "at": pa.array([key * 1_000_000 for key in keys], pa.timestamp("us", "UTC")),
            "delay": pa.array([key / 2 for key in keys], pa.float64()),
        }
    )


def write(tables: Tables, branch: Branch, *keys: int, table: str = TABLE, run: Mapping[str, str] = RUN) -> None:
    """Make *table* hold `rows` of *keys* on *branch*."""
    tables.write(table, branch, rows(*keys), schema=ROUTE, properties=run)


def keys(tables: Tables, ref: Any, *, table: str = TABLE) -> list[int]:
    """The keys that *table* holds at *ref*, in order."""
    found: list[int] = sorted(tables.scan(table, ref, ["key"]).read_all().column("key").to_pylist())
    return found
