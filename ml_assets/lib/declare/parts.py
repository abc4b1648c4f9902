"""Two ways to divide rows into parts: by a hash, which never moves a row as the data grows, and by time."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ml_assets.lib.core.errors import DeclarationError
from ml_assets.lib.declare.where import user

if TYPE_CHECKING:
    import ibis.expr.types as ir

_HASHES: Final = 2**32
"""Values that eight hexadecimal digits can have."""

_ABOVE_ALL: Final = "g"
"""Greater, as text, than any hexadecimal digits."""


def by_hash(text: ir.StringColumn, *, salt: str, train: float, val: float) -> ir.StringColumn:
    """``train``, ``val`` or ``test`` by the first eight hexadecimal digits of md5(``salt|text``).

    Digits are compared as text with the shares written in hexadecimal, so that no engine converts anything. Shares and
    label rates come out even only by the law of large numbers; rules of the split must bound them.

    A null belongs to no part. In a declaration a *text* that may be null is refused by `check`; on a table that holds
    rows the part of a null is null.

    Args:
        text: What rows are kept together by.
        salt: Names the division: another salt divides independently.
        train: Share of ``train``, of all values of *text*.
        val: Share of ``val``; ``test`` gets the rest, which is nothing if the shares add up to 1.

    Raises:
        DeclarationError: A share is not between 0 and 1, they are more than 1 together, or *text* is no text.
    """
    import ibis
    import ibis.expr.types as ir

    where = user()
    if not isinstance(text, ir.StringValue):
        raise DeclarationError(
            f"{where}: by_hash is given {_kind(text)}, which is no text", remedy="give a text; .cast('string') converts"
        )
    if not isinstance(salt, str):
        raise DeclarationError(f"{where}: by_hash has salt {salt!r}, which is no text", remedy="give a text")
    _require_shares(where, train, val)
    digits = (ibis.literal(f"{salt}|") + text).hexdigest("md5").substr(0, 8)
    first, second = (_bound(share) for share in (train, train + val))
    return _divided(text, (digits < first, digits < second))


def by_time(moment: ir.TimestampColumn, *, val: datetime, test: datetime) -> ir.StringColumn:
    """``train`` before *val*, ``val`` from there on, ``test`` from *test* on.

    A row without a moment belongs to no part. In a declaration a *moment* that may be null is refused by `check`; on a
    table that holds rows the part of a null is null.

    Raises:
        DeclarationError: A cut has no time zone, *test* comes before *val*, or *moment* is no time.
    """
    import ibis
    import ibis.expr.types as ir

    where = user()
    if not isinstance(moment, ir.TimestampValue):
        raise DeclarationError(
            f"{where}: by_time is given {_kind(moment)}, which is no time", remedy="give a column of type Timestamp"
        )
    cuts: tuple[tuple[str, object], ...] = (("val", val), ("test", test))
    for name, cut in cuts:
        if not isinstance(cut, datetime) or cut.utcoffset() is None:
            raise DeclarationError(
                f"{where}: by_time has {name}={cut!r}, which is no time with a zone",
                remedy="give a datetime with a zone, UTC or ZoneInfo('…'), so that it means one moment everywhere",
            )
    if test < val:
        raise DeclarationError(
            f"{where}: by_time has test={test} before val={val}", remedy="give the moments in order: val, then test"
        )
    first, second = (ibis.timestamp(cut.astimezone(UTC).isoformat()) for cut in (val, test))
    return _divided(moment, (moment < first, moment < second))


def _divided(value: ir.Column, conditions: tuple[ir.BooleanValue, ir.BooleanValue]) -> ir.StringColumn:
    """``train`` where the first condition holds, ``val`` where the second does, else ``test``; null where *value* is.

    Of a declaration's tables `check` knows which columns may be null, so that nothing needs to be said of nulls there.
    """
    import ibis
    import ibis.expr.operations as ops

    branches: list[tuple[Any, Any]] = [(conditions[0], "train"), (conditions[1], "val")]
    tables = value.op().find(ops.PhysicalTable)
    if not all(isinstance(table, ops.UnboundTable) for table in tables):
        branches.insert(0, (value.isnull(), ibis.null("string")))
    divided: ir.StringColumn = ibis.cases(*branches, else_="test")
    return divided


def _require_shares(where: str, train: float, val: float) -> None:
    shares: tuple[tuple[str, object], ...] = (("train", train), ("val", val))
    for name, share in shares:
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise DeclarationError(
                f"{where}: by_hash has {name}={share!r}, which is no share", remedy="give a number between 0 and 1"
            )
    if train + val > 1 and not math.isclose(train + val, 1):
        raise DeclarationError(
            f"{where}: by_hash has train={train} and val={val}, which are more than all rows",
            remedy="let them add up to 1 at most; test gets the rest",
        )


def _bound(share: float) -> str:
    """What the digits of this share of all hashes lie below: 1, also if it is a sum of rounded shares, means all."""
    if share > 1 or math.isclose(share, 1):
        return _ABOVE_ALL
    return f"{int(share * _HASHES):08x}"


def _kind(value: object) -> str:
    return f"a value of type {value.type()}" if hasattr(value, "type") else repr(value)
