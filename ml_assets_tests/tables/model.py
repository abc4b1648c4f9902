"""What the tables of a lake hold, in dicts: a ref is a dict of contents, each of which knows what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ml_assets.lib.core.refs import Branch, Commit

T = TypeVar("T")

Row = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, eq=False)
class Content:
    """What a table holds. Two that were made apart are two, even if they hold the same.

    Attributes:
        columns: Its columns.
        rows: Its rows, each as pairs of column and value.
        before: What it was made from; ``None`` for a table that was made anew.
        appended: The rows that an append added to that; ``None`` for any other change.
        replayed: The appends of another branch that this one repeats.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    before: Content | None = None
    appended: tuple[Row, ...] | None = None
    replayed: tuple[Content, ...] = ()

    @property
    def origins(self) -> set[int]:
        """The appends, by identity, whose files an append brought; none if it brought none."""
        if self.replayed:
            return {origin for step in self.replayed for origin in step.origins}
        return {id(self)} if self.appended else set()

    def since(self, base: Content) -> list[Content] | None:
        """The steps from *base*, newest first; ``None`` if this was not made from it."""
        steps: list[Content] = []
        content: Content | None = self
        while content is not None and content is not base:
            steps.append(content)
            content = content.before
        return None if content is None else steps


State = dict[str, Content]
"""The tables of a ref by name."""


@dataclass
class Model:
    """Branches and commits as dicts."""

    work: dict[Branch, State] = field(default_factory=dict)
    commits: dict[Commit, State] = field(default_factory=dict)


def merged(base: Mapping[str, T], source: Mapping[str, T], into: Mapping[str, T]) -> dict[str, T] | None:
    """Three-way merge, of tables or of objects; ``None``: both sides changed one of them, differently."""
    result: dict[str, T] = {}
    for name in {*base, *source, *into}:
        old, ours, theirs = base.get(name), source.get(name), into.get(name)
        if ours != old and theirs not in (old, ours):
            return None
        if (taken := theirs if ours == old else ours) is not None:
            result[name] = taken
    return result


def rebased(base: State, ours: State, theirs: State) -> State | None:
    """*theirs*, with what *ours* appended on top; ``None`` where ours did something else, or there is no need."""
    result, replayed = dict(theirs), False
    for table in {*base, *ours, *theirs}:
        old, mine, other = base.get(table), ours.get(table), theirs.get(table)
        if mine is old or mine is other:
            continue
        if other is old:
            return None  # a plain merge would do
        steps = None if old is None or mine is None else mine.since(old)
        if steps is None or other is None or old is None or other.since(old) is None:
            return None
        if any(step.appended is None for step in steps) or not set(old.columns) <= set(other.columns):
            return None
        if any(set(old.columns) - set(step.columns) for step in other.since(old) or ()):
            return None  # a column that went and came back is another one
        there = {origin for step in other.since(old) or () for origin in step.origins}
        if any(step.origins & there for step in steps):
            return None  # taken over before, and not known as merged: refused as long as its files are there
        new = tuple(widened(row, other.columns) for step in reversed(steps) for row in step.appended or ())
        result[table] = Content(other.columns, (*other.rows, *new), before=other, appended=new, replayed=tuple(steps))
        replayed = True
    return result if replayed else None


def widened(row: Row, columns: tuple[str, ...]) -> Row:
    """*row*, with nulls in the columns that it lacks."""
    return tuple(sorted({**dict.fromkeys(columns), **dict(row)}.items()))
