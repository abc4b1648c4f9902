"""Frames: the training rows of a model, kept as a recipe and a digest; the rows can be rebuilt at any time.

A frame with very many rows also has a table in the lake, owned by its unit: it is read, not rebuilt.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.digest import digest_of
from ml_assets.lib.core.errors import DigestMismatch, MissingCommit, VersionNotBumped
from ml_assets.lib.core.names import CANONICAL, EVENT_TIMESTAMP, Unit
from ml_assets.lib.core.publication import Output, Publication
from ml_assets.lib.core.recipe import Json, canonical_json
from ml_assets.lib.core.refs import Commit
from ml_assets.lib.declare import lock as locks
from ml_assets.lib.declare.versions import ViewRef
from ml_assets.lib.engines.protocol import ViewJoin
from ml_assets.lib.gate.causes import MADE_FROM
from ml_assets.lib.gate.rows import RowFacts
from ml_assets.lib.gate.units.no_future import no_future
from ml_assets.lib.gate.units.objects import read_object
from ml_assets.lib.gate.units.tables import read_bound
from ml_assets.lib.gate.work import Attempt, Judged, Work

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ml_assets.lib.declare.contracts import Contract
    from ml_assets.lib.declare.declarations import Frame
    from ml_assets.lib.engines.protocol import Engine, Session
    from ml_assets.lib.gate.rows import Rows
    from ml_assets.lib.gate.systems import Systems

FORMAT: Final = 1
TABLE: Final = "table"
"""The field of the object that names the frame's table, where it has one."""
_FIGURE_DIGITS: Final = 6
_TOLERANCE: Final = 1e-4
_SQUARABLE: Final = 1e150
"""Sums of squares of doubles below it are finite, however many there are."""


@dataclass(frozen=True, kw_only=True)
class FrameBuilder:
    """Rebuilds the rows of one frame from its inputs at a commit.

    Attributes:
        systems: Outside systems.
        frame: The declaration.
        split_version: Which split.
        feature_version: Which features.
    """

    systems: Systems
    frame: Frame
    split_version: str
    feature_version: str

    @property
    def unit(self) -> Unit:
        """The frame's unit."""
        return self.systems.declarations.unit(self.frame, self.split_version, self.feature_version)

    @property
    def engine(self) -> Engine:
        """What computes and judges the frame."""
        return self.systems.engine_of(self.frame)

    @property
    def sources(self) -> dict[str, Unit]:
        """Sources of the spine, by parameter."""
        return {name: Unit("sources", name) for name in self.frame.parameters}

    @property
    def split(self) -> Unit:
        """The split index."""
        return Unit("splits", self.frame.split, self.split_version)

    @property
    def inputs(self) -> dict[str, Unit]:
        """Everything that is read: sources by name, the split, the views as ``features/<name>``."""
        views = self.systems.declarations.units_of_feature_version(self.feature_version)
        return {**self.sources, f"splits/{self.frame.split}": self.split, **{f"features/{u.name}": u for u in views}}

    @property
    def values(self) -> list[str]:
        """Value columns of the views, in order."""
        declarations = self.systems.declarations
        refs = declarations.feature_versions[self.feature_version]
        return [value for ref in refs for value in declarations.view_values(ref)]

    @property
    def parameters(self) -> dict[str, Json]:
        """What determines the rows beside spine and inputs: which columns of which views."""
        declarations = self.systems.declarations
        refs = declarations.feature_versions[self.feature_version]
        return {"values": {str(ref): list(declarations.view_values(ref)) for ref in refs}}

    @property
    def contract(self) -> type[Contract]:
        """Spine, values and split."""
        return self.systems.declarations.contract(self.frame, self.feature_version)

    @contextmanager
    def built(self, pin: Commit) -> Iterator[tuple[Session, ir.Table]]:
        """A session, and in it the rows from the inputs at *pin*, computed. One join serves all three splits."""
        with self.engine.session(self.systems.tables) as session:
            spine = session.persist(self.spine(session, pin))
            yield session, self.joined(session, spine, self.views(session, pin))

    def rows(self, pin: Commit) -> Rows:
        """The rows from the inputs at *pin*: computed, then kept in the cache."""
        with self.built(pin) as (session, table):
            return self.systems.rows.put(session.batches(table))

    def spine(self, session: Session, pin: Commit) -> ir.Table:
        """The rows to be filled with features: the declared spine, and to which split each belongs."""
        expression = self.systems.declarations.expression(self.frame)
        spine = read_bound(session, expression, self.sources, pin)
        index = session.read(self.split.table, pin)
        key = self.systems.declarations.splits[self.split_version].key
        return spine.join(index, key)

    def views(self, session: Session, pin: Commit) -> list[ViewJoin]:
        """The published views at *pin*."""
        joins = []
        for ref in self.systems.declarations.feature_versions[self.feature_version]:
            view = self.systems.declarations.view(ref)
            values = self.systems.declarations.view_values(ref)
            columns = (*view.keys.keys, EVENT_TIMESTAMP, *values)
            table = session.read(view.unit.table, pin, columns=columns)
            joins.append(ViewJoin(name=ref.name, table=table, keys=view.keys.keys, ttl=view.ttl, values=values))
        return joins

    def joined(self, session: Session, spine: ir.Table, views: list[ViewJoin]) -> ir.Table:
        """*spine* with the values of *views* as known at each cutoff, in the frame's columns and order."""
        names = [column.name for column in self.systems.declarations.frame_columns(self.frame, self.feature_version)]
        return session.point_in_time(spine, views).select(*names)


