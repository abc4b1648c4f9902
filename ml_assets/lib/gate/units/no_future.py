"""The leakage check of a frame: what becomes known after a moment is falsified, and no feature asked before may move.

At several moments over the whole range of cutoffs the feature views are computed again from each of the worlds of
`ml_assets.lib.gate.units.worlds`, and rows asked at or before the moment are joined again. Columns of the spine that
are model input or keys of views keep the same law. A value that differs used something that nobody knew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.errors import EngineError
from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.publication import CheckResult
from ml_assets.lib.core.recipe import Json
from ml_assets.lib.core.refs import Commit
from ml_assets.lib.declare.checks import NO_FUTURE
from ml_assets.lib.declare.knowledge import row_local
from ml_assets.lib.declare.plain import EXAMPLES
from ml_assets.lib.engines.expressions import columns_needed
from ml_assets.lib.engines.protocol import ViewJoin
from ml_assets.lib.gate.units.asked import asked, digits, moments, one_half
from ml_assets.lib.gate.units.moved import Moved, differences
from ml_assets.lib.gate.units.worlds import Fact, Falsifier, World, extremes, facts_of

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ml_assets.lib.declare.declarations import FeatureView, Frame
    from ml_assets.lib.declare.versions import ViewRef
    from ml_assets.lib.engines.protocol import Session
    from ml_assets.lib.gate.units.frames import FrameBuilder

LARGE_ROWS: Final = 5_000_000
"""Rows of a source above which only a share of its entities is looked at; the verdict says which share."""

_SHARES: Final = 2**32
_SHOWN: Final = 300


def no_future(builder: FrameBuilder, session: Session, frame: ir.Table, pin: Commit) -> CheckResult:
    """Judge *frame*, whose inputs are read at *pin*.

    Returns:
        ``counts`` has the number of rows per column that moved, ``examples`` both values with the moment, the world and
        the facts that moved them. Not applicable where no source says that anything becomes known over time, or the
        frame has no rows.

    Raises:
        EngineError: An expression cannot be computed from what was known at a moment.
    """
    proof = _Proof(builder, session, frame, pin)
    if not proof.facts:
        names = ", ".join(f"sources/{name}" for name in proof.names)
        return _not_applicable(f"nothing of {names} is declared to become known over time (known_from=, known_at=)")
    moments = proof.moments()
    if not moments:
        return _not_applicable("the frame has no rows")
    found = [moved for moment in moments for moved in proof.at(moment)]
    rows: dict[str, set[str]] = {}
    for moved in found:
        rows.setdefault(moved.column, set()).update(moved.keys)
    return CheckResult(
        check=NO_FUTURE.name,
        passed=not found,
        rows_failed=len(set().union(*rows.values())),
        counts={f"{column}: moved by facts of the future": len(keys) for column, keys in rows.items()},
        examples=tuple(example for moved in found for example in moved.examples)[:EXAMPLES],
        figures=proof.figures(moments),
    )


def _not_applicable(reason: str) -> CheckResult:
    return CheckResult(check=NO_FUTURE.name, passed=False, not_applicable=reason)


@dataclass
class _Proof:
    """The check of one frame, with what it reads once."""

    builder: FrameBuilder
    session: Session
    frame: ir.Table
    pin: Commit
    compared: int = field(default=0, init=False)
    shares: dict[str, float] = field(default_factory=dict, init=False)
    skipped: list[str] = field(default_factory=list, init=False)
    _falsifiers: dict[str, Falsifier] = field(default_factory=dict, init=False)

    @cached_property
    def views(self) -> list[tuple[ViewRef, FeatureView]]:
        """The views of the frame."""
        declarations = self.builder.systems.declarations
        return [(ref, declarations.view(ref)) for ref in declarations.feature_versions[self.builder.feature_version]]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Sources of the views and of the spine."""
        named = [name for _, view in self.views for name in view.parameters]
        return tuple(dict.fromkeys([*named, *self.builder.frame.parameters]))

    @cached_property
    def facts(self) -> dict[str, tuple[Fact, ...]]:
        """What becomes known over time, by source; only of sources that have such."""
        sources = self.builder.systems.declarations.sources
        return {name: facts for name in self.names if (facts := facts_of(sources[name]))}

    @cached_property
    def key(self) -> str:
        """The column that identifies a row of the frame."""
        return self.builder.systems.declarations.splits[self.builder.split_version].key

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Columns of the spine that must be seen to keep the law: of those that models take and the keys of views.

        A column that is made from other columns of the same row, none of which is known later, keeps it as it is.
        """
        declarations, frame = self.builder.systems.declarations, self.builder.frame
        late = {(fact.source, column) for fact in self._facts_of(frame) for column in fact.columns}
        rows = {fact.source for fact in self._facts_of(frame) if not fact.columns and fact.source != frame.split}
        expression = declarations.expression(frame)

        def may_move(name: str) -> bool:
            leaves = row_local(expression, name)
            return leaves is None or bool(leaves & late) or any(source in rows for source, _ in leaves)

        declared = declarations.spine_inputs(frame, self.builder.feature_version)
        return tuple(name for name in declared if name != self.key and may_move(name))

    def figures(self, moments: Sequence[datetime]) -> dict[str, Json]:
        """What was looked at."""
        sources = self.builder.systems.declarations.sources
        silent = [f"sources/{n}" for n in self.names if not (sources[n].known_from or sources[n].always_known)]
        return {
            "moments": [moment.isoformat() for moment in moments],
            "rows compared": self.compared,
            "facts": [str(fact) for facts in self.facts.values() for fact in facts],
            **({"share of entities": dict(self.shares)} if self.shares else {}),
            **({"could not be computed": self.skipped[:EXAMPLES]} if self.skipped else {}),
            **({"not proved, says nothing of when its rows are known": silent} if silent else {}),
        }

    def moments(self) -> list[datetime]:
        """At which moments the future is falsified."""
        entities = dict.fromkeys(view.keys.keys for _, view in self.views)
        return moments(self.session, self.frame, self.key, tuple(entities), self.builder.frame.moments)

    def at(self, moment: datetime) -> Iterator[Moved]:
        """What moves when the facts after *moment* are falsified."""
        rows = self.session.persist(asked(self.frame, self.key, moment))
        count = int(rows.count().to_pyarrow().as_py())
        self.compared += count
        for world in World:
            yield from self._computed(world, moment, partial(self._spine_in, world, moment, rows, count))
            yield from self._views_in(world, moment, rows)

    def _computed(self, world: World, moment: datetime, compute: Callable[[], list[Moved]]) -> list[Moved]:
        """What *compute* finds; nothing, and a note, where invented facts have no value that the expression takes.

        A world in which facts are missing holds only what is true: there an error is one of the expression.
        """
        try:
            return compute()
        except EngineError as error:
            if world == World.TRUNCATED:
                raise
            self.skipped.append(f"{world} at {moment.isoformat()}: {error.problem}"[:_SHOWN])
            return []

    # -- views ---------------------------------------------------------------------------------------------------------

    def _views_in(self, world: World, moment: datetime, asked: ir.Table) -> Iterator[Moved]:
        """Values of the views that move in *world*; one by one where they cannot be computed together."""
        concerned = [pair for pair in self.views if any(_tells(world, self._facts_of(pair[1])))]
        if not concerned:
            return
        try:
            yield from self._moved(world, moment, asked, concerned)
        except EngineError:
            for pair in concerned:
                yield from self._computed(world, moment, partial(self._moved, world, moment, asked, [pair]))

    def _moved(
        self, world: World, moment: datetime, asked: ir.Table, concerned: Sequence[tuple[ViewRef, FeatureView]]
    ) -> list[Moved]:
        spine = asked.drop(*self.builder.values)
        again = self._joined(spine, concerned, world, moment, None)
        true = asked
        if self.builder.frame.allow_stale or self._is_sampled(concerned):
            true = self._joined(spine, concerned, None, moment, None)
        return [
            self._explained(moved, spine, (ref, view), world, moment)
            for ref, view in concerned
            for moved in self._compared(true, again, self.builder.systems.declarations.view_values(ref), world, moment)
        ]

    def _facts_of(self, user: FeatureView | Frame) -> list[Fact]:
        """The facts that *user* is computed from: the rows of its sources, and late columns that it reads."""
        needed = self._needed(user)
        return [
            fact
            for name in dict.fromkeys(user.parameters)
            for fact in self.facts.get(name, ())
            if not fact.columns or set(fact.columns) & set(needed.get(name, ()))
        ]

    def _needed(self, user: FeatureView | Frame) -> Mapping[str, Sequence[str]]:
        return columns_needed(self.builder.systems.declarations.expression(user))

    def _joined(
        self,
        spine: ir.Table,
        views: Sequence[tuple[ViewRef, FeatureView]],
        world: World | None,
        moment: datetime,
        facts: Sequence[Fact] | None,
    ) -> ir.Table:
        """*spine* with the values of *views*, computed in *world*, or from the sources as they are without one."""
        declarations, joins = self.builder.systems.declarations, []
        for ref, view in views:
            tables = {name: self._source(name, view, world, moment, facts) for name in dict.fromkeys(view.parameters)}
            table = self.session.bind(declarations.expression(view), tables)
            values = declarations.view_values(ref)
            joins.append(ViewJoin(name=ref.name, table=table, keys=view.keys.keys, ttl=view.ttl, values=values))
        try:
            return self.session.point_in_time(spine, joins)
        except EngineError as error:
            names = ", ".join(ref.view for ref, _ in views)
            raise EngineError(
                f"{names} cannot be computed from what was known at {moment.isoformat()} "
                f"({world or 'nothing falsified'}): {error.problem}",
                remedy=error.remedy,
            ) from error

    def _source(
        self, name: str, view: FeatureView, world: World | None, moment: datetime, facts: Sequence[Fact] | None
    ) -> ir.Table:
        """The source *name* in *world*, as far as *view* is computed from it."""
        falsifier = self._falsifier(name)
        chosen = [fact for fact in self.facts.get(name, ()) if facts is None or fact in facts]
        table = falsifier.known(world, moment, chosen) if world and chosen else falsifier.table
        kept = self._entities_kept(name, view, table)
        return table if kept is None else table.filter(kept)

    def _falsifier(self, name: str) -> Falsifier:
        if name not in self._falsifiers:
            declarations = self.builder.systems.declarations
            source = declarations.sources[name]
            table = self.session.read(Unit("sources", name).table, self.pin, columns=self._columns(name))
            views = [view for _, view in self.views if name in view.parameters]
            self._falsifiers[name] = Falsifier(
                source=source,
                table=table,
                extremes=extremes(table) if name in self.facts else {},
                entities={key for view in views for key in view.keys.keys},
            )
        return self._falsifiers[name]

    def _columns(self, name: str) -> tuple[str, ...]:
        """Columns of the source that are used: by an expression, to tell what is known, to tell its rows apart."""
        declarations = self.builder.systems.declarations
        source = declarations.sources[name]
        views = [view for _, view in self.views if name in view.parameters]
        users: list[FeatureView | Frame] = [*views, self.builder.frame]
        used = {column for user in users for column in self._needed(user).get(name, ())}
        used |= {*source.contract.unique(), *source.known_times, *source.known_times.values()}
        used |= {time for time in (source.known_from, source.event_time) if time}
        return tuple(column for column in source.contract.names() if column in used)

    # -- large sources -------------------------------------------------------------------------------------------------

    def _is_sampled(self, views: Sequence[tuple[ViewRef, FeatureView]]) -> bool:
        return any(self._share(name) < 1 for _, view in views for name in view.parameters)

    def _share(self, name: str) -> float:
        """The share of entities of a source that is looked at."""
        rows = self.builder.systems.tables.head(Unit("sources", name).table, self.pin).rows
        return min(1.0, LARGE_ROWS / max(rows, 1))

    def _entities_kept(self, name: str, view: FeatureView, table: ir.Table) -> ir.BooleanValue | None:
        """Rows of the entities that are looked at; ``None`` for all, also where rows cannot be told by entity."""
        share = self._share(name)
        if share >= 1 or not view.keys.keys:
            return None
        lineage = self.builder.systems.declarations.lineage(view)[view.keys.keys[0]]
        columns = [path.partition(".")[2] for path in lineage.value if path.partition(".")[0] == name]
        chosen = digits(table[columns[0]]) if len(columns) == 1 else None
        if chosen is None:
            return None
        self.shares[f"features/{view.name}@{view.version} of sources/{name}"] = round(share, 4)
        kept: ir.BooleanValue = chosen < f"{int(share * _SHARES):08x}"
        return kept

    # -- spine ---------------------------------------------------------------------------------------------------------

    def _spine_in(self, world: World, moment: datetime, asked: ir.Table, count: int) -> list[Moved]:
        """Columns of the spine that move in *world*. A row that is not there any more is not compared.

        Which rows a frame has may depend on the future, as labels do. The asked row itself, in the source that is
        split, is the question: it is given, but for its columns that are known later. Half of the rows are asked at a
        time, so that rows of one cutoff are not given to each other.
        """
        facts = self._facts_of(self.builder.frame)
        if not self.inputs or not any(_tells(world, facts)):
            return []
        half = self.session.persist(one_half(asked, self.key, count, first=world != World.CORRUPTED))
        again = self._spine(world, moment, half, facts)
        found = []
        for moved in self._compared(half, again, self.inputs, world, moment):
            alone = [
                fact
                for fact in facts
                if self._compared(half, self._spine(world, moment, half, [fact]), (moved.column,), world, moment)
            ]
            found.append(moved.by(alone or facts))
        return found

    def _spine(self, world: World, moment: datetime, asked: ir.Table, facts: Sequence[Fact]) -> ir.Table:
        """The spine's rows of *asked*, computed in *world*, in which *facts* are falsified."""
        frame, tables = self.builder.frame, {}
        for name in dict.fromkeys(frame.parameters):
            chosen = [fact for fact in facts if fact.source == name]
            falsifier = self._falsifier(name)
            given = asked[self.key] if name == frame.split else None
            tables[name] = falsifier.known(world, moment, chosen, given) if chosen else falsifier.table
        spine = self.session.bind(self.builder.systems.declarations.expression(frame), tables)
        return self.session.persist(spine.semi_join(asked, self.key))

    # -- comparing -----------------------------------------------------------------------------------------------------

    def _compared(
        self, true: ir.Table, again: ir.Table, columns: Sequence[str], world: World, moment: datetime
    ) -> list[Moved]:
        """The *columns* of which some rows differ between *true* and *again*."""
        return differences(true, again, columns, key=self.key, world=world, moment=moment)

    def _explained(
        self, moved: Moved, spine: ir.Table, pair: tuple[ViewRef, FeatureView], world: World, moment: datetime
    ) -> Moved:
        """*moved* with the facts of the view's sources that move it, each falsified alone."""
        facts = [fact for fact in self._facts_of(pair[1]) if any(_tells(world, [fact]))]
        if len(facts) == 1:
            return moved.by(facts)
        true = self._joined(spine, [pair], None, moment, None)
        alone = [
            fact
            for fact in facts
            if self._compared(true, self._joined(spine, [pair], world, moment, [fact]), (moved.column,), world, moment)
        ]
        return moved.by(alone or facts)


def _tells(world: World, facts: Sequence[Fact]) -> Iterator[Fact]:
    """The facts that *world* falsifies: only rows can be invented."""
    return (fact for fact in facts if world != World.CROWDED or not fact.columns)
