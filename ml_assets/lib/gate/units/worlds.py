"""What a source would hold in another world, in which everything known by a moment is as it is and the rest is not.

The law: for every moment m and every row asked at a cutoff c <= m, the features computed from what was known at m are
those in the frame. What was known at m are the rows with knowledge time <= m, and in them no column that is known
later. A feature that differs between two worlds that agree on all of this used something that nobody knew.

Three worlds, because each finds what the others miss:

- truncated: what is not known at the moment is not there (finds counts, sums, `lead`, windows that look ahead);
- corrupted: it is there and wrong (finds values that are looked up, and whether a value exists at all);
- crowded: more rows come later, of the same entities (finds ranks, normalisation over the table, target encoding).

Each world keeps the contract: values are of their column's type and taken from the column itself, so that no expression
meets a text or number that it could not meet; unique keys stay unique.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ml_assets.lib.declare.declarations import Source

_LATER: Final = timedelta(days=3, hours=7, minutes=13, seconds=17)
"""By how much a time is moved: every part of it changes, day, hour, minute and second."""

_LAST: Final = datetime(9999, 12, 31, tzinfo=UTC)
_LARGEST: Final = {"int8": 2**7 - 1, "int16": 2**15 - 1, "int32": 2**31 - 1, "int64": 2**63 - 1}


class World(StrEnum):
    """How what is not known at a moment is falsified."""

    TRUNCATED = "truncated"
    CORRUPTED = "corrupted"
    CROWDED = "crowded"


@dataclass(frozen=True, slots=True)
class Fact:
    """Something of a source that becomes known over time: its rows, or the columns that are known at one time.

    Attributes:
        source: Name of the source.
        time: Column that says when.
        columns: The columns that are known then; none means the rows as a whole.
    """

    source: str
    time: str
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.columns:
            return f"rows of sources/{self.source}, known from {self.time}"
        return f"{', '.join(self.columns)} of sources/{self.source}, known at {self.time}"


def facts_of(source: Source) -> tuple[Fact, ...]:
    """Everything of *source* that becomes known over time; nothing of a source whose rows and columns always are."""
    rows = (Fact(source.name, source.known_from),) if source.known_from else ()
    by_time: dict[str, list[str]] = {}
    for column, time in source.known_times.items():
        by_time.setdefault(time, []).append(column)
    return (*rows, *(Fact(source.name, time, tuple(columns)) for time, columns in by_time.items()))


@dataclass(frozen=True, kw_only=True)
class Falsifier:
    """Makes the worlds of one source.

    Attributes:
        source: The declaration.
        table: Its rows as they are.
        extremes: Least and greatest value of each column, ``None`` where it has none; see `extremes`.
        entities: Columns by which feature views tell entities apart: half of the corrupted rows keep them.
    """

    source: Source
    table: ir.Table
    extremes: Mapping[str, tuple[Any, Any]]
    entities: Collection[str] = ()

    def known(
        self, world: World, moment: datetime, facts: Collection[Fact], given: ir.Column | None = None
    ) -> ir.Table:
        """The rows of the source in *world*, in which *facts* that are not known at *moment* are falsified.

        Args:
            world: How they are falsified.
            moment: What is known by then stays as it is.
            facts: Which of the source's facts are falsified.
            given: Keys of the rows that are asked about, where the source is the one that is split: such a row is the
                question and known to whoever asks it, but for the columns that are known later.
        """
        late_row = self._late_row(moment, facts, given)
        columns = [fact for fact in facts if fact.columns]
        if world == World.CROWDED:
            return self._crowded(moment, late_row)
        table = self.table if late_row is None or world == World.CORRUPTED else self.table.filter(~late_row)
        if world == World.TRUNCATED:
            return table.mutate(**self._unknown(table, moment, columns)) if columns else table
        wrong = self._late_columns(moment, columns)
        if late_row is not None:
            wrong = self._wrong_rows(moment, late_row, wrong)
        return table.mutate(**wrong) if wrong else table

    def _late_row(self, moment: datetime, facts: Collection[Fact], given: ir.Column | None) -> ir.BooleanValue | None:
        """Whether a row is not known yet; ``None`` where rows are not among *facts*."""
        import ibis

        times = [fact.time for fact in facts if not fact.columns]
        if not times:
            return None
        time = self.table[times[0]]
        late: ir.BooleanValue = time.isnull() | (time > ibis.literal(moment))
        return late if given is None else late & ~self.table[given.get_name()].isin(given)

    @staticmethod
    def _unknown(table: ir.Table, moment: datetime, facts: Collection[Fact]) -> dict[str, ir.Value]:
        """Each column that is known later than its row, null where that is after *moment* or never."""
        import ibis

        now = ibis.literal(moment)
        return {
            column: ibis.cases((table[fact.time] <= now, table[column]), else_=ibis.null(table[column].type()))
            for fact in facts
            for column in fact.columns
        }

    def _late_columns(self, moment: datetime, facts: Collection[Fact]) -> dict[str, ir.Value]:
        """Each column that is known later, corrupted: half of what comes later never comes, the rest is wrong.

        What never comes in truth comes later.
        """
        import ibis

        wrong: dict[str, ir.Value] = {}
        for fact in facts:
            time = self.table[fact.time]
            late = time > ibis.literal(moment)
            never = late & _every_other(time)
            for column in fact.columns:
                value = self.table[column]
                other = self._later(value, moment) if column == fact.time else self._other(column)
                wrong[column] = ibis.cases((never, ibis.null(value.type())), (late | time.isnull(), other), else_=value)
        return wrong

    def _wrong_rows(
        self, moment: datetime, late_row: ir.BooleanValue, wrong: Mapping[str, ir.Value]
    ) -> dict[str, ir.Value]:
        """Every column of the rows that are not known yet made wrong, but for what keeps them unique.

        The time from which they are known stays in the future. Every second one keeps its entity.
        """
        import ibis

        known_from = self.source.known_from or ""
        moves = _every_other(self.table[known_from])
        kept = {*self.source.contract.unique(), known_from}
        columns: dict[str, ir.Value] = dict(wrong)
        for column in self.table.columns:
            if column in kept:
                continue
            where = late_row & moves if column in self.entities else late_row
            value, times = self.table[column], {*self.source.known_times.values()}
            other = self._later(value, moment) if column in times else self._other(column)
            columns[column] = ibis.cases((where, other), else_=wrong.get(column, value))
        if known_from not in self.source.contract.unique():
            columns[known_from] = ibis.cases(
                (late_row, self._later(self.table[known_from], moment)), else_=self.table[known_from]
            )
        return columns

    def _other(self, column: str) -> ir.Value:
        """Another value than the column's, taken from the column, so that it is one that the table may hold.

        The least where it can be: sums of the greatest might not fit their type, in rows that nobody compares.
        """
        import ibis

        value = self.table[column]
        least, greatest = self.extremes[column]
        if least == greatest:
            greatest = _beside(least)
        low, high = (ibis.literal(end, type=value.type()) for end in (least, greatest))
        return ibis.cases((value == low, high), else_=low)

    @staticmethod
    def _later(time: ir.Value, moment: datetime) -> ir.Value:
        """A later time than *time*, and than *moment*."""
        import ibis

        beyond = ibis.literal(_LAST - _LATER)
        after = ibis.literal(min(moment, _LAST - _LATER) + _LATER)
        moved = ibis.cases((time > beyond, time), else_=time + ibis.interval(seconds=int(_LATER.total_seconds())))
        return ibis.cases((time > ibis.literal(moment), moved), else_=after)

    def _crowded(self, moment: datetime, late_row: ir.BooleanValue | None) -> ir.Table:
        """The rows as they are; those of the future doubled, and those of the past once more in the future."""
        import ibis

        known_from = self.source.known_from
        if late_row is None or known_from is None:
            return self.table
        first = self.extremes[known_from][0]
        if first is None or self.extremes[known_from][1] - first > _LAST - moment - 2 * _LATER:
            return self.table  # no rows, or no room for them before the year 10000
        doubled = self._invented(self.table.filter(late_row), timedelta(seconds=1))
        moved = self._invented(self.table.filter(~late_row), moment - first + _LATER)
        return ibis.union(self.table, *(rows for rows in (doubled, moved) if rows is not None))

    def _invented(self, rows: ir.Table, by: timedelta) -> ir.Table | None:
        """*rows* once more, *by* later and under other keys; ``None`` where no other key can be made."""
        import ibis

        times = {self.source.known_from, self.source.event_time, *self.source.known_times.values()} - {None}
        later = ibis.interval(seconds=int(by.total_seconds()) + 1)
        moved: dict[str, ir.Value] = {str(time): rows[str(time)] + later for time in times}
        unique = self.source.contract.unique()
        if unique and not times & set(unique):
            renamed = next((new for name in unique if (new := self._other_key(rows, name)) is not None), None)
            if renamed is None:
                return None
            moved |= renamed
        invented = rows.mutate(**moved).select(*self.table.columns)
        return invented.anti_join(self.table, list(unique)) if unique else invented

    def _other_key(self, rows: ir.Table, column: str) -> dict[str, ir.Value] | None:
        """The key *column* with values that the table has not; ``None`` where its type has no room for them."""
        import ibis

        least, greatest = self.extremes[column]
        kind = rows[column].type()
        if kind.is_string():
            return {column: rows[column] + ibis.literal("0")}  # parses as what it was, if it did
        if (
            kind.is_integer()
            and greatest is not None
            and 2 * greatest - least < _LARGEST[str(kind.copy(nullable=True))]
        ):
            return {column: (rows[column] + (greatest - least + 1)).cast(kind)}
        if kind.is_date() and greatest is not None and greatest - least < date(9999, 1, 1) - greatest:
            return {column: (rows[column] + ibis.interval(days=(greatest - least).days + 1)).cast(kind)}
        return None


def extremes(table: ir.Table) -> dict[str, tuple[Any, Any]]:
    """Least and greatest value of each column of *table*, in one query."""
    ends = {f"{end} {name}": getattr(table[name], end)() for name in table.columns for end in ("min", "max")}
    (row,) = table.aggregate(**ends).to_pyarrow().to_pylist()
    return {name: (row[f"min {name}"], row[f"max {name}"]) for name in table.columns}


def _every_other(time: ir.Value) -> ir.BooleanValue:
    """About half of the times, whether they are told to the second or to the day."""
    parts = time.second() + time.minute() + time.hour() + time.day()
    chosen: ir.BooleanValue = (parts.cast("int32") & 1) == 0
    return chosen


def _beside(value: Any) -> Any:
    """Another value of the type of *value*, the only one of its column; a text has none that is sure to be lawful."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value - 1 if value > 0 else value + 1
    if isinstance(value, datetime):
        return value - _LATER if value.year > 1 else value + _LATER
    if isinstance(value, date):
        return value - timedelta(days=1) if value.year > 1 else value + timedelta(days=1)
    return value