def published_rows(systems: Systems, publication: Publication) -> Rows:
    """The rows of a published frame: from this machine's cache, from the frame's table, else rebuilt.

    Raises:
        MissingCommit, DigestMismatch: As `rebuilt`.
    """
    if rows := systems.rows.get(publication.digest):
        return rows
    if len(publication.outputs) == 1:
        return rebuilt(systems, publication)
    rows = systems.rows.put(systems.tables.scan(publication.unit.table, publication.audited))
    prove(systems, rows, publication)
    return rows


def rebuilt(systems: Systems, publication: Publication) -> Rows:
    """The rows of a published frame, computed again at the frame's pin and proved.

    Raises:
        MissingCommit: The frame is not declared any more as it was published, so it cannot be rebuilt with this code.
        DigestMismatch: The rebuilt rows are not those that were published.
    """
    split_version, feature_version = publication.unit.both
    frame = systems.declarations.frames.get(publication.unit.name)
    if frame is None or systems.declarations.definition(frame).identity != publication.definition.identity:
        raise MissingCommit(
            f"{publication.unit} was published by another definition than the code declares now",
            remedy=f"check out code commit {publication.code.get('git_commit')}, or materialize the frame again",
        )
    builder = FrameBuilder(systems=systems, frame=frame, split_version=split_version, feature_version=feature_version)
    rows = builder.rows(publication.pin)
    prove(systems, rows, publication)
    return rows


def prove(systems: Systems, rows: Rows, publication: Publication) -> None:
    """Whether rebuilt *rows* are those that were published: by digest.

    A frame that is declared as not deterministic is compared by counts, and by mean, deviation and share of nulls of
    each column within a tolerance.

    Raises:
        DigestMismatch: They are not.
    """
    if rows.digest == publication.digest:
        return
    where = f"{publication.unit} rebuilt at {publication.pin.short}"
    if publication.definition.deterministic:
        raise DigestMismatch(
            f"{where} is {rows.digest}, not {publication.digest}",
            remedy="compare code, engine and environment with those in the publication",
        )
    body = json.loads(systems.lake.read(publication.audited, publication.unit.object_path) or b"{}")
    with systems.engine.session(systems.tables) as session:
        found = quality(session.offer(rows.reader()), rows.count)
    moved = [name for name, figures in body["quality"].items() if not _alike(figures, found.get(name, {}))]
    if dict(rows.counts) != body["counts"] or moved:
        raise DigestMismatch(
            f"{where} differs beyond the tolerance: counts {dict(rows.counts)}, columns {', '.join(moved) or 'none'}",
            remedy="declare the frame as deterministic, with integer accumulators, to have it proved exactly",
        )


