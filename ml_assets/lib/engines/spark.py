"""The engine for more than one machine: Spark. Its exceptions are named here and nowhere else.

Rows stay in the executors: they are read from the lake, joined, judged, digested and written there. Into this process
come counts, samples and what is streamed, one partition at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import ibis
import ibis.common.exceptions
import ibis.expr.types as ir
import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark import cloudpickle
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

import ml_assets.lib.core
from ml_assets.lib.core.digest import RowSum, iceberg_type_name
from ml_assets.lib.core.errors import EngineError
from ml_assets.lib.core.names import SPLIT
from ml_assets.lib.core.refs import Branch, Ref
from ml_assets.lib.engines import arrow, expressions, point_in_time, spark_workers
from ml_assets.lib.engines.protocol import TableStore, ViewJoin
from ml_assets.lib.engines.spark_point_in_time import join_sql
from ml_assets.lib.engines.spark_sql import SparkBackend
from ml_assets.lib.tables.maintain import Rewrite
from ml_assets.lib.tables.spark import SparkTables, check_machine, lake_error, rewrite, spark_versions, start
from ml_assets.lib.tables.spark_settings import ENGINE_SETTINGS
from ml_assets.lib.tables.tables import Tables

if TYPE_CHECKING:  # heavy, and only named in a signature
    from pyiceberg.schema import Schema

_MESSAGE_CHARACTERS: Final = 2000

for _module in (spark_workers, ml_assets.lib.core):
    cloudpickle.register_pickle_by_value(_module)


@dataclass(frozen=True, slots=True)
class Spark:
    """Spark, in this process or on the cluster that its own configuration names.

    Attributes:
        jars: Folder of the jars.
        threads: Threads to work with, where it runs in this process; ``None`` means one per core.
        started: Gives the Spark session of this process; ``None`` means that it is started here.
    """

    jars: Path
    threads: int | None = None
    started: Callable[[], SparkSession] | None = None
    name: str = "spark"

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of Spark, Iceberg and Ibis."""
        return {**spark_versions(), "ibis": version("ibis-framework")}

    @contextmanager
    def session(self, tables: TableStore) -> Iterator[SparkEngineSession]:
        """A session over *tables*: temporary views, catalogs and settings are its own, the executors are shared.

        Raises:
            ConfigError: Spark cannot run here.
        """
        with _translated("start"):
            session = SparkEngineSession(self._new_session(), tables)
        try:
            yield session
        finally:
            session.close()

    def rewriter(self, tables: Tables) -> Rewrite:
        """Merges the files of tables in the executors."""

        def merge(table: str, branch: Branch, properties: Mapping[str, str]) -> None:
            with _translated(f"merge the files of {table}"):
                rewrite(self._new_session(), tables, table, branch, properties)

        return merge

    def _new_session(self) -> SparkSession:
        """A session of its own in the Spark of this process, which is started if it does not run."""
        check_machine(self.jars)
        running = self.started() if self.started else start(self.jars, threads=self.threads)
        spark = running.newSession()
        for setting, value in ENGINE_SETTINGS.items():
            spark.conf.set(setting, value)
        return spark


