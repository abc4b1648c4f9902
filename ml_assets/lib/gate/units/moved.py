"""Columns of a frame that differ between two worlds, with the rows that a person must see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.names import EVENT_TIMESTAMP
from ml_assets.lib.core.recipe import Json
from ml_assets.lib.declare.plain import EXAMPLES, plain

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ml_assets.lib.gate.units.worlds import Fact, World

ROWS: Final = 2_000
"""Most rows of a column that are told apart by their keys."""

_IN_FRAME: Final = "in the frame"
_AGAIN: Final = "without the future"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A column of some rows that differs in another world.

    Attributes:
        column: The column.
        keys: Keys of the rows, as text.
        examples: Some of them, with both values.
    """

    column: str
    keys: frozenset[str]
    examples: Sequence[Mapping[str, Json]]

    def by(self, facts: Sequence[Fact]) -> Moved:
        """The same, said to be moved by *facts*."""
        told = "; ".join(map(str, facts))
        return replace(self, examples=[{**example, "moved by": told} for example in self.examples])


def differences(
    true: ir.Table, again: ir.Table, columns: Sequence[str], *, key: str, world: World, moment: datetime
) -> list[Moved]:
    """The *columns* of which some rows differ between *true* and *again*; rows of which one of them lacks do not count.

    Args:
        true: Rows as they are, with *key* and ``event_timestamp``.
        again: The same rows in *world*.
        columns: What is compared.
        key: The column that identifies a row.
        world: For the examples.
        moment: For the examples.
    """
    if not columns:
        return []
    was = {f"__{i}": true[column] for i, column in enumerate(columns)}
    before = true.select(EVENT_TIMESTAMP, __key=true[key], **was)
    after = again.select(key, *columns)
    pairs = before.join(after, [before["__key"] == after[key]])
    differs = [~pairs[column].identical_to(pairs[f"__{i}"]) for i, column in enumerate(columns)]
    (counts,) = pairs.aggregate(**{f"n{i}": one.sum() for i, one in enumerate(differs)}).to_pyarrow().to_pylist()
    found = []
    for i, column in enumerate(columns):
        if not counts[f"n{i}"]:
            continue
        both = {key: pairs["__key"], _IN_FRAME: pairs[f"__{i}"], _AGAIN: pairs[column]}
        rows = pairs.filter(differs[i]).select(EVENT_TIMESTAMP, **both).order_by([EVENT_TIMESTAMP, key]).limit(ROWS)
        seen = rows.to_pyarrow().to_pylist()
        examples = [
            {
                key: plain(row[key]),
                EVENT_TIMESTAMP: plain(row[EVENT_TIMESTAMP]),
                "feature": column,
                _IN_FRAME: plain(row[_IN_FRAME]),
                _AGAIN: plain(row[_AGAIN]),
                "moment": moment.isoformat(),
                "world": str(world),
            }
            for row in seen[:EXAMPLES]
        ]
        found.append(Moved(column=column, keys=frozenset(str(row[key]) for row in seen), examples=examples))
    return found