@dataclass(kw_only=True)
class FrameWork(Work):
    """A frame at both versions. Its output is one small JSON object, and a table where its rows are very many."""

    systems: Systems
    builder: FrameBuilder
    keeps_pin: bool = True

    @property
    def engine(self) -> Engine:
        """That of the declaration."""
        return self.builder.engine

    def admit(self, published: Publication | None) -> None:
        """A feature version means the same columns of the same views for ever, on ``main``.

        Raises:
            VersionNotBumped: It has others than versions.lock says, or than the frame is published with.
        """
        if self.systems.target.name != CANONICAL:
            return
        name, declarations = self.builder.feature_version, self.systems.declarations
        locks.check_feature_version(declarations, name)
        if published is None:
            return
        refs = declarations.feature_versions[name]
        now = {ref.view: declarations.view_values(ref) for ref in refs}
        if how := locks.differences(self._published_columns(published), now):
            raise VersionNotBumped(
                f"{self.unit} is published with other columns than feature version {name} has now: {how}",
                remedy="declare the change as a new feature version",
            )

    def _published_columns(self, published: Publication) -> Mapping[str, Sequence[str]]:
        """The columns of each view that *published* holds; of an earlier version's, by the columns of its object."""
        values = published.extra.get(MADE_FROM, {}).get("parameters", {}).get("values")
        if values is not None:
            return {ref.partition("[")[0]: columns for ref, columns in values.items()}
        declarations = self.systems.declarations
        units = [Unit.parse(ref.unit) for name, ref in published.inputs.items() if name.startswith("features/")]
        refs = [ViewRef(unit.name, int(unit.version)) for unit in units]
        body = self.systems.lake.read(published.audited, self.unit.object_path)
        held = {name for name, _ in json.loads(body)["columns"]} if body else set()
        known = {
            ref.view: declarations.view_values(ref) for ref in refs if (ref.name, ref.version) in declarations.views
        }
        return {ref.view: [column for column in known.get(ref.view, ()) if column in held] for ref in refs}

    def write(self, attempt: Attempt) -> None:
        """Join once, put the rows into the cache or into the frame's table, and write what describes them."""
        lake, unit = self.systems.lake, self.unit
        with self.builder.built(attempt.pin) as (session, table):
            count = int(table.count().execute())
            large = count > self.systems.frame_rows
            facts: RowFacts
            if large:
                facts = self._write_table(session, table, attempt)
            else:
                lake.delete(attempt.branch, [stat.path for stat in lake.ls(attempt.branch, unit.table_path)])
                facts = self.systems.rows.put(session.batches(table))
            figures = quality(table, count)
        body = {
            "format": FORMAT,
            "unit": str(unit),
            "digest": facts.digest,
            **facts.as_json(),
            **({TABLE: unit.table} if large else {}),
            "quality": figures,
        }
        lake.put(attempt.branch, unit.object_path, canonical_json(body))

    def _write_table(self, session: Session, table: ir.Table, attempt: Attempt) -> RowFacts:
        session.write(
            table,
            self.unit.table,
            attempt.branch,
            schema=self.builder.contract.iceberg_schema(),
            properties=attempt.snapshot_properties,
        )
        return RowFacts.of(session.batches(table.limit(0)).schema, *session.row_sums_by(table))

    def audit(self, at: Commit, pin: Commit) -> Judged:
        """Contract, rules, and that no fact of the future moved the rows, which are bound by digest to the object."""
        body, outputs = self._published(at)
        with self.engine.session(self.systems.tables) as session:
            table, digest = self._rows(session, body, at, pin)
            if digest != body["digest"] and self.definition.deterministic:
                raise DigestMismatch(
                    f"{self.unit} cannot be rebuilt at {pin.short}", remedy="materialize it with --recompute"
                )
            results = [self.builder.contract.audit(table), no_future(self.builder, session, table, pin)]
            results += [rule.audit(table, {}) for rule in self.builder.frame.rules]
        return Judged(outputs=outputs, verdict=tuple(results))

    def _rows(self, session: Session, body: Mapping[str, Json], at: Commit, pin: Commit) -> tuple[ir.Table, str]:
        """The rows that *body* describes, and their digest: of the table at *at*, of the cache, or made at *pin*."""
        if TABLE in body:
            table = session.read(self.unit.table, at)
            return table, digest_of(self.builder.contract.arrow_schema(), session.row_sum(table))
        rows = self.systems.rows.get(body["digest"]) or self.builder.rows(pin)
        return session.offer(rows.reader()), rows.digest

    def _published(self, at: Commit) -> tuple[dict[str, Json], tuple[Output, ...]]:
        """The object at *at*, and the outputs that it stands for: itself, and the table that it names."""
        body, stat = read_object(self.systems.lake, self.unit, at)
        output = Output(
            name=stat.path,
            path=stat.path,
            checksum=stat.checksum,
            rows=sum(body["counts"].values()),
            bytes=stat.size,
            digest=body["digest"],
            schema_hash=body["schema_hash"],
        )
        if TABLE not in body:
            return body, (output,)
        head = self.systems.tables.head(self.unit.table, at)
        table = replace(output, name=self.unit.table, path=head.path, checksum=head.checksum, bytes=head.bytes)
        return body, (output, table)


