"""Units that are one Iceberg table: splits and feature views here, sources in `ml_assets.lib.gate.units.sources`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.digest import RowSum, digest_of, schema_hash
from ml_assets.lib.core.errors import VersionNotBumped
from ml_assets.lib.core.names import CANONICAL, Unit, features_tag
from ml_assets.lib.core.publication import CheckResult, Output, Publication
from ml_assets.lib.core.recipe import Json
from ml_assets.lib.core.refs import Commit
from ml_assets.lib.declare import lock as locks
from ml_assets.lib.declare.declarations import FeatureView, Source, Split
from ml_assets.lib.engines.expressions import columns_needed
from ml_assets.lib.gate.causes import MADE_FROM, MEANING
from ml_assets.lib.gate.systems import Systems
from ml_assets.lib.gate.work import Attempt, Judged, Work

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ml_assets.lib.declare.contracts import Contract
    from ml_assets.lib.declare.rules import Rule
    from ml_assets.lib.engines.protocol import Engine, Session


_LOOK_BACK: Final = 1000
"""Commits on the target among which the one that completed a feature version is looked for."""


@dataclass(kw_only=True)
class TableWork(Work):
    """A unit whose output is one whole table."""

    systems: Systems
    declaration: Source | Split | FeatureView
    contract: type[Contract]
    table_rules: tuple[Rule, ...]

    @property
    def partition_by(self) -> tuple[str, ...]:
        """What the table's files are parted by."""
        return tuple(self.parameters.get("partition_by", ()))

    @property
    def engine(self) -> Engine:
        """That of the declaration."""
        return self.systems.engine_of(self.declaration)

    def audit(self, at: Commit, pin: Commit) -> Judged:
        """Contract, then each rule, on the table as it lies at *at*; the digest is taken from the same rows.

        Hashing is Python's work and checking the engine's, so they are done beside each other.
        """
        tables = self.systems.tables
        with self.engine.session(tables) as session, ThreadPoolExecutor(1, "digest") as beside:
            table = session.read(self.unit.table, at)
            summing = beside.submit(self.row_sum, session, table, at)
            upstream = _Upstream(session, self.inputs, pin)
            results = [self.contract.audit(table), *self.own_checks(session, table, at, pin)]
            results += [rule.audit(table, upstream) for rule in self.table_rules]
            schema = self.contract.arrow_schema()
            head = tables.head(self.unit.table, at)
            output = Output(
                name=self.unit.table,
                path=head.path,
                checksum=head.checksum,
                rows=head.rows,
                bytes=head.bytes,
                digest=digest_of(schema, summing.result()),
                schema_hash=schema_hash(schema),
            )
        return Judged(outputs=(output,), verdict=tuple(results))

    def own_checks(self, session: Session, table: ir.Table, at: Commit, pin: Commit) -> list[CheckResult]:
        """Checks that come with the kind of unit rather than from its declaration: of *table*, which lies at *at*."""
        return []

    def row_sum(self, session: Session, table: ir.Table, at: Commit) -> RowSum:
        """The sum of the rows of *table*, which lies at *at*."""
        return session.row_sum(table)


class _Upstream(Mapping[str, "ir.Table"]):
    """The tables that rules compare with, each read when it is first asked for."""

    def __init__(self, session: Session, inputs: Mapping[str, Unit], pin: Commit) -> None:
        self._session, self._inputs, self._pin = session, inputs, pin
        self._read: dict[str, ir.Table] = {}

    def __getitem__(self, name: str) -> ir.Table:
        if name not in self._read:
            self._read[name] = self._session.read(self._inputs[name].table, self._pin)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._inputs)

    def __len__(self) -> int:
        return len(self._inputs)


