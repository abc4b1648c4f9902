"""Ibis on Spark, where Spark means something else than Python does, or than the default engine.

One expression must give the same bits on every engine. Ibis hides most differences between the dialects; what it leaves
is here and in `ml_assets.lib.engines.meaning`, and the tests compare each with Python and with DuckDB. What cannot be
made equal is refused. What remains: functions that are not exact by IEEE 754 (logarithms, powers, angles) may differ in
their last bit, as between two C libraries.
"""

from __future__ import annotations

import math
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

from ml_assets.lib.core import patterns
from ml_assets.lib.core.errors import EngineError
from ml_assets.lib.engines import arrow
from ml_assets.lib.engines.meaning import SPACE, Meaning

if TYPE_CHECKING:  # heavy, and only named in signatures
    import pandas as pd
    import pyarrow as pa

_BITS: Final = {ops.BitAnd: "bit_and", ops.BitOr: "bit_or", ops.BitXor: "bit_xor"}
SAMPLE_ROWS: Final = 10_000
"""Most rows that a query brings into this process at once; streams have no limit."""


class SparkCompiler(Meaning, PySparkCompiler):
    """Ibis' SQL for Spark, with the meaning that the table of operations promises."""

    __slots__ = ()

    SIMPLE_OPS: dict[type[ops.Node], str] = {}  # noqa: RUF012 - Ibis' own; what it has would hide the methods here
    rewrites = tuple(rewrite for rewrite in PySparkCompiler.rewrites if rewrite is not offset_to_filter)
    """Spark has OFFSET; Ibis would number all rows in one task, in an order that sorts nothing."""
    raises, regex = "raise_error", "java"

    def at_zone(self, moment: Any, zone: str) -> Any:
        """A time that shows in UTC, the zone of the session, what clocks show in *zone*."""
        return self.f.anon.from_utc_timestamp(moment, sge.convert(zone))

    def micros(self, moment: Any) -> Any:
        """Exact."""
        return self.f.anon.unix_micros(moment)

    def from_micros(self, micros: int) -> Any:
        """Exact."""
        return self.f.anon.timestamp_micros(self.cast(sge.convert(str(micros)), dt.int64))

    def matches(self, text: Any, pattern: str) -> Any:
        """``RLIKE`` finds; it does not match."""
        return self.found(text, sge.convert(f"^(?:{pattern})\\z"))

    def found(self, text: Any, pattern: Any) -> Any:
        """java.util.regex."""
        return self.f.anon.regexp_like(text, pattern)

    def towards_zero(self, left: Any, right: Any) -> Any:
        """Spark's ``DIV`` cuts off."""
        return self.binop(sge.IntDiv, left, right)

    def whole_below(self, real: Any) -> Any:
        """Spark's ``floor`` has 64 bits and stops at their ends: beyond 2**52 every double is whole."""
        return self.if_(self.f.abs(real) < self.real(2.0**52), self.cast(self.f.floor(real), dt.float64), real)

    def visit_IsNull(self, op: ops.IsNull, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """Ibis takes NaN for null; a digest does not."""
        return arg.is_(NULL)

    def visit_NotNull(self, op: ops.NotNull, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """As above."""
        return arg.is_(sg.not_(NULL))

    def visit_IsNan(self, op: ops.IsNan, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """Whether a null is NaN is not known; Spark says no."""
        return self.if_(arg.is_(NULL), NULL, self.f.isnan(arg))

    def visit_IsInf(self, op: ops.IsInf, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """Ibis compares its own objects instead of the values."""
        return self.f.abs(self.cast(arg, dt.float64)).eq(self.real(math.inf))

    def visit_Cast(self, op: ops.Cast, *, arg: Any, to: dt.DataType) -> Any:  # noqa: N802 - Ibis' name
        """Text is read strictly. To a whole number: DuckDB rounds, doubles to even and decimals away from zero."""
        given = op.arg.dtype
        if to.is_string() and not (given.is_string() or given.is_integer() or given.is_boolean() or given.is_date()):
            raise ibis.common.exceptions.UnsupportedOperationError(
                f"{given} has another spelling as text on each engine: cast it to a whole number or date first"
            )
        if given.is_string():
            return self.read(op, arg)
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
        infinite = self.if_(is_negative, self.real(-math.inf), self.real(math.inf))
        return self.if_(divisor.eq(self.real(0.0)), self.cast(left, dt.float64) * infinite, quotient)

    def visit_Lowercase(self, op: ops.Lowercase, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """Letter by letter; Java has another small sigma at the end of a word."""
        return self.f.lower(self.f.replace(arg, "\u03a3", "\u03c3"))

    def trimmed(self, function: str, text: Any) -> Any:
        """Spark's order of the arguments is the other way round."""
        return self.f.anon[function](sge.convert(SPACE), text)

    def visit_StringSQLLike(self, op: ops.StringSQLLike, *, arg: Any, pattern: Any, escape: Any) -> Any:  # noqa: N802 - Ibis' name
        """Without an escape character; Spark's own is the backslash."""
        unused = next(
            sign for sign in "\x01!~#" if not isinstance(op.pattern, ops.Literal) or sign not in op.pattern.value
        )
        return sge.Escape(this=arg.like(pattern), expression=escape or sge.convert(unused))

    def visit_RegexReplace(self, op: ops.RegexReplace, *, arg: Any, pattern: Any, replacement: Any) -> Any:  # noqa: N802 - Ibis' name
        r"""Groups are ``\1`` for Ibis and ``$1`` for Java."""
        if isinstance(op.replacement, ops.Literal):
            replacement = sge.convert(patterns.java_replacement(op.replacement.value))
        return self.f.anon.regexp_replace(arg, pattern, replacement)

    def visit_Strftime(self, op: ops.Strftime, *, arg: Any, format_str: Any) -> Any:  # noqa: N802 - Ibis' name
        """In Java every letter is a code unless it is quoted."""
        if isinstance(op.format_str, ops.Literal):
            format_str = sge.convert(patterns.java_time(op.format_str.value))
        return self.f.anon.date_format(arg, format_str)

    def visit_ExtractIsoYear(self, op: ops.ExtractIsoYear, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """Ibis has none."""
        return self.cast(self.f.anon.date_part(sge.convert("YEAROFWEEK"), arg), op.dtype)

    def visit_BitAnd(self, op: ops.BitAnd, *, arg: Any, where: Any) -> Any:  # noqa: N802 - Ibis' name
        """Ibis has none of the three."""
        return self.agg[_BITS[type(op)]](arg, where=where)

    visit_BitOr = visit_BitXor = visit_BitAnd  # noqa: N815 - Ibis' names

    def visit_Sqrt(self, op: ops.Sqrt, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """Of less than zero: an error, as in Python and DuckDB; Spark says NaN."""
        return self._within("square root of a negative number", arg, self.f.sqrt(arg), arg < 0)

    def visit_Ln(self, op: ops.Ln, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """Of zero or less: an error, as in Python and DuckDB; Spark says null."""
        return self._within("logarithm of zero or less", arg, self.f.ln(arg), arg <= 0)

    def visit_Log2(self, op: ops.Log2, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """As `visit_Ln`."""
        return self._within("logarithm of zero or less", arg, self.f.anon.log2(arg), arg <= 0)

    def visit_Log10(self, op: ops.Log10, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """As `visit_Ln`."""
        return self._within("logarithm of zero or less", arg, self.f.anon.log10(arg), arg <= 0)

    def visit_Log(self, op: ops.Log, *, arg: Any, base: Any) -> Any:  # noqa: N802 - Ibis' name
        """As `visit_Ln`."""
        return self._within("logarithm of zero or less", arg, super().visit_Log(op, arg=arg, base=base), arg <= 0)

    def visit_Sin(self, op: ops.Sin, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """Of infinity: an error, as in Python and DuckDB; Spark says NaN."""
        function = {ops.Sin: "sin", ops.Cos: "cos"}[type(op)]
        endless = self.f.abs(arg).eq(self.real(math.inf))
        return self._within(f"{function} of infinity", arg, self.f.anon[function](arg), endless)

    visit_Cos = visit_Sin  # noqa: N815 - Ibis' name

    def _within(self, what: str, arg: Any, value: Any, wrong: Any) -> Any:
        return self.chosen((arg.is_(NULL), NULL), (wrong, self.fail(what)), otherwise=value)

    def visit_CountStar(self, op: ops.CountStar, *, arg: Any, where: Any) -> Any:  # noqa: N802 - Ibis' name
        """Of no rows it is 0, also with a condition; Ibis adds up ones, and a sum of nothing is null."""
        return (
            super().visit_CountStar(op, arg=arg, where=None)
            if where is None
            else self.f.count(self.if_(where, 1, NULL))
        )

    def visit_CountDistinctStar(self, op: ops.CountDistinctStar, *, arg: Any, where: Any) -> Any:  # noqa: N802 - Ibis' name
        """Rows with a null count, too."""
        columns = [sg.column(name, table=arg.alias_or_name, quoted=self.quoted) for name in op.arg.schema]
        row = self.f.anon.struct(*columns)
        return self.f.count(sge.Distinct(expressions=[row if where is None else self.if_(where, row, NULL)]))

    def visit_First(self, op: ops.First, *, arg: Any, where: Any, order_by: Any, include_null: bool) -> Any:  # noqa: N802 - Ibis' name
        """Spark orders no rows within a total: the row of the least key is taken."""
        return self._picked(op, arg, where, order_by, include_null=include_null, first=True)

    def visit_Last(self, op: ops.Last, *, arg: Any, where: Any, order_by: Any, include_null: bool) -> Any:  # noqa: N802 - Ibis' name
        """As `visit_First`, of the greatest key."""
        return self._picked(op, arg, where, order_by, include_null=include_null, first=False)

    def visit_ArgMin(self, op: ops.ArgMin, *, arg: Any, key: Any, where: Any) -> Any:  # noqa: N802 - Ibis' name
        """Rows without a key count last; the value may be null."""
        return self._by([sge.Ordered(this=key, nulls_first=False)], arg, where, first=True)

    def visit_ArgMax(self, op: ops.ArgMax, *, arg: Any, key: Any, where: Any) -> Any:  # noqa: N802 - Ibis' name
        """As `visit_ArgMin`."""
        return self._by([sge.Ordered(this=key, desc=True, nulls_first=False)], arg, where, first=True)

    def _picked(self, op: Any, arg: Any, where: Any, order_by: Any, *, include_null: bool, first: bool) -> Any:
        if not include_null:
            known = arg.is_(sg.not_(NULL))
            where = known if where is None else sg.and_(where, known)
        if not order_by:
            return super().visit_First(op, arg=arg, where=where, order_by=(), include_null=include_null)
        return self._by(order_by, arg, where, first=first)

    def _by(self, order_by: Any, arg: Any, where: Any, *, first: bool) -> Any:
        """The value of the first or last row in the order, whose keys all go one way."""
        descending = {bool(key.args.get("desc")) for key in order_by}
        if len(descending) > 1:
            raise ibis.common.exceptions.UnsupportedOperationError("first and last by keys in two directions")
        least = descending == {False} if first else descending == {True}
        keys = []
        for key in order_by:
            is_null = key.this.is_(NULL)
            last = not key.args.get("nulls_first")
            keys += [is_null if last == (not key.args.get("desc")) else sg.not_(is_null), key.this]
        row = self.f.anon.struct(*keys)
        if where is not None:
            row = self.if_(where, row, NULL)
        return self.f.anon["min_by" if least else "max_by"](arg, row)


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
