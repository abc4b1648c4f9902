"""What Ibis leaves to each SQL dialect, with one meaning: that of Python, or where Python raises, an error or a null.

Both compilers inherit from `Meaning`. It holds what is said alike in both dialects; what differs is in `duckdb_sql` and
`spark_sql`. ``ml_assets_tests/engines/operations.py`` is the table of operations: each is compared with Python's own
answer on both engines. What is neither there nor refused by `ml_assets.lib.declare.meaning` has no promised meaning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.base import NULL

from ml_assets.lib.core import patterns

if TYPE_CHECKING:
    from ibis.backends.sql.compilers.base import SQLGlotCompiler as _Base
else:
    _Base = object

WALL_CLOCK: Final = (ops.ExtractTemporalField, ops.DayOfWeekIndex, ops.DayOfWeekName, ops.Date, ops.Strftime)
"""Operations on a time whose answer depends on its zone."""
PATTERNS: Final = (ops.RegexSearch, ops.RegexExtract, ops.RegexReplace)
SPACE: Final = "".join(character for character in map(chr, range(0x3001)) if character.isspace())
"""What Python's ``str.strip`` takes away."""
MICROSECONDS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "microsecond": 1,
        "millisecond": 1_000,
        "second": 1_000_000,
        "minute": 60_000_000,
        "hour": 3_600_000_000,
        "day": 86_400_000_000,
    }
)
"""Length of each unit that has one."""
_WHOLE: Final = r"[+-]?[0-9]+"
_REAL: Final = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
_DAY: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST: Final = 2.0**63


