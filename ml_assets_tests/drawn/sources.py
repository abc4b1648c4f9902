"""Drawn sources: columns, keys, times, what is known when, and their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ml_assets_tests.drawn.choices import Chooser
from ml_assets_tests.drawn.columns import TYPES, Column, Names, constraints
from ml_assets_tests.drawn.packages import HARMS, Rows
from ml_assets_tests.drawn.values import EDGES

_KEYS: Final = ("str", "str", "int", "Int32", "date", "Timestamp")
_ODD_KEYS: Final = ("float", "bool")
_GROUPS: Final = ("str", "int", "Int32", "bool", "date", "Timestamp")
_LIBRARIES: Final = ((), (), ("pyarrow",), ("PyArrow",))
_ODD_LIBRARIES: Final = (("sklearn",), ("no-such-thing",), ("",), ("pyarrow>=1",))


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

    @property
    def moment(self) -> Column:
        """A column that says when: that of the event, unless it was drawn to be no time."""
        return next(c for c in (self.event, *self.columns) if c.role == "time" and c.type == "Timestamp")


def source(choose: Chooser, names: Names, name: str, groups: tuple[Column, ...] | None = None) -> Source:
    """A source; with *groups*, of that name and type, which another one has."""
    prefix = "" if groups is None else f"{name}_"
    key = Column(
        names.of(f"{prefix}id"),
        choose.of(_KEYS, _ODD_KEYS, what="type of a key"),
        role="key",
        nullable=choose.odd_one("nullable key"),
    )
    groups = groups or tuple(_group(choose, names.of(f"g{number}")) for number in range(2))
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
    late = {value.name: done.name for value in choose.some(values, 0, 2)} if choose.chance(1, 3) else {}
    columns = (key, *groups, event, seen, done, *values)
    unique = choose.of(((key.name,),), ((), (key.name, event.name), ("nothing",), (key.name, key.name)), what="unique")
    harm = choose.of((*[""] * 60, *HARMS))
    rows = Rows(columns, choose.number(8, 60), choose.number(0, 2**16), edges=choose.chance(1, 2), harm=harm)
    given = [*_knowledge(choose, event, known, late, columns), *_options(choose, event, columns)]
    text = _text(name, given, choose.of(columns))
    return Source(name, columns, key, groups, unique, event, known, late, rows, text)


def _group(choose: Chooser, name: str) -> Column:
    kind = choose.of(_GROUPS, ("float",), what="type of a group")
    return Column(name, kind, role="group", nullable=choose.chance(1, 5))


def _value(choose: Chooser, name: str) -> Column:
    kind = choose.of(TYPES)
    texts, keeps = constraints(choose, kind)
    if not any(keeps(value) for value in EDGES[kind]):
        return Column(name, kind, nullable=choose.chance(1, 3))  # nothing would be lawful
    return Column(name, kind, nullable=choose.chance(1, 3), constraints=texts, keeps=keeps)


def _knowledge(
    choose: Chooser, event: Column, known: Column | None, late: dict[str, str], columns: tuple[Column, ...]
) -> list[str]:
    """What is said of when rows and columns become known."""
    given = []
    if known is None:
        given += [f"event_time={event.name!r}"] if choose.chance(1, 2) else []
        given.append("always_known=True")
        if choose.odd_one("both known_from and always_known"):
            given.append(f"known_from={event.name!r}")
    else:
        given.append(f"event_time={event.name!r}")
        given += [] if choose.odd_one("no knowledge time") else [f"known_from={known.name!r}"]
    last = columns[-1].name
    odd = ({"nothing": event.name}, {last: columns[0].name}, {last: "nothing"})
    known_at = choose.of((late,), odd, what="known_at")
    return [*given, *([f"known_at={known_at!r}"] if known_at else [])]


def _options(choose: Chooser, event: Column, columns: tuple[Column, ...]) -> list[str]:
    """What else may be said of a source."""
    plain = [column.name for column in columns if column.type not in {"float", "Timestamp"}]
    period = choose.of(("year", "month", "day", "hour"))
    by = choose.of(
        ((), (), (), tuple(plain[:1]), (f"{period}({event.name})",), (f"{period}({event.name})", *plain[-1:])),
        (("nothing",), (event.name,), ("week(ts)",), (columns[-1].name,), ("year(ts)", "day(ts)")),
        what="partition_by",
    )
    libraries = choose.of(_LIBRARIES, _ODD_LIBRARIES, what="libraries")
    return [
        *([f"partition_by={by!r}"] if by else []),
        *([f"libraries={libraries!r}"] if libraries else []),
        *(["append=True"] if choose.chance(1, 8) else []),
        *(["rules=(few_nulls,)"] if choose.chance(1, 4) else []),
        *(['engine="duckdb"'] if choose.chance(1, 8) else []),
    ]


def _text(name: str, given: list[str], column: Column) -> str:
    """The module of a source."""
    return f'''"""Drawn."""

import pyarrow.parquet as pq

from ml_assets.lib.declare import PackageFile, rule, source

from .. import contracts


@rule(severity="warn")
def few_nulls(table):
    """Said to be worth a look."""
    return table.filter(table[{column.name!r}].isnull())


@source(
    files={{"rows": PackageFile("drawnrows", "drawnrows/{name}.parquet")}},
    contract=contracts.{name.title()},
    {", ".join(given)},
)
def {name}(rows):
    """Drawn rows."""
    return pq.read_table(rows)
'''
