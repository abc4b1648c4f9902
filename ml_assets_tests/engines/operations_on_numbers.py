"""The table of operations: whole numbers, floats and flags."""

# ruff: noqa: PLW0108 (the arguments of each lambda name the columns that it reads)

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import ibis
import ibis.expr.types as ir

from ml_assets_tests.engines.operation_rows import INF, NAN, Case, Row, and_, defined, known, raw, whole


def _quotient(a: float, b: float) -> float:
    """As IEEE 754 divides."""
    if b == 0:
        return NAN if a == 0 or math.isnan(a) else math.copysign(INF, a) * math.copysign(1, b)
    return a / b


def _modulo(x: float, y: float) -> float:
    if y == 0 or math.isinf(x):
        return NAN
    return x % y


def _away(x: float) -> float:
    """Rounded to a whole number, halves away from zero."""
    return math.copysign(math.floor(abs(x) + 0.5) if abs(x) < 2**52 else abs(x), x) if math.isfinite(x) else x


def _order(x: float) -> tuple[bool, float]:
    """NaN is one value, greater than every other."""
    return (True, 0.0) if math.isnan(x) else (False, x)


def _equal(x: float, y: float) -> bool:
    return _order(x) == _order(y)


def _rounded(of: Callable[[ir.Table], Any], python: Callable[..., float]) -> Case:
    """A function of the C library, to six decimal places."""

    def value(row: Row) -> float | None:
        found: float | None = defined(lambda: known(python)(row))
        return found if found is None or not math.isfinite(found) else _away(found * 1e6) / 1e6

    return Case("reals", lambda t: of(t).round(6), value)


