"""The default engine: DuckDB in this process. Its exceptions are named here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import duckdb
import ibis
import ibis.common.exceptions
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pyarrow as pa

from ml_assets.lib.core.digest import RowSum, row_sum, row_sums_by
from ml_assets.lib.core.errors import ConfigError, EngineError
from ml_assets.lib.core.names import EVENT_TIMESTAMP, SPLIT
from ml_assets.lib.core.refs import Branch, Ref
from ml_assets.lib.engines import arrow, expressions, point_in_time
from ml_assets.lib.engines.duckdb_sql import ExactDuckDB
from ml_assets.lib.engines.point_in_time import ROW
from ml_assets.lib.engines.protocol import TableStore, ViewJoin

if TYPE_CHECKING:  # heavy, and only named in signatures
    from pyiceberg.schema import Schema

    from ml_assets.lib.tables.tables import Tables

_ROWS_PER_BATCH: Final = 1 << 17
_LOAD_BYTES: Final = 32 << 20
"""Arrow bytes that are read before they are loaded: both use all cores, and at the same time they hinder each other."""
_NO_PROGRESS_BAR: Final = "SET enable_progress_bar = false"
"""It would be drawn into the output of whoever computes. Each cursor has its own."""


@dataclass(frozen=True, slots=True)
class DuckDB:
    """DuckDB in this process.

    Attributes:
        threads: Threads to work with; ``None`` means one per core.
        memory_limit: Memory to use before spilling to disk, as in ``"2GB"``; ``None`` means DuckDB's default.
    """

    threads: int | None = None
    memory_limit: str | None = None
    name: str = "duckdb"

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of DuckDB and Ibis."""
        return {"duckdb": duckdb.__version__, "ibis": version("ibis-framework")}

    @contextmanager
    def session(self, tables: TableStore) -> Iterator[DuckDBSession]:
        """A session over *tables* with an in-memory database of its own.

        Raises:
            ConfigError: DuckDB does not accept `threads` or `memory_limit`.
        """
        with TemporaryDirectory(prefix="ml-assets-duckdb-") as spill:
            backend = self._connect(spill)
            try:
                yield DuckDBSession(backend, tables)
            finally:
                backend.disconnect()

    def rewriter(self, tables: Tables) -> None:
        """What is too large for one process is left alone."""

    def _connect(self, spill: str) -> ExactDuckDB:
        settings = {"threads": self.threads, "memory_limit": self.memory_limit}
        given = {name: value for name, value in settings.items() if value is not None}
        try:
            backend: ExactDuckDB = ExactDuckDB().connect(temp_directory=spill, preserve_insertion_order=False, **given)
        except duckdb.Error as error:
            raise ConfigError(f"DuckDB refuses {given}: {error}", remedy="correct the setting of the engine") from error
        backend.con.execute("SET GLOBAL TimeZone = 'UTC'")  # cursors, too
        backend.con.execute(_NO_PROGRESS_BAR)
        return backend


