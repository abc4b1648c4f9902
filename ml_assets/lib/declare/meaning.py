"""Expressions that engines, machines or zones read differently are refused where they are declared.

`ml_assets.lib.engines.meaning` gives every operation that is let through here the meaning of Python on each engine, and
``ml_assets_tests/engines`` compares them over values at the edges. An operation that is not in that table is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from ml_assets.lib.core.errors import AmbiguousMeaning
from ml_assets.lib.declare.determinism import values_of
from ml_assets.lib.declare.meaning_checks import checks, literal

if TYPE_CHECKING:
    import ibis.expr.operations as ops
    import ibis.expr.types as ir

_ROUNDED: Final = 6
"""Most decimal places on which the functions of C and Java libraries agree in practice."""
_SOURCE: Final = "compute it in the source's function, or write it with the operations of the table in README"
_RELATIONS: Final = """UnboundTable Project Filter Sort Limit Aggregate JoinChain JoinReference SelfReference Union
    Intersection Difference Distinct DropNull FillNull DropColumns DummyTable"""
_VALUES: Final = """Field Alias SortKey Literal Cast IsNull NotNull NullIf Coalesce Greatest Least HexDigest SimpleCase
    SearchedCase IfElse Not And Or Xor Equals NotEquals Greater GreaterEqual Less LessEqual IdenticalTo
    Between InValues Add Subtract Multiply Divide FloorDivide Modulus Negate Abs Ceil Floor Round Clip
    Sign Sqrt IsNan IsInf Bucket BitwiseNot BitwiseAnd BitwiseOr BitwiseXor Count CountStar
    CountDistinct CountDistinctStar Sum Mean Min Max All Any First Last ArgMin ArgMax BitAnd BitOr
    BitXor MinRank DenseRank RowNumber PercentRank CumeDist NTile Lag Lead WindowFunction WindowBoundary
    Uppercase Lowercase Strip LStrip RStrip Substring StringSlice StrRight Repeat StringFind LPad RPad
    StringJoin StartsWith EndsWith StringSQLLike RegexSearch RegexExtract RegexReplace StringReplace
    StringConcat StringLength StringContains ScalarSubquery InSubquery ExistsSubquery TimestampTruncate
    DateTruncate Strftime ExtractYear ExtractIsoYear ExtractMonth ExtractDay ExtractDayOfYear
    ExtractQuarter ExtractEpochSeconds ExtractWeekOfYear ExtractHour ExtractMinute ExtractSecond
    ExtractMillisecond ExtractMicrosecond DayOfWeekIndex DayOfWeekName Date DateFromYMD DateAdd DateSub
    TimestampAdd TimestampSub IntervalFromInteger TimestampDelta DateDelta"""
_ROUGH: Final = "Ln Log Log2 Log10 Sin Cos Atan Atan2"
"""Functions whose last bit differs, and whose results are small, so that rounding takes the difference away."""
_STEEP: Final = "Exp Power Tan Cot Asin Acos Degrees Radians"
"""Functions whose last bit differs, and whose results may be so large that no rounding helps, or undefined."""


_CHANGED: Final = """FloorDivide Modulus Mean Sign Round Uppercase Lowercase Strip LStrip RStrip RegexSearch
    RegexExtract TimestampDelta DateDelta ExtractEpochSeconds"""
"""Operations that gave other results, for some values, before engines were held to Python's answer."""


def has_new_meaning(expression: ir.Table) -> bool:
    """Whether *expression* has an operation that engines computed otherwise once: what it gave may be wrong."""
    import ibis.expr.operations as ops

    return any(_changed(value) for value in expression.op().find(ops.Value))


def _changed(value: ops.Value) -> bool:
    import ibis.expr.operations as ops

    if isinstance(value, ops.WindowFunction):
        return isinstance(value.func, ops.Last)
    if isinstance(value, ops.Cast):
        given, to = value.arg.dtype, value.to
        read = given.is_string() and not to.is_string()
        return read or (to.is_timestamp() and to.timezone not in (None, "UTC"))
    return type(value).__name__ in _CHANGED.split()


def require_one_meaning(expression: ir.Table) -> None:
    """Let *expression* pass if every engine, on every machine, reads it alike.

    Args:
        expression: An expression over unbound tables.

    Raises:
        AmbiguousMeaning: It may be read differently; column, operation and remedy are named.
    """
    import ibis.expr.operations as ops

    for relation in expression.op().find(ops.Relation):
        if type(relation).__name__ not in _RELATIONS.split():
            raise AmbiguousMeaning(
                f"{type(relation).__name__} is not among the operations that all engines have",
                remedy="write it with joins, filters, groups and unions, or do it in the source's function",
            )
        for column, value in values_of(relation):
            _check(column, value)


def _check(column: str, value: Any) -> None:
    """Check all that *value*, of column *column*, is made from.

    Raises:
        AmbiguousMeaning: Part of it may be read differently.
    """
    import ibis.expr.operations as ops

    rounded = {node.arg for node in value.find(ops.Round, filter=ops.Value) if _is_rounding(node)}
    for node in value.find(ops.Value, filter=ops.Value):
        for problem, remedy in _problems(node, rounded=node in rounded):
            raise AmbiguousMeaning(f"column {column!r} {problem} ({type(node).__name__})", remedy=remedy)


def _is_rounding(node: ops.Round) -> bool:
    return literal(node.digits, 0 if node.digits is None else None) in range(_ROUNDED + 1)


def _problems(node: Any, *, rounded: bool) -> Iterator[tuple[str, str]]:
    """What engines may read differently in *node*, each with the remedy; those beneath it are not asked."""
    for kinds, find in checks():
        if isinstance(node, kinds):
            yield from find(node)
    yield from _of_type(node)
    name = type(node).__name__
    if name in _STEEP.split():
        yield (
            "has another last bit on each engine",
            ("write a power as x * x, a root as x.sqrt(), and leave others to the source's or model's function"),
        )
    elif name in _ROUGH.split():
        if not rounded:
            yield "has another last bit on each engine", f"round the result, as in .round({_ROUNDED})"
    elif name not in _allowed():
        yield "uses an operation that is not the same on every engine", _SOURCE


@cache
def _allowed() -> frozenset[str]:
    return frozenset(_VALUES.split())


def _of_type(node: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with the type of *node*."""
    import ibis.expr.operations as ops

    kind = node.dtype
    if kind.is_decimal():
        yield (
            f"is {kind}, which engines round differently",
            ("use whole numbers (cents as int64) and divide once at the end, or exact_sum(column, scale)"),
        )
    elif kind.is_floating() and not kind.is_float64():
        yield f"is {kind}, which rounds more than a contract's float", 'write .cast("float64")'
    elif kind.is_unsigned_integer():
        yield f"is {kind}, which not every engine has", 'write .cast("int64")'
    elif kind.is_interval():
        zero = isinstance(node, ops.Cast) and literal(node.arg) == 0  # the end of a window: following=0
        if not zero and not isinstance(node, ops.Literal | ops.IntervalFromInteger | ops.WindowBoundary):
            yield (
                "computes with intervals",
                ('count with a.delta(b, unit="second") and compare whole numbers; add ibis.interval(…) to times only'),
            )
    elif not (
        kind.is_integer()
        or kind.is_float64()
        or kind.is_string()
        or kind.is_boolean()
        or kind.is_temporal()
        or kind.is_null()
    ):
        yield f"is {kind}, which no column of a table can be", _SOURCE
    elif kind.is_time():
        yield "is a time of day", 'use .hour(), .minute() and .second(), or .strftime("%H:%M")'
