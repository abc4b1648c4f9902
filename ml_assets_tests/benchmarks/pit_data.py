"""Feature rows and entity rows for point-in-time joins: made by DuckDB, the same on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.types import DoubleType, LongType, NestedField, TimestamptzType

TTL: Final = timedelta(days=90)
VALUES: Final = ("f0", "f1", "f2", "f3", "f4")
_BEGIN_S: Final = 1_735_689_600
_YEAR_S: Final = 365 * 86_400
_BATCH: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class Size:
    """How much.

    Attributes:
        entities: Rows to fill.
        features: Rows of the view, in about one year; a few less, because none is there twice.
        keys: Different keys.
    """

    entities: int
    features: int
    keys: int

    def feature_sql(self, values: tuple[str, ...] = VALUES) -> str:
        """Key, moment (whole seconds), values with 5 % of nulls; unique in key and moment."""
        made = ", ".join(
            f"CASE WHEN hash(i, '{name}') % 20 > 0 THEN (hash('{name}', i) % 1000003) / 1000.0 END AS {name}"
            for name in values
        )
        # Each key has its own seconds: row n of a key lies at a place that only it has.
        step = max(1, _YEAR_S * self.keys // self.features)
        at = f"{_BEGIN_S} + (i // {self.keys}) * {step} + hash(i) % {step}"
        key = f"i % {self.keys} AS key"
        return f"SELECT {key}, to_timestamp({at}) AS event_timestamp, {made} FROM range({self.features}) t(i)"

    def entity_sql(self) -> str:
        """Row number, key (1 % of them unknown), moment to the microsecond."""
        key = f"CASE WHEN i % 100 = 0 THEN {self.keys} + 5 ELSE hash(i, 'key') % {self.keys} END"
        at = f"make_timestamptz({_BEGIN_S * 10**6} + (hash(i, 'at') % {_YEAR_S * 10**6})::BIGINT)"
        return f"SELECT i AS rid, ({key})::BIGINT AS key, {at} AS event_timestamp FROM range({self.entities}) t(i)"


SIZES: Final = {
    "tiny": Size(2_000, 20_000, 200),
    "sparse": Size(1_000_000, 10_000_000, 100_000),
    "dense": Size(100_000, 1_000_000, 1_000),
}


def rows(sql: str, schema: Schema) -> pa.RecordBatchReader:
    """The rows of *sql*, streamed."""
    from ml_assets.lib.tables.schemas import arrow_schema

    wanted = arrow_schema(schema)

    def batches() -> Iterator[pa.RecordBatch]:
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        for batch in connection.execute(sql).to_arrow_reader(_BATCH):
            yield batch.cast(wanted)

    return pa.RecordBatchReader.from_batches(wanted, batches())


def write_parquet(sql: str, path: Path) -> None:
    """The rows of *sql* as a local file."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
    connection.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")


def _schema(numbers: tuple[str, ...], values: tuple[str, ...]) -> Schema:
    kinds = [*((name, LongType()) for name in numbers), ("event_timestamp", TimestamptzType())]
    kinds += [(name, DoubleType()) for name in values]
    return Schema(*(NestedField(number, name, kind, required=False) for number, (name, kind) in enumerate(kinds, 1)))


ENTITY_SCHEMA: Final = _schema(("rid", "key"), ())
FEATURE_SCHEMA: Final = _schema(("key",), VALUES)