class DuckDBSession:
    """Tables live in the session's own database, so that each result streams from a cursor of its own."""

    def __init__(self, backend: ExactDuckDB, tables: TableStore) -> None:
        self._backend, self._tables = backend, tables
        self._made = 0

    def read(self, table: str, ref: Ref, columns: Sequence[str] | None = None) -> ir.Table:
        """*table* of the lake as it is at *ref*, loaded."""
        return self._load(self._tables.scan(table, ref, columns=columns), f"load {table}")

    def offer(self, rows: pa.Table | pa.RecordBatchReader) -> ir.Table:
        """*rows* as a table of this session."""
        reader = rows.to_reader() if isinstance(rows, pa.Table) else rows
        return self._load(arrow.in_utc(reader), "load the rows offered")

    def bind(self, expr: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
        """*expr* with its unbound tables replaced."""
        return expressions.bind(expr, tables)

    def persist(self, expr: ir.Table) -> ir.Table:
        """The rows of *expr* in a table of the session."""
        return self._create(self._typed_sql(expr), "compute an expression")

    def batches(self, expr: ir.Table) -> pa.RecordBatchReader:
        """The rows of *expr*, from a cursor of its own."""
        sql, schema = self._sql(expr), arrow.schema_of(expr)
        cursor = self._backend.con.cursor()
        with _translated("compute an expression"):
            cursor.execute(_NO_PROGRESS_BAR)
            reader = cursor.execute(sql).to_arrow_reader(_ROWS_PER_BATCH)
        return pa.RecordBatchReader.from_batches(schema, _stream(cursor, reader, schema))

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
        """Stream the rows of *expr* into *table*."""
        rows = self.batches(expr)
        self._tables.write(table, branch, rows, schema=schema, properties=properties, partition_by=partition_by)

    def row_sum(self, expr: ir.Table) -> RowSum:
        """Row sum of *expr*, as it streams."""
        return row_sum(self.batches(expr))

    def row_sums_by(self, expr: ir.Table, column: str = SPLIT) -> tuple[RowSum, dict[str, RowSum]]:
        """Row sums of *expr*, as it streams."""
        return row_sums_by(self.batches(expr), column)

    def point_in_time(self, spine: ir.Table, views: Sequence[ViewJoin]) -> ir.Table:
        """ASOF join of the narrow columns (row, keys, time) view by view, then one join of all values by row number."""
        point_in_time.check(spine, views)
        numbering = f"SELECT row_number() OVER () AS {ROW}, * FROM ({self._typed_sql(spine)})"
        numbered = self._create(numbering, "number the spine").get_name()
        parts = [(view, self._latest(numbered, view)) for view in views if view.values]
        columns = [f"s.{_quoted(name)}" for name in spine.columns]
        columns += [f"{part}.{_quoted(name)}" for view, part in parts for name in view.values]
        joins = [f"LEFT JOIN {part} USING ({ROW})" for _, part in parts]
        sql = f"SELECT {', '.join(columns)} FROM {numbered} s {' '.join(joins)}"
        joined = self._create(sql, "join the views to the spine")
        self._check_rows(numbered, joined.get_name())
        self._drop(numbered, *(part for _, part in parts))
        return joined

    def _latest(self, spine: str, view: ViewJoin) -> str:
        """Table of spine row number and values: at most one row per spine row, that of the latest known view row.

        The ASOF join sees only keys and time, its match fetches the payload by equality: half the work of deduplicating
        the view first, and independent of how many rows a key has. Only the newest row can be within the ttl, so the
        ttl is a filter after the match.
        """
        stored = isinstance(view.table.op(), ops.DatabaseTable)
        known = (view.table if stored else self.persist(view.table)).get_name()
        keys, ts = [_quoted(key) for key in view.keys], _quoted(EVENT_TIMESTAMP)
        keys_and_ts = ", ".join([*keys, ts])
        conditions = " AND ".join([*(f"s.{key} = k.{key}" for key in keys), f"s.{ts} >= k.{ts}"])
        matching = f"SELECT s.{ROW}, k.* FROM {spine} s ASOF JOIN (SELECT {keys_and_ts} FROM {known}) k ON {conditions}"
        if view.ttl:
            matching += f" WHERE k.{ts} >= s.{ts} - to_microseconds({view.ttl // timedelta(microseconds=1)})"
        matched = self._create(matching, f"match {view.name}").get_name()  # as one statement it takes longer
        created = (view.created,) if view.created else ()
        order = ", ".join(f"f.{_quoted(name)} DESC NULLS LAST" for name in (*created, *view.values))
        values = ", ".join(f"f.{_quoted(name)}" for name in view.values)
        sql = (
            f"SELECT m.{ROW}, {values} FROM {matched} m JOIN {known} f USING ({keys_and_ts})"
            f" QUALIFY row_number() OVER (PARTITION BY m.{ROW} ORDER BY {order}) = 1"
        )
        latest = self._create(sql, f"join {view.name}").get_name()
        self._drop(matched, *([] if stored else [known]))
        return str(latest)

    def _drop(self, *names: str) -> None:
        for name in names:
            self._backend.drop_table(name)

    def _check_rows(self, spine: str, joined: str) -> None:
        counts = [self._backend.con.execute(f"SELECT count(*) FROM {name}").fetchone() for name in (spine, joined)]
        if counts[0] != counts[1]:
            raise EngineError(f"{counts[0]} spine rows became {counts[1]}", remedy="report this bug of the engine")

    def _sql(self, expr: ir.Table) -> str:
        with _translated("read an expression"):
            return str(self._backend.compile(expr))

    def _typed_sql(self, expr: ir.Table) -> str:
        """SQL whose columns have the types that Ibis promises; DuckDB itself would give a sum of integers 128 bits."""
        spelled = self._backend.compiler.type_mapper.to_string
        columns = [f"CAST({_quoted(n)} AS {spelled(kind)}) AS {_quoted(n)}" for n, kind in expr.schema().items()]
        return f"SELECT {', '.join(columns)} FROM ({self._sql(expr)})"

    def _create(self, sql: str, doing: str) -> ir.Table:
        """The result of *sql* as a new table."""
        self._made += 1
        name = f"t{self._made}"
        with _translated(doing):
            self._backend.con.execute(f"CREATE TABLE {name} AS {sql}")
            return self._backend.table(name)

    def _load(self, rows: pa.RecordBatchReader, doing: str) -> ir.Table:
        """*rows* as a new table. They are read and loaded in turn, so an error of their origin is raised as it is."""
        portions = arrow.portions(rows, _LOAD_BYTES)
        with self._incoming(next(portions)):
            table = self._create("FROM incoming", doing)
        for portion in portions:
            with self._incoming(portion), _translated(doing):
                self._backend.con.execute(f"INSERT INTO {table.get_name()} FROM incoming")
        return table

    @contextmanager
    def _incoming(self, rows: pa.Table) -> Iterator[None]:
        """Within the block *rows* are ``incoming``."""
        self._backend.con.register("incoming", rows)
        try:
            yield
        finally:
            self._backend.con.unregister("incoming")


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    """The errors of DuckDB, Ibis and Arrow as `EngineError`."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise EngineError(
            f"DuckDB ran out of memory or disk trying to {doing}: {error}", remedy="raise the memory limit or free disk"
        ) from error
    except (duckdb.Error, ibis.common.exceptions.IbisError, pa.ArrowInvalid) as error:
        raise EngineError(
            f"DuckDB could not {doing}: {error}", remedy="compare the expression with the contracts of its tables"
        ) from error


def _stream(
    cursor: duckdb.DuckDBPyConnection, reader: pa.RecordBatchReader, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Batches of *reader* with exactly the types of *schema*; closes the cursor at the end."""
    try:
        with _translated("compute an expression"):
            for batch in reader:
                yield batch.cast(schema)
    finally:
        cursor.close()


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