@dataclass(kw_only=True)
class ExpressionWork(TableWork):
    """A split or feature view: an expression over sources, run by the engine, written by it."""

    declaration: Split | FeatureView

    def admit(self, published: Publication | None) -> None:
        """A version means one thing for ever: what versions.lock says, and what the lake says.

        On another target than ``main`` it may still be tried out.
        """
        if self.systems.target.name != CANONICAL:
            return
        if isinstance(self.declaration, FeatureView):
            locks.check_view(self.systems.declarations, self.declaration)
            bump = f"version={self.declaration.version + 1} in a new feature version"
        else:
            locks.check_split(self.systems.declarations, self.declaration)
            bump = "a new split version"
        made_with = published and published.definition.made_with
        if published and made_with == self.definition.made_with and self._means_another(published):
            raise VersionNotBumped(
                f"{self.unit} is published by another definition than {self.declaration.where} has now",
                remedy=f"declare it as {bump}",
            )

    def _means_another(self, published: Publication) -> bool:
        """Whether *published* was computed in another way, whatever columns its sources have gained since.

        Of a split, earlier versions did not record that.
        """
        if isinstance(self.declaration, Split):
            before, now = published.extra.get(MADE_FROM, {}), self.made_from()
            return any(before.get(part, now[part]) != now[part] for part in (MEANING, "seed"))
        old, new = published.definition, self.definition
        return (old.identity, old.keys, old.ttl) != (new.identity, new.keys, new.ttl)

    def made_from(self) -> dict[str, Json]:
        """As of any unit; of a split also what it computes over the columns that it uses."""
        found = super().made_from()
        if isinstance(self.declaration, Split):
            found[MEANING] = self.systems.declarations.meaning(self.declaration)
        return found

    def write(self, attempt: Attempt) -> None:
        """Run the expression on the inputs at the pin; a split is written in order of its key, which packs it."""
        expression = self.systems.declarations.expression(self.declaration)
        if isinstance(self.declaration, Split):
            expression = expression.order_by(self.declaration.key)
        with self.engine.session(self.systems.tables) as session:
            bound = read_bound(session, expression, self.inputs, attempt.pin)
            session.write(
                bound,
                self.unit.table,
                attempt.branch,
                schema=self.contract.iceberg_schema(),
                properties=attempt.snapshot_properties,
                partition_by=self.partition_by,
            )

    def settle(self, publication: Publication, commit: Commit) -> Mapping[str, str]:
        """Tag every feature version that the view makes complete."""
        if not isinstance(self.declaration, FeatureView):
            return {}
        tags = [tag for name in self._complete_at(commit) if (tag := self._tag(name, commit))]
        return {"features_tag": ", ".join(tags)} if tags else {}

    def _complete_at(self, commit: Commit) -> list[str]:
        """The feature versions with this view whose views are all published at *commit*, from the same sources."""
        declarations, records = self.systems.declarations, self.systems.records.at(commit)
        names = []
        for name in declarations.feature_versions:
            units = declarations.units_of_feature_version(name)
            found = [records.get(unit) for unit in units]
            if self.unit in units and all(view is not None and not records.is_stale(view) for view in found):
                names.append(name)
        return names

    def _tag(self, feature_version: str, commit: Commit) -> str | None:
        """Tag the commit that published the last of the version's views; the same one however often this runs.

        It is told by its metadata: asked for the commits that changed a path, lakeFS leaves out merges.
        """
        lake = self.systems.lake
        units = {str(unit) for unit in self.systems.declarations.units_of_feature_version(feature_version)}
        for info in lake.log(commit, first_parent=True, amount=_LOOK_BACK):
            if info.metadata.get("unit") in units:
                tag = features_tag(feature_version, info.id)
                lake.tag(tag, info.id)
                return tag.name
        return None


def read_bound(session: Session, expression: ir.Table, inputs: Mapping[str, Unit], pin: Commit) -> ir.Table:
    """*expression* over its inputs at *pin*; only the columns that it needs are read."""
    needed = columns_needed(expression)
    tables = {name: session.read(inputs[name].table, pin, columns=columns) for name, columns in needed.items()}
    return session.bind(expression, tables)


def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed version of each distribution on which a result depends."""
    return {name: version(name) for name in names}
