"""Drawn feature views: one row per row of a source, aggregates, or aggregates over what lies before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ml_assets_tests.drawn.choices import Chooser
from ml_assets_tests.drawn.columns import Column, Names
from ml_assets_tests.drawn.operations import AGGREGATES, ODD, ROWWISE, WINDOWED, Operation
from ml_assets_tests.drawn.sources import Source

MOMENT: Final = Column("event_timestamp", "Timestamp")

_TTL: Final = ("None", "timedelta(days=7)", "timedelta(microseconds=1)", "timedelta(days=4000)")
_ODD_TTL: Final = (
    "timedelta(0)",
    "timedelta(days=-1)",
    "timedelta(days=365_000)",
    "timedelta.max",
    "timedelta(days=99_999_999)",
    "7",
    "True",
)
_BACK: Final = ("None", "ibis.interval(days=7)", "ibis.interval(hours=1)", "ibis.interval(days=4000)")
_ODD_BACK: Final = ("ibis.interval(days=-1)", "7", "ibis.interval(months=1)")
_WHOLE: Final = ("int", "Int32")


@dataclass(frozen=True)
class View:
    """A drawn feature view.

    Attributes:
        name: Its name.
        keys: Columns of its entity.
        values: Its value columns.
        unique: What the contract says.
        text: The module.
    """

    name: str
    keys: tuple[Column, ...]
    values: tuple[Column, ...]
    unique: tuple[str, ...]
    text: str

    @property
    def contract(self) -> str:
        """Name of the contract."""
        return self.name.title()


@dataclass(frozen=True)
class _Plan:
    """What a view computes.

    Attributes:
        kind: ``row``, ``aggregate`` or ``window``.
        of: Its source.
        keys: Columns of its entity.
        moments: Columns of times from which all of it is known.
        outputs: Expression and type of each value.
    """

    kind: str
    of: Source
    keys: tuple[Column, ...]
    moments: list[str]
    outputs: dict[str, Operation]


def view(choose: Chooser, names: Names, name: str, of: Source) -> View:
    """A view of *of*."""
    plan = _plan(choose, names, name, of)
    body, outputs = (_window if plan.kind == "window" else _rows)(choose, plan)
    values = tuple(_value(choose, column, kind) for column, (_, kind) in outputs.items())
    keys = tuple(Column(key.name, key.type) for key in plan.keys)
    unique = (*(key.name for key in keys), MOMENT.name)
    said = choose.of((unique,), ((), unique[:-1] or ("v",), unique[-1:]), what="unique of a view")
    text = _text(name, plan, [*_options(choose, plan, name)], _filters(choose, plan), body)
    return View(name, keys, values, said, text)


def _plan(choose: Chooser, names: Names, name: str, of: Source) -> _Plan:
    kind = choose.of(("aggregate", "row", "window") if of.name == "events" else ("aggregate", "window"))
    keys = (of.key,) if kind == "row" else tuple(choose.some(of.groups, 0, 2))
    columns = of.columns[1:]
    whole = [column for column in columns if column.type in _WHOLE]
    if kind == "window" and not whole:
        kind = "aggregate"
    taken = [choose.of(whole if kind == "window" else columns) for _ in range(choose.number(1, 3))]
    outputs = {}
    for number, column in enumerate(taken[:1] if kind == "window" else taken):
        menu = ROWWISE if kind == "row" else AGGREGATES
        text, result = choose.of(menu[column.type], ODD, what="operation")
        outputs[names.of(f"{name}_{number}")] = (text.format(c=f"known[{column.name!r}]"), result)
    return _Plan(kind, of, keys, _moments(choose, of, [*taken, *keys]), outputs)


def _value(choose: Chooser, name: str, kind: str) -> Column:
    said = choose.of((kind,), ("str", "Int32"), what="type of a value")
    return Column(name, said, nullable=not choose.odd_one("value not nullable"))


def _moments(choose: Chooser, of: Source, taken: list[Column]) -> list[str]:
    """Columns of times from which what is made of *taken* is known."""
    known = {**of.late, **{time: time for time in of.late.values()}}  # a time is known then, too
    later = [known[column.name] for column in taken if column.name in known]
    times = list(dict.fromkeys([(of.known or of.moment).name, *later]))
    return times[:1] if choose.odd_one("knows the future") else times


def _moment(plan: _Plan) -> str:
    times = ", ".join(f"known[{name!r}]" for name in plan.moments)
    return f"ibis.greatest({times})" if len(plan.moments) > 1 else times


def _rows(_: Chooser, plan: _Plan) -> tuple[str, dict[str, Operation]]:
    """A row per row of the source, or per keys and moment."""
    names = "".join(f"{key.name!r}, " for key in plan.keys)
    made = ", ".join(f"{name!r}: {text}" for name, (text, _) in plan.outputs.items())
    if plan.kind == "row":
        return f"return known.select({names}event_timestamp={_moment(plan)}, **{{{made}}})", plan.outputs
    return f"return known.group_by({names}event_timestamp={_moment(plan)}).agg(**{{{made}}})", plan.outputs


def _window(choose: Chooser, plan: _Plan) -> tuple[str, dict[str, Operation]]:
    """Over a range of time, or in sequence, of one row per keys and moment."""
    per, outputs = _rows(choose, plan)
    ((name, (_, inner)),) = outputs.items()
    text, result = choose.of(WINDOWED if inner in _WHOLE else WINDOWED[2:3])
    listed = f"[{', '.join(repr(key.name) for key in plan.keys)}]" if plan.keys else "None"
    back = choose.of(_BACK, _ODD_BACK, what="window")
    over = text.format(c=f"per[{name!r}]", w="back", o="so_far")
    names = "".join(f"{key.name!r}, " for key in plan.keys)
    lines = (
        f"per = {per.removeprefix('return ')}",
        f"back = ibis.range_window(group_by={listed}, order_by='event_timestamp', preceding={back}, following=0)",
        f"so_far = ibis.window(group_by={listed}, order_by='event_timestamp')",
        f"return per.select({names}'event_timestamp', **{{{name!r}: {over}}})",
    )
    return "\n    ".join(lines), {name: (over, result if "cast" in text else inner)}


def _options(choose: Chooser, plan: _Plan, name: str) -> list[str]:
    plain = [key.name for key in plan.keys if key.type not in {"Timestamp", "float"}]
    by = choose.of(
        ((), (), tuple(plain[:1]), ("month(event_timestamp)",)),
        (("nothing",), ("event_timestamp",), ("month(nothing)",)),
        what="partition_by of a view",
    )
    version = choose.of(("1",), ("0", "-1", "True", "1.0", "'1'"), what="version of a view")
    return [
        f"version={version}",
        f'keys=Entity("{name}_of", ({"".join(f"{key.name!r}, " for key in plan.keys)}))',
        f"ttl={choose.of(_TTL, _ODD_TTL, what='ttl')}",
        f"contract=contracts.{name.title()}",
        *([f"partition_by={by!r}"] if by else []),
        *(["deterministic=False"] if choose.odd_one("deterministic=False") else []),
    ]


def _filters(choose: Chooser, plan: _Plan) -> list[str]:
    """Columns that must be there; at a moment, one that is known later is null before."""
    late = set(plan.of.late.values())
    asked = dict.fromkeys(c for c in plan.of.columns if c in plan.keys or c.name in plan.moments)
    return [
        column.name
        for column in asked
        if column.nullable or (column.name in late and not choose.odd_one("late time not filtered"))
    ]


def _text(name: str, plan: _Plan, given: list[str], filters: list[str], body: str) -> str:
    """The module of a view."""
    filtered = "".join(f"\n    known = known.filter(known[{column!r}].notnull())" for column in filters)
    return f'''"""Drawn."""

from datetime import timedelta

import ibis

from ml_assets.lib.declare import Entity, exact_sum, feature_view

from .. import contracts


@feature_view({", ".join(given)})
def {name}({plan.of.name}):
    """Drawn values."""
    known = {plan.of.name}{filtered}
    {body}
'''
