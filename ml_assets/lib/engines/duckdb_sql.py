"""Ibis on DuckDB, where Ibis' SQL means something else than Python does."""

from __future__ import annotations

from functools import cache, reduce
from typing import Any, Final

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot.expressions as sge
from ibis.backends.duckdb import Backend
from ibis.backends.sql.compilers.duckdb import DuckDBCompiler

from ml_assets.lib.engines.meaning import Meaning

_DOTTED_I: Final = "\u0130"


class ExactDuckDBCompiler(Meaning, DuckDBCompiler):
    """Ibis' SQL for DuckDB with the meaning that the table of operations promises."""

    __slots__ = ()

    SIMPLE_OPS: dict[type[ops.Node], str] = {}  # noqa: RUF012 - Ibis' own; what it has would hide the methods here
    raises, regex = "error", "re2"

    def at_zone(self, moment: Any, zone: str) -> Any:
        """``timezone`` of ICU."""
        return self.f.anon.timezone(sge.convert(zone), moment)

    def micros(self, moment: Any) -> Any:
        """Exact, unlike ``epoch``."""
        return self.f.anon.epoch_us(moment)

    def from_micros(self, micros: int) -> Any:
        """Exact, unlike a number of seconds."""
        return self.f.anon.make_timestamptz(self.cast(micros, dt.int64))

    def matches(self, text: Any, pattern: str) -> Any:
        """RE2."""
        return self.f.anon.regexp_full_match(text, sge.convert(pattern))

    def found(self, text: Any, pattern: Any) -> Any:
        """RE2."""
        return self.f.anon.regexp_matches(text, pattern)

    def towards_zero(self, left: Any, right: Any) -> Any:
        """DuckDB's ``//`` cuts off."""
        return self.binop(sge.IntDiv, left, right)

    def visit_Cast(self, op: ops.Cast, *, arg: Any, to: dt.DataType) -> Any:  # noqa: N802 - Ibis' name
        """Text is read strictly."""
        return self.read(op, arg) if op.arg.dtype.is_string() else super().visit_Cast(op, arg=arg, to=to)

    def visit_Uppercase(self, op: ops.Uppercase, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """DuckDB has no letter that becomes two, as ß does."""
        several = _several()
        spelled = reduce(lambda text, letter: self.f.replace(text, letter, letter.upper()), several, arg)
        return self.f.upper(self.if_(self.found(arg, sge.convert(f"[{''.join(several)}]")), spelled, arg))

    def visit_Lowercase(self, op: ops.Lowercase, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """Letter by letter; the dotted capital I becomes two."""
        return self.f.replace(self.f.lower(self.f.replace(arg, _DOTTED_I, "i\u0307")), _DOTTED_I, "i\u0307")

    def visit_Atan2(self, op: ops.Atan2, *, left: Any, right: Any) -> Any:  # noqa: N802 - Ibis' name
        """The sign of zero plays no part, as in Spark and in a digest."""
        del op
        return self.f.atan2(left + self.real(0.0), right + self.real(0.0))

    def visit_FirstValue(self, op: Any, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """Over a window as in a total: the first value that there is."""
        return sge.IgnoreNulls(this=self.f.first_value(arg))

    def visit_LastValue(self, op: Any, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """As `visit_FirstValue`."""
        return sge.IgnoreNulls(this=self.f.last_value(arg))

    def visit_Sum(self, op: ops.Sum, *, arg: Any, where: Any) -> Any:  # noqa: N802 - Ibis' name
        """Of whole numbers: in the type that it promises; DuckDB's has 128 bits."""
        total = super().visit_Sum(op, arg=arg, where=where)
        if not op.dtype.is_integer():
            return total
        total.meta["total"] = True
        widened = self.cast(total, op.dtype)
        widened.meta["composed"] = True
        return widened


class ExactDuckDB(Backend):
    """Ibis' DuckDB with `ExactDuckDBCompiler`."""

    compiler = ExactDuckDBCompiler()


@cache
def _several() -> tuple[str, ...]:
    """Letters whose capital is written with more than one."""
    return tuple(letter for letter in map(chr, range(0x10000)) if len(letter.upper()) > 1)
