"""Units that are one Iceberg table: sources, splits, feature views."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.digest import RowSum, digest_of, schema_hash
from ml_assets.lib.core.errors import ConfigError, ContractError, VersionNotBumped
from ml_assets.lib.core.names import CANONICAL, Unit, features_tag
from ml_assets.lib.core.publication import CheckResult, Output, Publication
from ml_assets.lib.core.recipe import Json
from ml_assets.lib.core.refs import Commit
from ml_assets.lib.declare import lock as locks
from ml_assets.lib.declare.checks import KNOWN_IN_TIME, NOT_EMPTY
from ml_assets.lib.declare.declarations import FeatureView, Source, Split
from ml_assets.lib.declare.plain import EXAMPLES, plain_rows
from ml_assets.lib.engines.expressions import columns_needed
from ml_assets.lib.gate.causes import MADE_FROM, MEANING, of_recipe
from ml_assets.lib.gate.systems import Systems
from ml_assets.lib.gate.units.given import GivenFile, is_declared, kept_file, no_given_file, recorded_file
from ml_assets.lib.gate.units.reading import rows_of
from ml_assets.lib.gate.work import Attempt, Judged, Work

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

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


@dataclass(kw_only=True)
class SourceWork(TableWork):
    """A raw table from files: their hashes enter the recipe, names, sizes and time the publication.

    A file that a person gave (`path`) in place of the declared main one stays the input of what is published: see
    `ml_assets.lib.gate.units.given`.

    Attributes:
        path: The file to read instead of the declared main one, if a person gave one.
        files: The files that are read, by label.
    """

    declaration: Source
    path: Path | None = None
    files: Mapping[str, Path] = field(default_factory=dict, init=False)
    _ingested_at: datetime = field(default_factory=lambda: datetime.now(UTC), init=False)
    _recalled: Publication | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Hash the files, unless what is published says which they are."""
        if not self.keep:
            self._read_from(self.path)

    def follow(self, published: Publication | None) -> None:
        """As any unit; see the class.

        Raises:
            ConfigError: A file cannot be read, or the given one is needed and is not what it was.
        """
        if not self.keep:
            return
        given = kept_file(self.declaration, published) if published else None
        if published is None or given is None:
            self._read_from(None)
            return
        self._read_from(given.path, given)
        if self.recipe({}, published) != published.recipe:
            self._require_given(f"changed since: {', '.join(of_recipe(self, published))}")

    def same_given(self, published: Publication) -> bool:
        """Whether both were made from a given file, or neither."""
        return self.keep or bool(self.given) == bool(recorded_file(self.declaration, published))

    def recorded(self, published: Publication) -> dict[str, Json]:
        """The hashes of its files."""
        files = {file["label"]: file["sha256"] for file in published.extra["ingest"]["files"]}
        return {"parameters": {**self.parameters, "files": files}}

    def _read_from(self, path: Path | None, recorded: GivenFile | None = None) -> None:
        """Read *path*, whose hash may be *recorded*, in place of the main file; without one the declared file."""
        main = next(iter(self.declaration.files))
        if path is not None and recorded is None and is_declared(self.declaration, path):
            path = None
        files = {label: f.locate() for label, f in self.declaration.files.items() if path is None or label != main}
        known = {main: recorded.sha256} if recorded else {}
        self.files = files if path is None else {main: path, **files}
        hashes = {**known, **self.file_hashes({k: file for k, file in self.files.items() if k not in known})}
        self.parameters = {**self.parameters, "files": hashes}
        self.given = None
        if path is not None:
            instead_of = recorded.instead_of if recorded else str(self.declaration.files[main])
            self.given = GivenFile(path=path, sha256=hashes[main], instead_of=instead_of).as_json()

    def _require_given(self, why: str) -> None:
        """Raise unless the given file is still there and holds what it held; *why* says what it is needed for."""
        label, path = next(iter(self.files.items()))
        try:
            state = "holds something else now"
            found = self.file_hashes({label: path})[label]
        except ConfigError:
            found, state = None, "is not there any more"
        if found != self.parameters["files"][label]:
            raise no_given_file(self.unit, path, f"{state}; {why}")

    @staticmethod
    def file_hashes(files: Mapping[str, Path]) -> dict[str, str]:
        """SHA-256 of each file.

        Raises:
            ConfigError: A file cannot be read.
        """
        hashes = {}
        for label, path in files.items():
            try:
                with path.open("rb") as file:
                    hashes[label] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise ConfigError(
                    f"file {label} cannot be read: {path} ({error.strerror})",
                    remedy="correct the path",
                ) from error
        return hashes

    def write(self, attempt: Attempt) -> None:
        """Read the files and write what they hold, in the contract's columns.

        Raises:
            ContractError: They cannot be read, or are not those of the recipe any more.
            FunctionError: The function that reads them has a mistake, or returns no table.
        """
        self.systems.tables.write(
            self.unit.table,
            attempt.branch,
            self.read(),
            schema=self.contract.iceberg_schema(),
            properties=attempt.snapshot_properties,
            partition_by=self.partition_by,
        )

    def read(self) -> pa.RecordBatchReader:
        """The rows that the files hold; the reader raises what `write` says, too.

        Raises:
            ContractError, FunctionError: As `write` says.
        """
        if self.keep and self.given:
            self._require_given("it must be read again")
        self._recalled = None
        self._ingested_at = datetime.now(UTC)
        return rows_of(self.declaration, self.unit, self.files, self._check_files)

    def _check_files(self) -> None:
        """The files are still those of the recipe.

        Raises:
            ContractError: They are not.
        """
        if self.file_hashes(self.files) != self.parameters["files"]:
            names = ", ".join(path.name for path in self.files.values())
            raise ContractError(
                f"{names} changed while {self.unit} was read", remedy="run it again when the file is complete"
            )

    def recall(self, publication: Publication) -> None:
        """The files, and the time of ingestion, which facts must not be later than."""
        self._recalled = publication
        self._ingested_at = datetime.fromisoformat(publication.extra["ingest"]["at"])

    def own_checks(self, session: Session, table: ir.Table, at: Commit, pin: Commit) -> list[CheckResult]:
        """At least one row; no fact that becomes known only after it was ingested; what is always known stays."""
        rows = int(table.count().execute())
        empty = CheckResult(
            check=NOT_EMPTY.name, passed=rows > 0, counts={} if rows else {"no rows": 1}, figures={"rows": rows}
        )
        return [empty, self._known_in_time(table) or self._always_known(session, table, at, pin)]

    def _known_in_time(self, table: ir.Table) -> CheckResult | None:
        """What the check says of facts that are known only after they were ingested; ``None`` if there are none."""
        import ibis

        source = self.declaration
        times = sorted({*source.known_at.values(), *([source.known_from] if source.known_from else [])})
        counts: dict[str, int] = {}
        examples: list[dict[str, Json]] = []
        for column in times:
            late = table.filter(table[column] > ibis.literal(self._ingested_at))
            if found := int(late.count().execute()):
                counts[f"{column}: after ingestion"] = found
                examples += plain_rows(late, EXAMPLES)
        if not counts:
            return None
        return CheckResult(
            check=KNOWN_IN_TIME.name,
            passed=False,
            rows_failed=sum(counts.values()),
            counts=counts,
            examples=tuple(examples[:EXAMPLES]),
            figures=self._ingested(),
        )

    def _always_known(self, session: Session, table: ir.Table, at: Commit, pin: Commit) -> CheckResult:
        """A warning where a source that claims to be always known differs from what was published of it before.

        Whoever asked before it changed saw other rows: frames made from it now know what nobody knew then.
        """
        before = self.systems.records.get(self.unit, pin) if self.declaration.always_known and at != pin else None
        counts: dict[str, int] = {}
        examples: list[dict[str, Json]] = []
        if before is not None:
            old = session.read(self.unit.table, before.audited)
            names = [name for name in table.columns if name in old.columns and old[name].type() == table[name].type()]
            one, other = old.select(names), table.select(names)
            gone = one.difference(other)
            differing = {"changed or gone": gone, "new": other.difference(one)}
            found = {what: int(rows.count().execute()) for what, rows in differing.items()}
            counts = {f"always_known: {what} since the last publication": n for what, n in found.items() if n}
            examples = plain_rows(gone, EXAMPLES)
        return CheckResult(
            check=KNOWN_IN_TIME.name,
            passed=not counts,
            severity="warn" if counts else "error",
            rows_failed=sum(counts.values()),
            counts=counts,
            examples=tuple(examples),
            figures=self._ingested(),
        )

    def _ingested(self) -> dict[str, Json]:
        return {"ingested_at": self._ingested_at.isoformat(timespec="seconds")}

    def extra(self) -> Mapping[str, Json]:
        """The files that were read, and when."""
        if self._recalled:
            return {"ingest": self._recalled.extra["ingest"]}
        hashes = self.parameters["files"]
        return {
            "ingest": {
                "at": self._ingested_at.isoformat(timespec="milliseconds"),
                "files": [
                    {"label": label, "name": path.name, "sha256": hashes[label], "bytes": path.stat().st_size}
                    for label, path in self.files.items()
                ],
            }
        }


def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed version of each distribution on which a result depends."""
    return {name: version(name) for name in names}