class SparkEngineSession:
    """Tables are temporary views of a Spark session of its own; what is persisted lies in memory and on disk."""

    def __init__(self, spark: SparkSession, tables: TableStore) -> None:
        self._spark, self._tables = spark, tables
        self._lake = SparkTables(spark, tables) if isinstance(tables, Tables) else None
        backend = SparkBackend()
        backend.register_options()
        self._backend = backend.connect(spark)
        self._views: list[str] = []
        self._persisted: list[DataFrame] = []

    def close(self) -> None:
        """Let go of what was stored."""
        for rows in self._persisted:
            rows.unpersist()
        for name in self._views:
            self._spark.catalog.dropTempView(name)

    def read(self, table: str, ref: Ref, columns: Sequence[str] | None = None) -> ir.Table:
        """*table* of the lake as it is at *ref*, read by the executors whenever it is used."""
        if self._lake is None:
            return self.offer(self._tables.scan(table, ref, columns=columns))
        with _translated(f"read {table}"):
            rows, schema = self._lake.read(table, ref, columns)
            return self._view(rows, ibis.Schema.from_pyarrow(schema))

    def offer(self, rows: pa.Table | pa.RecordBatchReader) -> ir.Table:
        """*rows* as a table of this session; they go through this process."""
        reader = rows.to_reader() if isinstance(rows, pa.Table) else rows
        held = arrow.in_utc(reader).read_all()
        held = held.cast(pa.schema([field.with_type(_sparks(field.type)) for field in held.schema]))
        with _translated("load the rows offered"):
            return self._view(self._spark.createDataFrame(held), ibis.Schema.from_pyarrow(held.schema))

    def bind(self, expr: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
        """*expr* with its unbound tables replaced."""
        return expressions.bind(expr, tables)

    def persist(self, expr: ir.Table) -> ir.Table:
        """The rows of *expr*, kept by the executors in memory and on disk."""
        with _translated("compute an expression"):
            rows = self._backend.frame(expr).persist()
            self._persisted.append(rows)
            rows.count()  # now, so that an error is met here
            return self._view(rows, expr.schema())

    def batches(self, expr: ir.Table) -> pa.RecordBatchReader:
        """The rows of *expr*, one partition at a time."""
        with _translated("compute an expression"):
            rows = self._backend.frame(expr)
        schema = arrow.schema_of(expr)
        return pa.RecordBatchReader.from_batches(schema, _stream(rows, schema))

    def write(
        self,
        expr: ir.Table,
        table: str,
        branch: Branch,
        *,
        schema: Schema,
        properties: Mapping[str, str],
        partition_by: Sequence[str] = (),
    ) -> None:
        """The executors write the rows of *expr* into *table*."""
        if self._lake is None:
            self._tables.write(
                table,
                branch,
                self.batches(expr),
                schema=schema,
                properties=properties,
                partition_by=partition_by,
            )
            return
        with _translated(f"write {table}"):
            self._lake.write(
                self._backend.frame(expr),
                table,
                branch,
                schema=schema,
                properties=properties,
                partition_by=partition_by,
            )

    def row_sum(self, expr: ir.Table) -> RowSum:
        """Row sum of *expr*, added up by the executors."""
        return self._sums(expr, None)[0]

    def row_sums_by(self, expr: ir.Table, column: str = SPLIT) -> tuple[RowSum, dict[str, RowSum]]:
        """Row sums of *expr*, added up by the executors."""
        return self._sums(expr, column)

    def point_in_time(self, spine: ir.Table, views: Sequence[ViewJoin]) -> ir.Table:
        """View by view, each by `join_sql`."""
        point_in_time.check(spine, views)
        with _translated("join the views to the spine"):
            joined = self._view(self._backend.frame(spine), spine.schema())
            for view in views:
                if view.values:
                    known = self._view(self._backend.frame(view.table), view.table.schema())
                    rows = self._spark.sql(join_sql(joined.get_name(), joined.columns, view, known.get_name()))
                    values = {name: known.schema()[name] for name in view.values}
                    joined = self._view(rows, ibis.schema({**dict(joined.schema().items()), **values}))
        return self.persist(joined)

    def _sums(self, expr: ir.Table, column: str | None) -> tuple[RowSum, dict[str, RowSum]]:
        for field in arrow.schema_of(expr):
            iceberg_type_name(field.type)  # refused here, and not by each worker
        with _translated("digest an expression"):
            parts = self._backend.frame(expr).mapInArrow(spark_workers.sums(column), spark_workers.SUMS)
            return spark_workers.total(parts.collect())

    def _view(self, rows: DataFrame, schema: ibis.Schema) -> ir.Table:
        """*rows* under a name of their own, with the types that they have outside."""
        name = f"t{len(self._views) + 1}"
        rows.createOrReplaceTempView(name)
        self._views.append(name)
        return self._backend.stored(name, schema)


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    """The errors of Spark, Ibis and Arrow as `EngineError`, or as that of the lake which they tell of."""
    try:
        yield
    except (PySparkException, Py4JError, ibis.common.exceptions.IbisError, pa.ArrowInvalid) as error:
        if lakes := lake_error(error):
            raise lakes from error
        told = str(error).partition("\n\nJVM stacktrace")[0][:_MESSAGE_CHARACTERS]
        raise EngineError(
            f"Spark could not {doing}: {told}", remedy="compare the expression with the contracts of its tables"
        ) from error


def _stream(rows: DataFrame, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Batches of *rows* with exactly the types of *schema*."""
    with _translated("compute an expression"):
        cells = rows.mapInArrow(spark_workers.streams, spark_workers.STREAMS)
        for cell in cells.toLocalIterator(prefetchPartitions=True):
            for batch in pa.ipc.open_stream(cell.stream):
                yield batch.cast(schema)


def _sparks(kind: pa.DataType) -> pa.DataType:
    """The type that holds the same values and that Spark has, too; others stay as they are."""
    kinds = pa.types
    if kinds.is_dictionary(kind):
        return _sparks(kind.value_type)
    if kinds.is_large_string(kind) or kinds.is_string_view(kind):
        return pa.string()
    if kinds.is_large_binary(kind) or kinds.is_binary_view(kind) or kinds.is_fixed_size_binary(kind):
        return pa.binary()
    if kinds.is_uint8(kind) or kinds.is_uint16(kind):
        return pa.int32()
    if kinds.is_uint32(kind):
        return pa.int64()
    return pa.float32() if kinds.is_float16(kind) else kind