class Meaning(_Base):
    """One meaning of values for the compilers of all engines."""

    __slots__ = ()

    raises: str
    """Function that ends the query with a message."""
    regex: patterns.Dialect
    """Whose regular expressions it has."""

    def at_zone(self, moment: Any, zone: str) -> Any:
        """The local time that clocks show in *zone* at *moment*, without zone."""
        raise NotImplementedError

    def micros(self, moment: Any) -> Any:
        """Microseconds since 1970 of a time with zone."""
        raise NotImplementedError

    def from_micros(self, micros: int) -> Any:
        """The time with zone that is so many microseconds after the beginning of 1970."""
        raise NotImplementedError

    def matches(self, text: Any, pattern: str) -> Any:
        """Whether *pattern*, of digits and classes only, fits all of *text*."""
        raise NotImplementedError

    def towards_zero(self, left: Any, right: Any) -> Any:
        """The quotient of two whole numbers without its fraction; *right* is neither 0 nor -1."""
        raise NotImplementedError

    def remainder(self, left: Any, right: Any) -> Any:
        """What is left of *left*, with its sign; *right* is not 0."""
        return self.binop(sge.Mod, left, right)

    def fail(self, message: str, value: Any = None) -> Any:
        """An expression that ends the query; *message* may hold ``%s`` for *value*."""
        before, _, after = message.partition("%s")
        parts = [sge.convert(before), value, sge.convert(after)] if value is not None else [sge.convert(message)]
        return self.f.anon[self.raises](self.f.concat(*parts) if len(parts) > 1 else parts[0])

    def real(self, value: float) -> Any:
        """*value* as a double; a bare number would be a decimal."""
        spelled = (
            repr(float(value))
            if math.isfinite(value)
            else {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")
        )
        return self.cast(sge.convert(spelled), dt.float64)

    def chosen(self, *cases: tuple[Any, Any], otherwise: Any) -> Any:
        """The value of the first condition that is true."""
        return sge.Case(ifs=[self.if_(condition, value) for condition, value in cases], default=otherwise)

    def visit_node(self, op: ops.Node, **kwargs: Any) -> Any:
        """Compile *op*; what a clock shows of a time in a zone, it shows there."""
        asks = isinstance(op, WALL_CLOCK) or (isinstance(op, ops.Cast) and op.to.is_date())
        if asks and not isinstance(op, ops.ExtractEpochSeconds) and (zone := zone_of(op.arg.dtype)):
            kwargs["arg"] = self.at_zone(kwargs["arg"], zone)
        if isinstance(op, PATTERNS) and isinstance(op.pattern, ops.Literal):
            kwargs["pattern"] = sge.convert(self._spelled(op.pattern.value))
        return super().visit_node(op, **kwargs)

    def visit_NonNullLiteral(self, op: ops.Literal, *, value: Any, dtype: dt.DataType) -> Any:  # noqa: N802 - Ibis' name
        """A time as its microseconds and a double as a double, whatever their spelling would mean."""
        if dtype.is_timestamp() and value.tzinfo is not None:
            return self.from_micros((value - _EPOCH) // timedelta(microseconds=1))
        if dtype.is_floating():
            return self.real(value)
        if dtype.is_integer() and not -(2**31) < value < 2**31:
            return self.cast(sge.convert(str(value)), dtype)
        if dtype.is_interval() and dtype.unit.short == "Q":
            months = ops.Literal(value * 3, dt.Interval("M"))
            return self.visit_Literal(months, value=value * 3, dtype=months.dtype)
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)

    def _spelled(self, pattern: str) -> str:
        """*pattern* for this engine; what may not be declared is a contract's, whose checks spell it out."""
        try:
            return patterns.spelled(pattern, self.regex)
        except ValueError:
            return pattern

    # Whole numbers

    def visit_Add(self, op: ops.Add, *, left: Any, right: Any) -> Any:  # noqa: N802 - Ibis' name
        """In the type of the result: two 32-bit numbers can have a sum that is longer."""
        return self.binop(sge.Add, *self._widened(op, left, right))

    def visit_Subtract(self, op: ops.Subtract, *, left: Any, right: Any) -> Any:  # noqa: N802 - Ibis' name
        """As `visit_Add`."""
        return self.binop(sge.Sub, *self._widened(op, left, right))

    def visit_Multiply(self, op: ops.Multiply, *, left: Any, right: Any) -> Any:  # noqa: N802 - Ibis' name
        """As `visit_Add`."""
        return self.binop(sge.Mul, *self._widened(op, left, right))

    def _widened(self, op: Any, left: Any, right: Any, to: dt.DataType | None = None) -> tuple[Any, Any]:
        """Both operands in the type of the result, or *to*."""
        to = to or op.dtype
        if not (to.is_integer() or to.is_floating()):
            return left, right
        of = (op.left.dtype, op.right.dtype)
        cast = [
            side if given.copy(nullable=True) == to.copy(nullable=True) else self.cast(side, to)
            for side, given in zip((left, right), of, strict=True)
        ]
        return cast[0], cast[1]

    def visit_FloorDivide(self, op: ops.FloorDivide, *, left: Any, right: Any) -> Any:  # noqa: N802 - Ibis' name
        """As in Python: rounded down, whole numbers exactly; by zero it is an error."""
        if not (op.left.dtype.is_integer() and op.right.dtype.is_integer()):
            return self._floor_divide_reals(op, left, right)
        left, right = self._widened(op, left, right, dt.int64)
        rounded = self._floor_divide(left, right, _literal(op.right))
        return self.cast(rounded, op.dtype)

    def _floor_divide(self, left: Any, right: Any, known: int | None) -> Any:
        """*left* // *right*, whole numbers of 64 bits; *known* is the value of *right*, where that is a literal."""
        quotient = self.towards_zero(left, right)
        signs = self._negative(left).neq(self._negative(right))
        rounded_up = sg.and_(sge.NEQ(this=sge.paren(self.remainder(left, right)), expression=sge.convert(0)), signs)
        down = self.if_(rounded_up, quotient - 1, quotient)
        if known is not None and known not in {0, -1}:
            return down
        return self.chosen(
            (
                sg.and_(right.eq(sge.convert(0)), left.is_(sg.not_(NULL))),
                self.fail("division of a whole number by zero"),
            ),
            (right.eq(sge.convert(-1)), -sge.paren(left)),
            otherwise=down,
        )

    def _floor_divide_reals(self, op: ops.FloorDivide, left: Any, right: Any) -> Any:
        """The algorithm of CPython's ``float.__floordiv__``."""
        left, right = self._widened(op, left, right, dt.float64)
        rest = sge.paren(self._fmod(left, right))
        zero, one = self.real(0.0), self.real(1.0)
        signs = self._negative(rest).neq(self._negative(right))
        quotient = sge.paren(sge.paren(left - rest) / right)
        exact = sge.paren(self.if_(sg.and_(rest.neq(zero), signs), quotient - one, quotient))
        floor = self.whole_below(exact)
        return self.cast(self.if_((exact - floor) > self.real(0.5), floor + one, floor), op.dtype)

    def whole_below(self, real: Any) -> Any:
        """The double that is the greatest whole number not above *real*."""
        return self.f.floor(real)

    def _negative(self, number: Any) -> Any:
        return sge.paren(sge.LT(this=sge.paren(number), expression=sge.convert(0)))

    def _fmod(self, left: Any, right: Any) -> Any:
        """The remainder of doubles with the sign of *left*; by zero NaN."""
        return self.if_(right.eq(self.real(0.0)), left * self.real(math.nan), self.remainder(left, right))

    def visit_Modulus(self, op: ops.Modulus, *, left: Any, right: Any) -> Any:  # noqa: N802 - Ibis' name
        """As in Python: with the sign of the divisor; by zero NaN, of whole numbers null."""
        real = not (op.left.dtype.is_integer() and op.right.dtype.is_integer())
        left, right = self._widened(op, left, right, dt.float64 if real else dt.int64)
        rest = sge.paren(self._fmod(left, right) if real else self.remainder(left, right))
        signs = self._negative(rest).neq(self._negative(right))
        signed = self.if_(sg.and_(rest.neq(sge.convert(0)), signs), rest + right, rest)
        if real:
            return signed
        known = _literal(op.right)
        if known is None or known in {0, -1}:
            zero, minus = right.eq(sge.convert(0)), right.eq(sge.convert(-1))
            signed = self.chosen((zero, NULL), (minus, left - left), otherwise=signed)
        return self.cast(signed, op.dtype)

    def visit_Floor(self, op: ops.Floor, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """A whole number is its own floor; it does not go through a double."""
        return arg if op.arg.dtype.is_integer() else self.cast(self.whole_below(arg), op.dtype)

    def visit_Ceil(self, op: ops.Ceil, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """As `visit_Floor`."""
        return arg if op.arg.dtype.is_integer() else self.cast(-sge.paren(self.whole_below(-sge.paren(arg))), op.dtype)

    def visit_Sign(self, op: ops.Sign, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """The sign of NaN is NaN."""
        sign = self.f.sign(arg)
        return self.if_(self.f.isnan(arg), arg, sign) if op.arg.dtype.is_floating() else sign

    def visit_Round(self, op: ops.Round, *, arg: Any, digits: Any) -> Any:  # noqa: N802 - Ibis' name
        """Halves away from zero; digits of a double by multiplication, as in C."""
        if op.dtype.is_integer():
            return arg if op.arg.dtype.is_integer() else self.cast(self.away_from_zero(arg), op.dtype)
        arg = arg if op.arg.dtype.is_floating() else self.cast(arg, dt.float64)
        places = _literal(op.digits) or 0
        scale = self.real(10.0 ** abs(places))
        multiply, divide = (sge.Mul, sge.Div) if places >= 0 else (sge.Div, sge.Mul)
        scaled = sge.paren(self.binop(multiply, arg, scale))
        rounded = sge.paren(self.binop(divide, self.away_from_zero(scaled), scale))
        return self.if_(self.f.abs(rounded) < self.real(math.inf), rounded, arg)

    def away_from_zero(self, real: Any) -> Any:
        """The double that is *real* rounded to a whole number, halves away from zero."""
        return self.f.round(real)

    # Text

    def read(self, op: ops.Cast, text: Any) -> Any:
        """*text* as a number or date, spelled plainly: engines read blanks, fractions and words differently."""
        patterns = ((op.to.is_integer(), _WHOLE), (op.to.is_floating(), _REAL), (op.to.is_date(), _DAY))
        pattern = next((pattern for fits, pattern in patterns if fits), None)
        if pattern is None:
            return self.cast(text, op.to)
        return self.chosen(
            (text.is_(NULL), self.cast(NULL, op.to)),
            (self.matches(text, pattern), self.cast(text, op.to)),
            otherwise=self.fail(f"'%s' cannot be read as {op.to}", text),
        )

    def visit_Strip(self, op: ops.Strip, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """White space is what it is in Python, the no-break space too."""
        return sge.Trim(this=arg, expression=sge.convert(SPACE))

    def visit_LStrip(self, op: ops.LStrip, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """As `visit_Strip`."""
        return self.trimmed("ltrim", arg)

    def visit_RStrip(self, op: ops.RStrip, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """As `visit_Strip`."""
        return self.trimmed("rtrim", arg)

    def trimmed(self, function: str, text: Any) -> Any:
        """*text* without the white space at one end."""
        return self.f.anon[function](text, sge.convert(SPACE))

    def visit_RegexSearch(self, op: ops.RegexSearch, *, arg: Any, pattern: Any) -> Any:  # noqa: N802 - Ibis' name
        """Found anywhere; what the pattern means is spelled out by `visit_node`."""
        return self.found(arg, pattern)

    def visit_RegexExtract(self, op: ops.RegexExtract, *, arg: Any, pattern: Any, index: Any) -> Any:  # noqa: N802 - Ibis' name
        """Null where the pattern is not found, as in Python; an empty text is one that was found."""
        found = self.found(arg, pattern)
        return self.if_(found, self.f.regexp_extract(arg, pattern, index), NULL)

    def found(self, text: Any, pattern: Any) -> Any:
        """Whether *pattern* is somewhere in *text*."""
        raise NotImplementedError

    # Time

    def visit_ExtractEpochSeconds(self, op: ops.ExtractEpochSeconds, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """Whole seconds, rounded down also before 1970. Not narrowed to the 32 bits that Ibis says: a cast follows."""
        del op
        return self._units(self.micros(arg), MICROSECONDS["second"])

    def visit_ExtractMillisecond(self, op: ops.ExtractMillisecond, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """Of the second, rounded down."""
        micros = self.micros(arg)
        rest = micros - self._units(micros, MICROSECONDS["second"]) * MICROSECONDS["second"]
        return self.cast(self._units(sge.paren(rest), MICROSECONDS["millisecond"]), op.dtype)

    def visit_ExtractMicrosecond(self, op: ops.ExtractMicrosecond, *, arg: Any) -> Any:  # noqa: N802 - Ibis' name
        """Of the second."""
        micros = self.micros(arg)
        return self.cast(micros - self._units(micros, MICROSECONDS["second"]) * MICROSECONDS["second"], op.dtype)

    def visit_TimestampDelta(self, op: Any, *, part: Any, left: Any, right: Any) -> Any:  # noqa: N802 - Ibis' name
        """How many beginnings of the unit lie between the two: midnights, first days of months, Mondays."""
        unit, is_date = _literal(op.part), op.left.dtype.is_date()
        numbers = [self._number(side, unit, is_date=is_date) for side in (left, right)]
        return self.cast(numbers[0] - numbers[1], op.dtype)

    visit_DateDelta = visit_TimestampDelta  # noqa: N815 - Ibis' name

    def _number(self, moment: Any, unit: Any, *, is_date: bool) -> Any:
        """The number of the *unit* in which *moment* lies, counted from some beginning."""
        if unit in {"year", "quarter", "month"}:
            per_year = {"year": 1, "quarter": 4, "month": 12}[unit]
            year = self.cast(self.f.anon.year(moment), dt.int64)
            within = self.cast(self.f.anon[unit](moment), dt.int64) if per_year > 1 else sge.convert(0)
            return sge.paren(year * per_year + within)
        micros = self.micros(self.cast(moment, dt.Timestamp("UTC")) if is_date else moment)
        if unit == "week":  # 1970 began on a Thursday
            day = self._units(micros, MICROSECONDS["day"])
            return sge.paren(self._units(sge.paren(day + 3), 7))
        return sge.paren(self._units(micros, MICROSECONDS[unit]))

    def _units(self, number: Any, size: int) -> Any:
        """*number* // *size*."""
        return number if size == 1 else sge.paren(self._floor_divide(number, self.cast(size, dt.int64), size))

    # Totals

    def visit_WindowFunction(self, op: ops.WindowFunction, *, func: Any, **kwargs: Any) -> Any:  # noqa: N802 - Ibis' name
        """Over a window; where a total is made of several, each of them is."""
        over: Callable[[Any], Any] = lambda total: super(Meaning, self).visit_WindowFunction(op, func=total, **kwargs)  # noqa: E731
        if not func.meta.get("composed"):
            return over(func)
        return func.transform(lambda node: over(node.copy()) if node.meta.get("total") else node)

    def visit_Mean(self, op: ops.Mean, *, arg: Any, where: Any) -> Any:  # noqa: N802 - Ibis' name
        """Of whole numbers: their exact sum, divided once by their number."""
        if op.arg.dtype.is_floating():
            return self.agg.avg(arg, where=where)
        arg = self.cast(arg, dt.int64)
        total, number = self.agg.sum(arg, where=where), self.agg.count(arg, where=where)
        total.meta["total"] = number.meta["total"] = True
        quotient = self.cast(self.cast(total, dt.int64), dt.float64) / self.cast(number, dt.float64)
        return _composed(self.if_(self.cast(number, dt.int64) > 0, quotient, NULL))


def _composed(value: Any) -> Any:
    value.meta["composed"] = True
    return value


def zone_of(dtype: dt.DataType) -> str | None:
    """The zone of a column of times, where its clocks do not show UTC."""
    zone = dtype.timezone if dtype.is_timestamp() else None
    return None if zone in {None, "UTC"} else zone


def _literal(value: Any) -> Any:
    """The value of a literal; ``None`` where it is computed."""
    return value.value if isinstance(value, ops.Literal) else None
