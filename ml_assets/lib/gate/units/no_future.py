"""No feature knows the future, shown by construction: falsify it, and nothing that was asked before may move.

Every fact that becomes known after a moment is replaced by a wrong one or never becomes known, the views are computed
anew from that, and the rows asked shortly before the moment are joined again. A row that differs used a fact that
nobody knew at its cutoff.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.names import EVENT_TIMESTAMP, Unit
from ml_assets.lib.core.publication import CheckResult
from ml_assets.lib.core.refs import Commit
from ml_assets.lib.declare.checks import NO_FUTURE
from ml_assets.lib.declare.plain import EXAMPLES, plain_rows
from ml_assets.lib.engines.protocol import ViewJoin

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ml_assets.lib.engines.protocol import Session
    from ml_assets.lib.gate.units.frames import FrameBuilder

_WINDOW: Final = timedelta(days=2)
"""Rows asked this long before the moment are looked at: those that a leak would reach first."""
_WRONG_BY: Final = 997
_WRONG_BY_S: Final = 3 * 86_400 + 7 * 3_600 + 13 * 60 + 17
"""So that every part of a time is wrong: day, hour, minute and second."""


def no_future(builder: FrameBuilder, session: Session, frame: ir.Table, pin: Commit) -> CheckResult:
    """The check of *frame*, whose inputs are read at *pin*; the moment is the median cutoff. An empty frame passes."""
    import ibis

    middle = frame.order_by(EVENT_TIMESTAMP).limit(1, offset=int(frame.count().execute()) // 2)
    rows = middle.select(EVENT_TIMESTAMP).to_pyarrow().to_pylist()
    if not rows:
        return CheckResult(check=NO_FUTURE.name, passed=True, figures={"rows": 0})
    moment: datetime = rows[0][EVENT_TIMESTAMP]
    cutoff = frame[EVENT_TIMESTAMP]
    asked = session.persist(frame.filter((cutoff <= ibis.literal(moment)) & (cutoff > ibis.literal(moment - _WINDOW))))
    spine = asked.drop(*builder.values)
    again = builder.joined(session, spine, _views(builder, session, pin, moment))
    if builder.frame.allow_stale:  # the views may be older than the sources: both sides are computed from these
        asked = builder.joined(session, spine, _views(builder, session, pin, None))
    moved = session.persist(again.difference(asked.select(*again.columns), distinct=False))
    count = int(moved.count().execute())
    return CheckResult(
        check=NO_FUTURE.name,
        passed=count == 0,
        rows_failed=count,
        counts={"features moved by facts of the future": count} if count else {},
        examples=tuple(plain_rows(moved, EXAMPLES)),
        figures={"moment": moment.isoformat(), "rows": int(asked.count().execute())},
    )


def _views(builder: FrameBuilder, session: Session, pin: Commit, moment: datetime | None) -> list[ViewJoin]:
    """The views of the frame, computed from sources that are falsified after *moment*, or true ones without it."""
    declarations, joins = builder.systems.declarations, []
    for ref in declarations.feature_versions[builder.feature_version]:
        view = declarations.view(ref)
        sources = {name: _falsified(builder, session, name, pin, moment) for name in view.parameters}
        table = session.persist(session.bind(declarations.expression(view), sources))
        values = declarations.view_values(ref)
        joins.append(ViewJoin(name=ref.name, table=table, keys=view.keys.keys, ttl=view.ttl, values=values))
    return joins


def _falsified(builder: FrameBuilder, session: Session, name: str, pin: Commit, moment: datetime | None) -> ir.Table:
    """The source *name* at *pin*, with every fact that becomes known after *moment* (if one is given) made wrong."""
    import ibis

    known_at = builder.systems.declarations.sources[name].known_at
    table = session.read(Unit("sources", name).table, pin)
    if moment is None:
        return table
    late = {when: table[when] > ibis.literal(moment) for when in known_at.values()}
    never = {when: late[when] & (table[when].epoch_seconds() // 60 % 2 == 0) for when in known_at.values()}
    columns = {**{when: when for when in known_at.values()}, **known_at}
    wrong = {
        column: ibis.cases(
            (never[when], ibis.null(table[column].type())),
            (late[when], _wrong(table[column])),
            else_=table[column],
        )
        for column, when in columns.items()
    }
    return table.mutate(**wrong) if wrong else table


def _wrong(column: ir.Value) -> ir.Value:
    """Another value than *column*'s, of the same type, still in the future where it is a time."""
    import ibis
    import ibis.expr.datatypes as dt

    kind = column.type()
    if isinstance(kind, dt.Timestamp):
        return column + ibis.interval(seconds=_WRONG_BY_S)
    if isinstance(kind, dt.Boolean):
        return ~column
    if isinstance(kind, dt.Numeric):
        return (column.fill_null(0) + _WRONG_BY).cast(kind)
    return column.fill_null("") + ibis.literal("?")
