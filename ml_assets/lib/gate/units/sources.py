"""Sources: raw tables that are read from files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.lib.core.errors import ConfigError, ContractError
from ml_assets.lib.core.publication import CheckResult, Publication
from ml_assets.lib.core.recipe import Json
from ml_assets.lib.core.refs import Commit
from ml_assets.lib.declare.checks import KNOWN_IN_TIME, NOT_EMPTY
from ml_assets.lib.declare.declarations import Source
from ml_assets.lib.declare.plain import EXAMPLES, plain_rows
from ml_assets.lib.gate.causes import of_recipe
from ml_assets.lib.gate.units.given import GivenFile, is_declared, kept_file, no_given_file, recorded_file
from ml_assets.lib.gate.units.reading import rows_of
from ml_assets.lib.gate.units.tables import TableWork
from ml_assets.lib.gate.work import Attempt

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from ml_assets.lib.engines.protocol import Session


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
