"""The point-in-time join as Spark SQL: spine and view in one stream per key, ordered by time; the last known row wins.

Every row is shuffled and sorted once, however many view rows match a spine row: there is no join by inequality, which
would multiply them first. All rows of one key are sorted in one task, which spills to its disk. Spine rows without a
key or time match nothing: they are spread over all tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from ml_assets.lib.core.names import EVENT_TIMESTAMP
from ml_assets.lib.engines.point_in_time import ROW
from ml_assets.lib.engines.protocol import ViewJoin
from ml_assets.lib.engines.spark_sql import quoted

_SIDE: Final = f"{ROW}_side"
_SPREAD: Final = f"{ROW}_spread"
_KNOWN: Final = f"{ROW}_known"
_THEN: Final = f"{ROW}_then"


def join_sql(spine: str, columns: Sequence[str], view: ViewJoin, known: str) -> str:
    """The query that adds the values of one view to a spine.

    The view's row travels as one struct, so that its nulls are not filled from an older row. The struct begins with
    time, the moment of creation and the values: among rows of equal time the greatest one comes last and wins, null
    being the least. Only the newest row can be within the ttl, so the ttl is asked after the match.

    Args:
        spine: Name of a relation with *columns*: the spine, or what an earlier join made of it.
        columns: Its columns, in order; *view*'s values are added behind them.
        view: How it is joined; it has values.
        known: Name of the relation with the view's rows.
    """
    shared = (EVENT_TIMESTAMP, *view.keys)
    complete = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in shared)
    created = (view.created,) if view.created else ()
    fields = dict.fromkeys((EVENT_TIMESTAMP, *created, *view.values))
    own = _list(columns)
    theirs = ", ".join(quoted(name) if name in shared else f"NULL AS {quoted(name)}" for name in columns)
    found = ", ".join(f"{_in_time(view)}.{quoted(name)} AS {quoted(name)}" for name in view.values)
    return f"""
        SELECT {own}, {found} FROM (
            SELECT *, last_value({_KNOWN}, true) OVER (
                PARTITION BY {_list(view.keys, _SPREAD)} ORDER BY {_list([EVENT_TIMESTAMP], _SIDE, _KNOWN)}
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ) AS {_THEN}
            FROM (
                SELECT {own}, 1 AS {_SIDE}, IF({complete}, NULL, xxhash64({own})) AS {_SPREAD}, NULL AS {_KNOWN}
                FROM {spine}
                UNION ALL
                SELECT {theirs}, 0 AS {_SIDE}, NULL AS {_SPREAD}, struct({_list(fields)}) AS {_KNOWN}
                FROM {known} WHERE {complete}
            )
        ) WHERE {_SIDE} = 1"""


def _list(names: Sequence[str] | dict[str, None], *more: str) -> str:
    return ", ".join([*map(quoted, names), *more])


def _in_time(view: ViewJoin) -> str:
    """The struct of the last known row, or null where that is too old."""
    if not view.ttl:
        return _THEN
    ts = quoted(EVENT_TIMESTAMP)
    age = f"unix_micros({ts}) - unix_micros({_THEN}.{ts})"
    return f"IF({age} <= {view.ttl // timedelta(microseconds=1)}, {_THEN}, NULL)"
