"""Ibis on Spark, where Spark means something else than the default engine does.

One expression must give the same bits on every engine. Ibis hides most differences between the dialects; what it leaves
is here, and the tests compare each with DuckDB. What cannot be made equal is refused. What remains: functions that are
not exact by IEEE 754 (logarithms, powers, angles) may differ in their last bit, as between two C libraries.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import ibis.common.exceptions
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.pyspark import Backend
from ibis.backends.sql.compilers.base import NULL
from ibis.backends.sql.compilers.pyspark import PySparkCompiler, offset_to_filter
from ibis.formats.pandas import PandasData

from ml_assets.lib.core.errors import EngineError
from ml_assets.lib.engines import arrow

if TYPE_CHECKING:  # heavy, and only named in signatures
    import pandas as pd
    import pyarrow as pa

SAMPLE_ROWS: Final = 10_000
"""Most rows that a query brings into this process at once; streams have no limit."""


class SparkCompiler(PySparkCompiler):
    """Ibis' SQL for Spark, with the meaning that it has on DuckDB."""

    __slots__ = ()

    rewrites = tuple(rewrite for rewrite in PySparkCompiler.rewrites if rewrite is not offset_to_filter)
    """Spark has OFFSET; Ibis would number all rows in one task, in an order that sorts nothing."""

    def visit_IsNull(self, op: ops.IsNull, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """Ibis takes NaN for null; a digest does not."""
        return arg.is_(NULL)

    def visit_NotNull(self, op: ops.NotNull, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """As above."""
        return arg.is_(sg.not_(NULL))

    def visit_IsNan(self, op: ops.IsNan, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """Whether a null is NaN is not known; Spark says no."""
        return self.if_(arg.is_(NULL), NULL, self.f.isnan(arg))

    def visit_Cast(self, op: ops.Cast, *, arg: Any, to: dt.DataType) -> Any:  # noqa: N802 - Ibis' name
        """To a whole number: DuckDB rounds, doubles to even and decimals away from zero; Spark cuts off."""
        given = op.arg.dtype
        if to.is_string() and not (given.is_string() or given.is_integer() or given.is_boolean() or given.is_date()):
            raise ibis.common.exceptions.UnsupportedOperationError(
                f"{given} has another spelling as text on each engine: cast it to a whole number or date first"
            )
        if to.is_integer() and given.is_floating():
            arg = self.f.rint(arg)
        elif to.is_integer() and given.is_decimal():
            arg = self.f.round(arg, 0)
        return super().visit_Cast(op, arg=arg, to=to)

    def visit_Divide(self, op: ops.Divide, *, left: Any, right: Any) -> Any:  # noqa: N802 - Ibis' name
        """By zero: infinite or NaN, as IEEE 754 has it; in Spark it would be an error."""
        quotient = self.binop(sge.Div, left, right)
        if not op.dtype.is_floating():
            return quotient
        divisor = self.cast(right, dt.float64)
        is_negative = self.cast(divisor, dt.string).eq(sge.convert("-0.0"))
        infinite = self.if_(is_negative, self._double("-Infinity"), self._double("Infinity"))
        return self.if_(divisor.eq(self._double("0")), self.cast(left, dt.float64) * infinite, quotient)

    def visit_Modulus(self, op: ops.Modulus, *, left: Any, right: Any) -> Any:  # noqa: N802 - Ibis' name
        """By zero: NaN, of whole numbers null; in Spark it would be an error."""
        undefined = left * self._double("NaN") if op.dtype.is_floating() else NULL
        return self.if_(right.eq(sge.convert(0)), undefined, self.binop(sge.Mod, left, right))

    def _double(self, spelled: str) -> Any:
        return self.cast(sge.convert(spelled), dt.float64)

    def visit_Round(self, op: ops.Round, *, arg: Any, digits: Any) -> Any:  # noqa: N802 - Ibis' name
        """Digits of a double: by multiplication, as in C; Spark goes by the shortest decimal text."""
        rounded = super().visit_Round
        if not op.arg.dtype.is_floating() or digits is None or op.dtype.is_integer():
            return rounded(op, arg=arg, digits=digits)
        scale = self.f.power(self.cast(10, dt.float64), digits)
        return self.f.round(arg * scale) / scale

    def visit_RegexSearch(self, op: ops.RegexSearch, *, arg: Any, pattern: Any) -> Any:  # noqa: N802 - Ibis' name
        r"""A last ``$`` is the end of the text; in Java it would also match before a last newline: ``\z`` does not."""
        if isinstance(op.pattern, ops.Literal):
            pattern = sge.convert(re.sub(r"(?<!\\)((?:\\\\)*)\$$", r"\1\\z", op.pattern.value))
        return super().visit_RegexSearch(op, arg=arg, pattern=pattern)


class SparkBackend(Backend):
    """Ibis' Spark, with `SparkCompiler`. What it gives to this process is Arrow, never by way of pandas, and small."""

    compiler = SparkCompiler()

    def frame(self, expr: ir.Table) -> Any:
        """*expr* as a ``DataFrame`` of Spark, with exactly the types that it promises.

        Raises:
            Exception: Of Ibis or Spark, where it cannot be run.
        """
        self._run_pre_execute_hooks(expr)
        spelled: Callable[[dt.DataType], str] = self.compiler.type_mapper.to_string
        columns = [f"CAST({quoted(n)} AS {spelled(kind)}) AS {quoted(n)}" for n, kind in expr.schema().items()]
        return self._session.sql(f"SELECT {', '.join(columns)} FROM ({self.compile(expr)})")

    def stored(self, name: str, schema: ibis.Schema) -> ir.Table:
        """The temporary view *name* as a table."""
        table: ir.Table = ops.DatabaseTable(name=name, schema=schema, source=self).to_expr()
        return table

    def to_pyarrow(self, expr: ir.Expr, /, **_: Any) -> Any:
        """The result of *expr*.

        Raises:
            EngineError: It has more than `SAMPLE_ROWS` rows.
        """
        return expr.__pyarrow_result__(self._sample(expr.as_table()))

    def execute(self, expr: ir.Expr, /, **_: Any) -> pd.DataFrame | pd.Series[Any] | Any:
        """The result of *expr*, as pandas or a plain value.

        Raises:
            EngineError: It has more than `SAMPLE_ROWS` rows.
        """
        table = expr.as_table()
        return expr.__pandas_result__(PandasData.convert_table(self._sample(table).to_pandas(), table.schema()))

    def _sample(self, table: ir.Table) -> pa.Table:
        rows = self.frame(table).limit(SAMPLE_ROWS + 1).toArrow()
        if rows.num_rows > SAMPLE_ROWS:
            raise EngineError(
                f"a query has more than {SAMPLE_ROWS} rows, which would all come into one process",
                remedy="limit it, or let the session stream or write it",
            )
        return rows.cast(arrow.schema_of(table))


def quoted(name: str) -> str:
    """*name* as an identifier of Spark."""
    escaped = name.replace("`", "``")
    return f"`{escaped}`"
