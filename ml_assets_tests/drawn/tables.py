"""Drawn sources, splits and feature views."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ml_assets_tests.drawn.choices import Chooser
from ml_assets_tests.drawn.columns import TYPES, Column, Names, constraints
from ml_assets_tests.drawn.operations import AGGREGATES, ODD, ROWWISE, WINDOWED
from ml_assets_tests.drawn.packages import HARMS, Rows
from ml_assets_tests.drawn.values import EDGES

NOTHING: Final = ("None",)


@dataclass(frozen=True)
class Source:
    """A drawn source.

    Attributes:
        name: Its name.
        columns: Its columns, in order.
        key: The column in which all rows differ.
        groups: Columns with few values, by which features are joined.
        unique: What the contract says.
        event: When the fact happened.
        known: When the row becomes known; ``None`` where all is known beforehand.
        late: For each column that is known later: the column that says when.
        rows: How its rows are drawn.
        text: The module.
    """

    name: str
    columns: tuple[Column, ...]
    key: Column
    groups: tuple[Column, ...]
    unique: tuple[str, ...]
    event: Column
    known: Column | None
    late: dict[str, str]
    rows: Rows
    text: str

    @property
    def contract(self) -> str:
        """Name of the contract."""
        return self.name.title()


def source(choose: Chooser, names: Names, name: str, groups: tuple[Column, ...] | None = None) -> Source:
    """A source; with *groups*, of that name and type, which another one has."""
    kind = choose.of(("str", "str", "int", "Int32", "date", "Timestamp"), ("float", "bool"), what="type of a key")
    key = Column(
        names.of("id" if groups is None else f"{name}_id"), kind, role="key", nullable=choose.odd_one("nullable key")
    )
    if groups is None:
        groups = tuple(_group(choose, names.of(f"g{number}")) for number in range(2))
    prefix = "" if name == "events" else f"{name}_"
    event = Column(
        names.of(f"{prefix}ts"),
        choose.of(("Timestamp",), ("date", "str"), what="type of a time"),
        role="time",
        nullable=choose.odd_one("nullable event time"),
    )
    seen = Column(names.of(f"{prefix}seen"), "Timestamp", role="time")
    done = Column(names.of(f"{prefix}done"), "Timestamp", role="late", nullable=choose.chance(1, 2))
    values = tuple(_value(choose, names.of(f"{prefix}{letter}")) for letter in "abcd"[: choose.number(1, 4)])
    known = choose.of((event, seen, None))
    late = {v.name: done.name for v in choose.some(values, 0, 2)} if choose.chance(1, 3) else {}
    columns = (key, *groups, event, seen, done, *values)
    unique = choose.of(((key.name,),), ((), (key.name, event.name), ("nothing",), (key.name, key.name)), what="unique")
    rows = Rows(
        columns,
        choose.number(8, 60),
        choose.number(0, 2**16),
        edges=choose.chance(1, 2),
        harm=choose.of(("",) * 9 + HARMS),
    )
    text = _source_text(choose, name, event, known, late, columns)
    return Source(name, columns, key, groups, unique, event, known, late, rows, text)


def _group(choose: Chooser, name: str) -> Column:
    kind = choose.of(("str", "int", "Int32", "bool", "date", "Timestamp"), ("float",), what="type of a group")
    return Column(name, kind, role="group", nullable=choose.chance(1, 5))


def _value(choose: Chooser, name: str) -> Column:
    kind = choose.of(TYPES)
    texts, keeps = constraints(choose, kind)
    if not any(keeps(value) for value in EDGES[kind]):
        texts, keeps = (), lambda _: True  # nothing is lawful
    return Column(name, kind, nullable=choose.chance(1, 3), constraints=texts, keeps=keeps)


def _source_text(
    choose: Chooser, name: str, event: Column, known: Column | None, late: dict[str, str], columns: tuple[Column, ...]
) -> str:
    given = [
        f'files={{"rows": PackageFile("drawnrows", "drawnrows/{name}.parquet")}}',
        f"contract=contracts.{name.title()}",
    ]
    if known is None:
        event_time = choose.of((event.name, None))
        given += [*([f"event_time={event_time!r}"] if event_time else []), "always_known=True"]
        if choose.odd_one("both known_from and always_known"):
            given.append(f"known_from={event.name!r}")
    else:
        given += [
            f"event_time={event.name!r}",
            *([] if choose.odd_one("no knowledge time") else [f"known_from={known.name!r}"]),
        ]
    if late:
        given.append(
            f"known_at={choose.of((late,), ({'nothing': 'ts'}, {columns[-1].name: columns[0].name}, {columns[-1].name: 'nothing'}), what='known_at')!r}"
        )
    plain = [c.name for c in columns if c.type in {"str", "int", "Int32", "date", "bool"}]
    times = [f"{period}({event.name})" for period in ("year", "month", "day", "hour")]
    by = choose.of(
        ((), (), (), tuple(plain[:1]), (times[0],), (times[1], *plain[-1:])),
        (("nothing",), (event.name,), ("week(ts)",), (columns[-1].name,), ("year(ts)", "day(ts)")),
        what="partition_by",
    )
    given += [f"partition_by={by!r}"] if by else []
    given += ["append=True"] if choose.chance(1, 8) else []
    given += (
        [
            f"libraries={choose.of((('pyarrow',), ('PyArrow',)), (('sklearn',), ('no-such-thing',), ('',), ('pyarrow>=1',)), what='libraries')!r}"
        ]
        if choose.chance(1, 4)
        else []
    )
    given += ["rules=(nothing_odd,)"] if choose.chance(1, 4) else []
    given += ['engine="duckdb"'] if choose.chance(1, 8) else []
    return f'''"""Drawn."""

import pyarrow.parquet as pq

from ml_assets.lib.declare import PackageFile, rule, source

from .. import contracts


@rule(severity="warn")
def nothing_odd(table):
    """No row lacks its key."""
    return table.filter(table[{columns[choose.number(0, len(columns) - 1)].name!r}].isnull())


@source(
    {_joined(given)}
)
def {name}(rows):
    """Drawn rows."""
    return pq.read_table(rows)
'''


def _joined(given: list[str]) -> str:
    return ",\n    ".join(given) + ","


_SHARES: Final = (
    (0.6, 0.2),
    (0.5, 0.25),
    (0.8, 0.2),
    (1.0, 0.0),
    (0.0, 1.0),
    (0.3, 0.0),
    (1 / 3, 1 / 3),
    (0.7, 0.1 + 0.2),
)
_ODD_SHARES: Final = ((0.9, 0.9), (-0.1, 0.5), (1.5, 0.0), (0.5, float("inf")), (2, -1), (60, 20))
_CUTS: Final = (
    ("datetime(2023, 5, 1, tzinfo=UTC)", "datetime(2023, 7, 1, tzinfo=UTC)"),
    ("datetime(2023, 4, 1, 12, tzinfo=timezone(timedelta(hours=2)))", "datetime(2023, 8, 1, tzinfo=UTC)"),
    ("datetime(1, 1, 1, tzinfo=UTC)", "datetime(2023, 6, 1, tzinfo=UTC)"),
    ("datetime(2023, 6, 1, tzinfo=UTC)", "datetime(9999, 12, 31, tzinfo=UTC)"),
)
_ODD_CUTS: Final = (
    ("datetime(2023, 5, 1)", "datetime(2023, 7, 1)"),
    ("datetime(2023, 7, 1, tzinfo=UTC)", "datetime(2023, 5, 1, tzinfo=UTC)"),
    ("date(2023, 5, 1)", "date(2023, 7, 1)"),
    ('"2023-05-01"', '"2023-07-01"'),
)


def split(choose: Chooser, version: str, of: Source) -> str:
    """A function that splits *of*."""
    key = f"{of.name}[{of.key.name!r}]"
    rules = [choose.of((f"complete(of={of.name!r})",) * 3, ("complete(of='nothing')",), what="complete")]
    if choose.chance(1, 3) and of.event.type == "Timestamp":
        val, test = choose.of(_CUTS, _ODD_CUTS, what="cuts")
        part = f"by_time({of.name}[{of.event.name!r}], val={val}, test={test})"
        rules += [f"ordered(by={of.event.name!r}, of={of.name!r})"] if choose.chance(1, 2) else []
    else:
        train, val = map(repr, choose.of(_SHARES, _ODD_SHARES, what="shares"))
        text = key if of.key.type == "str" else f"{key}.cast('string')"
        part = f"by_hash({text}, salt={version!r}, train={train}, val={val})".replace("inf", "float('inf')")
    if choose.chance(1, 4):
        rules.append(
            choose.of(
                ("shares(train=0.6, val=0.2, test=0.2, within=1.0)", "shares(train=1.0, val=0.0, test=0.0, within=1)"),
                ("shares(train=0.9, val=0.9, test=0.2, within=1.0)", "shares(train=1, val=0.5, test=-0.5, within=1.0)"),
                what="shares of a rule",
            )
        )
    if choose.chance(1, 4):
        group = choose.of([c.name for c in of.columns[1:]])
        rules.append(
            choose.of(
                (
                    f"disjoint(by={of.key.name!r}, of={of.name!r})",
                    f"disjoint(by={group!r}, of={of.name!r}, severity='warn')",
                ),
                ("disjoint(by='nothing', of='events')",),
                what="disjoint",
            )
        )
    if choose.chance(1, 4):
        column = choose.of(of.columns[1:])
        within, per = choose.of(("None", "1.0")), choose.of(((), (of.groups[0].name,), (column.name,)))
        rules.append(
            f"label_rates(of={of.name!r}, label=lambda t: t[{column.name!r}].isnull(), within={within}, per={per!r})"
        )
    key_name = choose.of((of.key.name,), (of.groups[0].name, "nothing"), what="key of a split")
    seed = choose.of(
        ("", "seed=42, ", "seed=0, "),
        ("seed=-1, ", "seed=True, ", "seed=2**60, ", "seed=1.5, "),
        what="seed of a split",
    )
    return f'''

@split({version!r}, of={of.name!r}, key={key_name!r}, {seed}rules=({", ".join(rules)},))
def {version.replace("-", "_").lower()}({of.name}):
    """Drawn parts."""
    return {of.name}.select({of.key.name!r}, split={part})
'''


SPLITS_HEAD: Final = '''"""Drawn."""

from datetime import UTC, date, datetime, timedelta, timezone

from ml_assets.defs.splits.parts import by_hash, by_time
from ml_assets.lib.declare import complete, disjoint, label_rates, ordered, shares, split
'''


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
    stamp: Column = field(default_factory=lambda: Column("event_timestamp", "Timestamp"))

    @property
    def contract(self) -> str:
        """Name of the contract."""
        return self.name.title()


def view(choose: Chooser, names: Names, name: str, of: Source) -> View:
    """A view of *of*: one row per row of it, aggregates, or aggregates over a window."""
    kind = choose.of(("aggregate", "row", "window") if of.name == "events" else ("aggregate", "window"))
    keys = (of.key,) if kind == "row" else tuple(choose.some(of.groups, 0, 2))
    taken = [choose.of([c for c in of.columns if c is not of.key]) for _ in range(choose.number(1, 3))]
    if kind == "window":
        taken = [choose.of([c for c in of.columns if c.type in {"int", "Int32"}] or list(of.columns[-1:]))]
    table, moments = "known", _moments(choose, of, taken)
    outputs: dict[str, tuple[str, str]] = {}
    for number, column in enumerate(taken):
        menu = ROWWISE if kind == "row" else AGGREGATES
        text, result = choose.of(menu[column.type], ODD, what="operation")
        outputs[names.of(f"{name}_{number}")] = (text.format(c=f"{table}[{column.name!r}]"), result)
    body, outputs = _body(choose, kind, keys, outputs, moments)
    values = tuple(
        Column(
            n,
            choose.of((t,), ("str", "Int32"), what="type of a value"),
            nullable=not choose.odd_one("value not nullable"),
        )
        for n, (_, t) in outputs.items()
    )
    return View(name, _bare(keys), values, _unique(choose, keys), _view_text(choose, name, of, keys, body, moments))


def _bare(keys: tuple[Column, ...]) -> tuple[Column, ...]:
    return tuple(Column(key.name, key.type) for key in keys)


def _unique(choose: Chooser, keys: tuple[Column, ...]) -> tuple[str, ...]:
    names = (*(key.name for key in keys), "event_timestamp")
    return choose.of((names,), ((), names[:-1] or ("v",), names[-1:]), what="unique of a view")


def _moments(choose: Chooser, of: Source, taken: list[Column]) -> list[str]:
    """Columns of times from which what is made of *taken* is known."""
    first = (of.known or of.event).name
    known = {**of.late, **{time: time for time in of.late.values()}}  # a time is known then, too
    later = [known[column.name] for column in taken if column.name in known]
    times = list(dict.fromkeys([first, *later]))
    return times[:1] if choose.odd_one("knows the future") else times


def _body(
    choose: Chooser, kind: str, keys: tuple[Column, ...], outputs: dict[str, tuple[str, str]], moments: list[str]
) -> tuple[str, dict[str, tuple[str, str]]]:
    """What the function returns, and the values of it, each with its expression and type."""
    times = ", ".join(f"known[{name!r}]" for name in moments)
    moment = f"ibis.greatest({times})" if len(moments) > 1 else times
    names = "".join(f"{key.name!r}, " for key in keys)
    made = ", ".join(f"{name!r}: {text}" for name, (text, _) in outputs.items())
    if kind == "row":
        return f"return known.select({names}event_timestamp={moment}, **{{{made}}})", outputs
    per = f"known.group_by({names}event_timestamp={moment}).agg(**{{{made}}})"
    if kind == "aggregate":
        return f"return {per}", outputs
    listed = f"[{names}]" if keys else "None"
    back = choose.of(
        ("None", "ibis.interval(days=7)", "ibis.interval(hours=1)", "ibis.interval(days=4000)"),
        ("ibis.interval(days=-1)", "7"),
        what="window",
    )
    window = f"ibis.range_window(group_by={listed}, order_by='event_timestamp', preceding={back}, following=0)"
    order = f"ibis.window(group_by={listed}, order_by='event_timestamp')"
    text, result = choose.of(WINDOWED)
    (name, (_, inner)) = next(iter(outputs.items()))
    over = text.format(c=f"per[{name!r}]", w="back", o="so_far")
    if inner not in {"int", "Int32"}:
        over, result = f"per[{name!r}].count().over(back).cast('int64')", "int"
    result = inner if result == "int" and "cast" not in text and inner == "Int32" else result
    return (
        f"per = {per}\n    back = {window}\n    so_far = {order}\n"
        f"    return per.select({names}'event_timestamp', **{{{name!r}: {over}}})"
    ), {name: (over, result)}


def _view_text(choose: Chooser, name: str, of: Source, keys: tuple[Column, ...], body: str, moments: list[str]) -> str:
    ttl = choose.of(
        ("None", "timedelta(days=7)", "timedelta(0)", "timedelta(microseconds=1)", "timedelta(days=4000)"),
        ("timedelta(days=-1)", "timedelta(days=365_000)", "timedelta.max", "7", "timedelta(days=99_999_999)", "True"),
        what="ttl",
    )
    given = [
        "version=1",
        f'keys=Entity("{name}_of", ({"".join(f"{key.name!r}, " for key in keys)}))',
        f"ttl={ttl}",
        f"contract=contracts.{name.title()}",
    ]
    plain = [key.name for key in keys if key.type != "Timestamp"]
    by = choose.of(
        ((), (), tuple(plain[:1]), ("month(event_timestamp)",)),
        (("nothing",), ("event_timestamp",), ("month(nothing)",)),
        what="partition_by of a view",
    )
    given += [f"partition_by={by!r}"] if by else []
    given += ["deterministic=False"] if choose.odd_one("deterministic=False") else []
    late = set(moments[1:]) | set(of.late.values())  # whose null in the state of a moment means: not known yet
    asked = [c for c in (*keys, *of.columns) if c in keys or c.name in moments]
    kept = [c for c in asked if c.nullable or (c.name in late and not choose.odd_one("late time not filtered"))]
    filters = "".join(f"\n    known = known.filter(known[{c.name!r}].notnull())" for c in dict.fromkeys(kept))
    return f'''"""Drawn."""

from datetime import timedelta

import ibis

from ml_assets.lib.declare import Entity, exact_sum, feature_view

from .. import contracts


@feature_view(
    {_joined(given)}
)
def {name}({of.name}):
    """Drawn values."""
    known = {of.name}{filters}
    {body}
'''
