"""What a point-in-time join asks of its inputs, the same for every engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.errors import EngineError
from ml_assets.lib.core.names import EVENT_TIMESTAMP
from ml_assets.lib.engines.protocol import ViewJoin

if TYPE_CHECKING:  # heavy, and only named in signatures
    import ibis.expr.types as ir

ROW: Final = "__spine_row"
"""Column that numbers the spine's rows while they are joined."""


def check(spine: ir.Table, views: Sequence[ViewJoin]) -> None:
    """Refuse a join whose result would be ambiguous or that an engine would answer with a cryptic error.

    Raises:
        EngineError: A column is missing, is there twice (case does not count), keys differ in type, a ttl is negative.
    """
    _check_columns("the spine", spine, {EVENT_TIMESTAMP, *(key for view in views for key in view.keys)})
    for view in views:
        created = {view.created} if view.created else set()
        _check_columns(f"view {view.name}", view.table, {EVENT_TIMESTAMP, *view.keys, *view.values, *created})
        _check_keys(spine, view)
        if view.ttl is not None and view.ttl < timedelta(0):
            raise EngineError(f"view {view.name} has a negative ttl", remedy="give a positive one, or None for any age")
    names = Counter(name.lower() for name in (ROW, *spine.columns, *(name for view in views for name in view.values)))
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice:
        raise EngineError(
            f"spine and views give more than one column {', '.join(twice)}",
            remedy="rename or leave out all but one of each",
        )


def _check_columns(where: str, table: ir.Table, wanted: set[str]) -> None:
    missing = sorted(wanted - set(table.columns))
    if missing:
        raise EngineError(f"{where} has no column {', '.join(missing)}", remedy=f"it has {', '.join(table.columns)}")
    if not table.schema()[EVENT_TIMESTAMP].is_timestamp():
        raise EngineError(
            f"{EVENT_TIMESTAMP} of {where} is {table.schema()[EVENT_TIMESTAMP]}", remedy="make it a timestamp in UTC"
        )


def _check_keys(spine: ir.Table, view: ViewJoin) -> None:
    for key in view.keys:
        ours, theirs = spine.schema()[key], view.table.schema()[key]
        alike = (ours.is_integer() and theirs.is_integer()) or ours.copy(nullable=True) == theirs.copy(nullable=True)
        if not alike:
            raise EngineError(
                f"key {key} is {ours} in the spine and {theirs} in view {view.name}",
                remedy="cast one to the other's type",
            )