WHOLE: Final = {
    "int64 +": Case("ints", lambda t: t.a + t.b, known(lambda a, b: whole(a + b))),
    "int64 -": Case("ints", lambda t: t.a - t.b, known(lambda a, b: whole(a - b))),
    "int64 *": Case("ints", lambda t: t.a * t.b, known(lambda a, b: whole(a * b))),
    "int64 //": Case("ints", lambda t: t.a // t.b, known(lambda a, b: whole(defined(lambda: a // b)))),
    "int64 %": Case("ints", lambda t: t.a % t.b, known(lambda a, b: a % b if b else None)),
    "int64 /": Case("ints", lambda t: t.a / t.b, known(lambda a, b: _quotient(float(a), float(b)))),
    "int64 // literal": Case("ints", lambda t: t.a // 1, known(lambda a: a)),
    "int64 // -3": Case("ints", lambda t: t.a // -3, known(lambda a: a // -3)),
    "int64 % -3": Case("ints", lambda t: t.a % -3, known(lambda a: a % -3)),
    "int64 neg": Case("ints", lambda t: -t.a, known(lambda a: whole(-a))),
    "int64 abs": Case("ints", lambda t: t.a.abs(), known(lambda a: whole(abs(a)))),
    "int64 sign": Case("ints", lambda t: t.a.sign().cast("int64"), known(lambda a: (a > 0) - (a < 0))),
    "int64 <": Case("ints", lambda t: t.a < t.b, known(lambda a, b: a < b)),
    "int64 &": Case("ints", lambda t: t.a & t.b, known(lambda a, b: a & b)),
    "int64 |": Case("ints", lambda t: t.a | t.b, known(lambda a, b: a | b)),
    "int64 ^": Case("ints", lambda t: t.a ^ t.b, known(lambda a, b: a ^ b)),
    "int64 ~": Case("ints", lambda t: ~t.a, known(lambda a: ~a)),
    "int64 to real": Case("ints", lambda t: t.a.cast("float64"), known(lambda a: float(a))),
    "int64 to int32": Case("ints", lambda t: t.a.cast("int32"), known(lambda a: whole(a, 32))),
    "int64 to int8": Case("ints", lambda t: t.a.cast("int8").cast("int64"), known(lambda a: whole(a, 8))),
    "int64 to flag": Case("ints", lambda t: t.a.cast("boolean"), known(lambda a: bool(a))),
    "int64 to text": Case("ints", lambda t: t.a.cast("string"), known(lambda a: str(a))),
    "int64 sqrt": Case("ints", lambda t: t.a.abs().sqrt(), known(lambda a: math.sqrt(float(whole(abs(a)))))),
    "int64 floor": Case("ints", lambda t: t.a.floor(), known(lambda a: a)),
    "int64 ceil": Case("ints", lambda t: t.a.ceil(), known(lambda a: a)),
    "int64 round": Case("ints", lambda t: t.a.round(), known(lambda a: a)),
    "int64 + real": Case("ints", lambda t: t.a + 0.5, known(lambda a: float(a) + 0.5)),
    "int64 clip": Case("ints", lambda t: t.a.clip(-2, 3), known(lambda a: min(max(a, -2), 3))),
    "int64 greatest": Case(
        "ints",
        lambda t: ibis.greatest(t.a, t.b),
        raw(lambda a, b: max((v for v in (a, b) if v is not None), default=None)),
    ),
    "int64 least": Case(
        "ints",
        lambda t: ibis.least(t.a, t.b),
        raw(lambda a, b: min((v for v in (a, b) if v is not None), default=None)),
    ),
    "int64 between": Case(
        "ints",
        lambda t: t.a.between(t.b, 3),
        raw(lambda a, b: and_(None if a is None or b is None else a >= b, None if a is None else a <= 3)),
    ),
    "int64 isin": Case("ints", lambda t: t.a.isin([1, 2**53 + 1]), known(lambda a: a in (1, 2**53 + 1))),
    "int64 isin null": Case("ints", lambda t: t.a.isin([1, None]), known(lambda a: True if a == 1 else None)),
    "int64 notin null": Case("ints", lambda t: t.a.notin([1, None]), known(lambda a: False if a == 1 else None)),
    "int64 nullif": Case("ints", lambda t: t.a.nullif(t.b), raw(lambda a, b: None if a == b else a)),
    "int64 coalesce": Case(
        "ints",
        lambda t: ibis.coalesce(t.a, t.b, 5),
        raw(lambda a, b: a if a is not None else b if b is not None else 5),
    ),
    "int64 same": Case("ints", lambda t: t.a.identical_to(t.b), raw(lambda a, b: a == b)),
    "int64 cases": Case(
        "ints",
        lambda t: t.a.cases((1, "one"), (2, "two"), else_="more"),
        raw(lambda a: {1: "one", 2: "two"}.get(a, "more")),
    ),
    "int64 ifelse": Case(
        "ints",
        lambda t: (t.a > t.b).ifelse(1, 0),
        raw(lambda a, b: 1 if a is not None and b is not None and a > b else 0),
    ),
    "int32 +": Case("narrow", lambda t: t.a + t.b, known(lambda a, b: a + b)),
    "int32 -": Case("narrow", lambda t: t.a - t.b, known(lambda a, b: a - b)),
    "int32 *": Case("narrow", lambda t: t.a * t.b, known(lambda a, b: a * b)),
    "int32 + literal": Case("narrow", lambda t: t.a + 1, known(lambda a: a + 1)),
    "int32 * literal": Case("narrow", lambda t: t.a * 1000, known(lambda a: a * 1000)),
    "int32 //": Case("narrow", lambda t: t.a // t.b, known(lambda a, b: whole(defined(lambda: a // b)))),
    "int32 %": Case("narrow", lambda t: t.a % t.b, known(lambda a, b: a % b if b else None)),
    "int32 /": Case("narrow", lambda t: t.a / t.b, known(lambda a, b: _quotient(float(a), float(b)))),
    "int32 neg": Case("narrow", lambda t: -t.a, known(lambda a: whole(-a, 32))),
    "int32 abs": Case("narrow", lambda t: t.a.abs(), known(lambda a: whole(abs(a), 32))),
    "int16 *": Case(
        "narrow",
        lambda t: (t.a.clip(-200, 200).cast("int16") * t.b.clip(-200, 200).cast("int16")).cast("int64"),
        known(lambda a, b: min(max(a, -200), 200) * min(max(b, -200), 200)),
    ),
    "int8 +": Case(
        "narrow",
        lambda t: (t.a.clip(-100, 100).cast("int8") + t.b.clip(-100, 100).cast("int8")).cast("int64"),
        known(lambda a, b: min(max(a, -100), 100) + min(max(b, -100), 100)),
    ),
    "literals +": Case("narrow", lambda t: ibis.literal(100) + ibis.literal(100), lambda row: 200),
}

REAL: Final = {
    "real +": Case("reals", lambda t: t.x + t.y, known(lambda x, y: x + y)),
    "real -": Case("reals", lambda t: t.x - t.y, known(lambda x, y: x - y)),
    "real *": Case("reals", lambda t: t.x * t.y, known(lambda x, y: x * y)),
    "real /": Case("reals", lambda t: t.x / t.y, known(lambda x, y: _quotient(x, y))),
    "real %": Case("reals", lambda t: t.x % t.y, known(lambda x, y: _modulo(x, y))),
    "real //": Case("reals", lambda t: t.x // t.y, known(lambda x, y: whole(defined(lambda: x // y)))),
    "real // 0.1": Case(
        "reals",
        lambda t: t.x.clip(-5, 5) // 0.1,
        known(lambda x: 49 if math.isnan(x) else int(min(max(x, -5.0), 5.0) // 0.1)),
    ),
    "real neg": Case("reals", lambda t: -t.x, known(lambda x: -x)),
    "real abs": Case("reals", lambda t: t.x.abs(), known(lambda x: abs(x))),
    "real sign": Case("reals", lambda t: t.x.sign(), known(lambda x: x if math.isnan(x) else float((x > 0) - (x < 0)))),
    "real floor": Case(
        "reals",
        lambda t: t.x.floor(),
        known(lambda x: whole(defined(lambda: math.floor(x)) if math.isfinite(x) else x)),
    ),
    "real ceil": Case(
        "reals", lambda t: t.x.ceil(), known(lambda x: whole(defined(lambda: math.ceil(x)) if math.isfinite(x) else x))
    ),
    "real round": Case("reals", lambda t: t.x.round(), known(lambda x: whole(_away(x)))),
    "real round 2": Case(
        "reals", lambda t: t.x.round(2), known(lambda x: _away(x * 100) / 100 if math.isfinite(x * 100) else x)
    ),
    "real round -1": Case(
        "reals",
        lambda t: (t.x * 10).round(-1),
        known(lambda x: _away(x * 10 / 10) * 10 if math.isfinite(_away(x * 10 / 10) * 10) else x * 10),
    ),
    "real to int64": Case(
        "reals", lambda t: t.x.cast("int64"), known(lambda x: whole(round(x) if math.isfinite(x) else x))
    ),
    "real to int32": Case(
        "reals", lambda t: t.x.cast("int32"), known(lambda x: whole(round(x) if math.isfinite(x) else x, 32))
    ),
    "real to flag": Case("reals", lambda t: t.x.cast("boolean"), known(lambda x: bool(x))),
    "real sqrt": Case("reals", lambda t: t.x.abs().sqrt(), known(lambda x: math.sqrt(abs(x)))),
    "real isnan": Case("reals", lambda t: t.x.isnan(), known(lambda x: math.isnan(x))),
    "real isinf": Case("reals", lambda t: t.x.isinf(), known(lambda x: math.isinf(x))),
    "real isnull": Case("reals", lambda t: t.x.isnull(), raw(lambda x: x is None)),
    "real ==": Case("reals", lambda t: t.x == t.y, known(lambda x, y: _equal(x, y))),
    "real !=": Case("reals", lambda t: t.x != t.y, known(lambda x, y: not _equal(x, y))),
    "real <": Case("reals", lambda t: t.x < t.y, known(lambda x, y: _order(x) < _order(y))),
    "real <=": Case("reals", lambda t: t.x <= t.y, known(lambda x, y: _order(x) <= _order(y))),
    "real > literal": Case("reals", lambda t: t.x > 1, known(lambda x: _order(x) > (False, 1.0))),
    "real == NaN": Case("reals", lambda t: t.x == NAN, known(lambda x: math.isnan(x))),
    "real between": Case("reals", lambda t: t.x.between(-1, 1), known(lambda x: -1 <= x <= 1)),
    "real isin": Case("reals", lambda t: t.x.isin([0.0, 2.5, NAN]), known(lambda x: x in (0.0, 2.5) or math.isnan(x))),
    "real greatest": Case(
        "reals",
        lambda t: ibis.greatest(t.x, t.y),
        raw(lambda x, y: max((v for v in (x, y) if v is not None), key=_order, default=None)),
    ),
    "real least": Case(
        "reals",
        lambda t: ibis.least(t.x, t.y),
        raw(lambda x, y: min((v for v in (x, y) if v is not None), key=_order, default=None)),
    ),
    "real nullif": Case(
        "reals",
        lambda t: t.x.nullif(t.y),
        raw(lambda x, y: None if x is None or (y is not None and _equal(x, y)) else x),
    ),
    "real clip": Case(
        "reals", lambda t: t.x.clip(0, 1), known(lambda x: 1.0 if math.isnan(x) else min(max(x, 0.0), 1.0))
    ),
    "real fill": Case("reals", lambda t: t.x.fill_null(-1.0), raw(lambda x: -1.0 if x is None else x)),
    "real bucket": Case(
        "reals",
        lambda t: t.x.bucket([0, 1, 2]),
        known(lambda x: next((i for i in (0, 1) if i <= x < i + 1), 1 if x == 2 else None)),
    ),
    "real ln": _rounded(lambda t: t.x.ln(), lambda x: math.log(x)),
    "real log2": _rounded(lambda t: t.x.log2(), lambda x: math.log2(x)),
    "real log10": _rounded(lambda t: t.x.log10(), lambda x: math.log10(x)),
    "real log 3": _rounded(lambda t: t.x.log(3), lambda x: math.log(x) / math.log(3)),
    "real sqrt of any": Case(
        "reals", lambda t: t.x.sqrt(), known(lambda x: x if x == 0 else defined(lambda: math.sqrt(x)))
    ),
    "real sin": _rounded(lambda t: t.x.sin(), lambda x: math.sin(x)),
    "real cos": _rounded(lambda t: t.x.cos(), lambda x: math.cos(x)),
    "real atan": _rounded(lambda t: t.x.atan(), lambda x: math.atan(x)),
    "real atan2": _rounded(lambda t: t.x.atan2(t.y), lambda x, y: math.atan2(x + 0.0, y + 0.0)),
    "real same": Case(
        "reals", lambda t: t.x.identical_to(t.y), raw(lambda x, y: x is y if x is None or y is None else _equal(x, y))
    ),
}

FLAG: Final = {
    "flag and": Case("flags", lambda t: t.p & t.q, raw(and_)),
    "flag or": Case(
        "flags", lambda t: t.p | t.q, raw(lambda p, q: True if p or q else None if p is None or q is None else False)
    ),
    "flag xor": Case("flags", lambda t: t.p ^ t.q, known(lambda p, q: p != q)),
    "flag not": Case("flags", lambda t: ~t.p, known(lambda p: not p)),
    "flag ==": Case("flags", lambda t: t.p == t.q, known(lambda p, q: p == q)),
    "flag to int32": Case("flags", lambda t: t.p.cast("int32"), known(lambda p: int(p))),
    "flag to real": Case("flags", lambda t: t.p.cast("float64"), known(lambda p: float(p))),
    "flag to text": Case("flags", lambda t: t.p.cast("string"), known(lambda p: str(p).lower())),
    "flag fill": Case("flags", lambda t: t.p.fill_null(False), raw(lambda p: bool(p))),
    "flag cases": Case(
        "flags", lambda t: ibis.cases((t.p, 1), (t.q, 2), else_=3), raw(lambda p, q: 1 if p else 2 if q else 3)
    ),
    "flag cases without else": Case(
        "flags", lambda t: ibis.cases((t.p, 1), (t.q, 2)), raw(lambda p, q: 1 if p else 2 if q else None)
    ),
}
