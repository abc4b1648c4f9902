"""Which rows of a frame the leakage check looks at, and at which moments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ml_assets.lib.core.names import EVENT_TIMESTAMP

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ml_assets.lib.engines.protocol import Session

ROWS: Final = 1_000
"""Rows that are compared at a moment: so many of the last that were asked by then, and so many of the earlier ones."""


def moments(
    session: Session, frame: ir.Table, key: str, entities: Sequence[tuple[str, ...]], wanted: int
) -> list[datetime]:
    """The first and the last cutoff and quantiles between, *wanted* in all; half as many where a leak is nearest.

    Those are the cutoffs after which an entity is asked about again soonest: what looks a little ahead is seen there.

    Args:
        session: Where *frame* is.
        frame: The rows.
        key: The column that identifies a row.
        entities: Keys of the feature views.
        wanted: How many.
    """
    cutoffs = session.persist(frame.select(EVENT_TIMESTAMP).distinct())
    count = int(cutoffs.count().to_pyarrow().as_py())
    few = min(wanted, count)
    places = sorted({round(number * (count - 1) / max(few - 1, 1)) for number in range(few)})
    ordered = cutoffs.order_by(EVENT_TIMESTAMP)
    rows = [ordered.limit(1, offset=place).to_pyarrow().to_pylist()[0] for place in places]
    told = [keys for keys in entities if keys and keys != (key,)]
    for keys in told:
        rows += _soonest(frame, key, keys, max(1, wanted // 2 // len(told)))
    return sorted({row[EVENT_TIMESTAMP] for row in rows})


def _soonest(frame: ir.Table, key: str, keys: tuple[str, ...], most: int) -> list[dict[str, Any]]:
    """The cutoffs after which the same entity is asked about again soonest."""
    import ibis

    now = frame[EVENT_TIMESTAMP]
    later = now.lead().over(ibis.window(group_by=keys, order_by=[EVENT_TIMESTAMP, key]))
    gaps = frame.select(EVENT_TIMESTAMP, key, __gap=later.epoch_seconds() - now.epoch_seconds())
    near = gaps.filter(gaps["__gap"] > 0).order_by(["__gap", EVENT_TIMESTAMP, key]).limit(most)
    found: list[dict[str, Any]] = near.select(EVENT_TIMESTAMP).to_pyarrow().to_pylist()
    return found


def asked(frame: ir.Table, key: str, moment: datetime) -> ir.Table:
    """Rows asked by *moment*: the last ones, which a leak would reach first, and a sample of the others."""
    import ibis

    known = frame.filter(frame[EVENT_TIMESTAMP] <= ibis.literal(moment))
    last = known.order_by([ibis.desc(EVENT_TIMESTAMP), key]).limit(ROWS)
    earlier = known.anti_join(last, key)
    return ibis.union(last, earlier.order_by(_mixed(earlier, key)).limit(ROWS))


def one_half(rows: ir.Table, key: str, count: int, *, first: bool) -> ir.Table:
    """About half of *rows*, of which there are *count*, chosen as if by chance: the *first* half or the other."""
    import ibis

    order = _mixed(rows, key)
    return rows.order_by(order if first else [ibis.desc(by) for by in order]).limit(max(1, count // 2))


def digits(column: ir.Value) -> Any:
    """Eight digits that follow from a value as if by chance; ``None`` for a type without one spelling."""
    kind = column.type()
    if not (kind.is_string() or kind.is_integer() or kind.is_date()):
        return None
    return column.cast("string").hexdigest("md5").substr(0, 8)


def _mixed(rows: ir.Table, key: str) -> list[Any]:
    """An order that has nothing to do with the rows, and is always the same."""
    chosen = digits(rows[key])
    return [rows[key]] if chosen is None else [chosen, rows[key]]