def quality(table: ir.Table, rows: int) -> dict[str, Json]:
    """Per column the share of nulls, of numbers also mean and deviation; rounded, as sums of doubles differ.

    A column with a value whose square a double cannot hold, or that is no number, has neither mean nor deviation: an
    engine would answer with an error, and whether the value is lawful is for the audit to say.

    Args:
        table: The rows of a frame.
        rows: How many there are.
    """
    import ibis
    import ibis.expr.datatypes as dt

    measures = {}
    for name, kind in table.schema().items():
        column = table[name]
        measures[f"{name}|nulls"] = column.isnull().sum()
        if isinstance(kind, dt.Floating):
            small = column.abs() < _SQUARABLE
            measures[f"{name}|beyond"] = (column.notnull() & ~small).sum()
            column = small.ifelse(column, ibis.null(kind))
        if isinstance(kind, dt.Integer):
            column = column.cast("float64")  # whose sum 64 bits may not hold
        if isinstance(kind, dt.Numeric):
            measures |= {f"{name}|mean": column.mean(), f"{name}|std": column.std()}
    figures = table.aggregate(**measures).to_pyarrow().to_pylist()[0]
    beyond = {name.rpartition("|")[0] for name, value in figures.items() if name.endswith("|beyond") and value}
    total = max(rows, 1)
    quality: dict[str, Json] = {}
    for key, value in figures.items():
        name, _, measure = key.rpartition("|")
        entry = quality.setdefault(name, {})
        if measure == "nulls":
            entry["null_rate"] = _rounded((value or 0) / total)
        elif measure != "beyond" and value is not None and name not in beyond:
            entry[measure] = _rounded(value)
    return quality


def _alike(one: Mapping[str, Json], other: Mapping[str, Json]) -> bool:
    """Whether two columns' figures are equal but for the last digits that sums of doubles differ in."""
    return one.keys() == other.keys() and all(
        value == other[name] or math.isclose(value, other[name], rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
        for name, value in one.items()
    )


def _rounded(value: float) -> float | None:
    """*value* to six significant digits; ``None`` for what JSON cannot say."""
    if not math.isfinite(value):
        return None
    return float(f"{value:.{_FIGURE_DIGITS}g}")
