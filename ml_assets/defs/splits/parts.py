"""Two ways to divide: by a hash, which never moves a row as the data grows, and by time."""

from __future__ import annotations

from datetime import UTC, datetime

import ibis
import ibis.expr.types as ir


def by_hash(text: ir.StringColumn, *, salt: str, train: float, val: float) -> ir.StringColumn:
    """``train``, ``val`` or ``test`` by the first eight hexadecimal digits of md5(``salt|text``).

    Digits are compared as text with the shares written in hexadecimal, so that no engine converts anything. Shares and
    label rates come out even only by the law of large numbers; rules of the split must bound them.

    Args:
        text: What rows are kept together by.
        salt: Names the division: another salt divides independently.
        train: Share of ``train``, of all values of *text*.
        val: Share of ``val``; ``test`` gets the rest.
    """
    digits = (ibis.literal(f"{salt}|") + text).hexdigest("md5").substr(0, 8)
    first, second = (f"{int(share * 2**32):08x}" for share in (train, train + val))
    return ibis.cases((digits < first, "train"), (digits < second, "val"), else_="test")


def by_time(moment: ir.TimestampColumn, *, val: datetime, test: datetime) -> ir.StringColumn:
    """``train`` before *val*, ``val`` from there on, ``test`` from *test* on."""
    first, second = (ibis.timestamp(cut.astimezone(UTC).isoformat()) for cut in (val, test))
    return ibis.cases((moment < first, "train"), (moment < second, "val"), else_="test")
