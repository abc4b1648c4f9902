"""Sources that grow: each materialization appends the rows of its files, and each file is in the table once.

What is published is a set of batches, whatever the order in which they came. A batch is the files of one
materialization, known by their hashes; its own recipe says how they were read. The unit's recipe is that of the set, so
equal recipes still mean equal rows, and a batch that is in the set already is *unchanged*: a rerun after a lost answer,
or a second run with the same file, appends nothing, even if the code that reads files has changed since.

Only a file that somebody names is added: with `keep`, a source that is published consists of the batches that it has,
whatever the declared file holds by now.

The digest adds up: the recorded sum of the rows that were there, and the sum of the new ones. Who loses a race puts the
files that it wrote on top of what the winner published, is audited again, and reads no file again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_assets.lib.core.digest import RowSum, digest_of, row_sum
from ml_assets.lib.core.errors import NotReplayable
from ml_assets.lib.core.publication import Publication
from ml_assets.lib.core.recipe import InputRef, Json, hash_of
from ml_assets.lib.core.refs import Commit
from ml_assets.lib.gate.units.given import APPEND
from ml_assets.lib.gate.units.sources import SourceWork
from ml_assets.lib.gate.work import Attempt, Judged

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ml_assets.lib.engines.protocol import Session


@dataclass(kw_only=True)
class AppendWork(SourceWork):
    """A source whose files are appended to what is published of it."""

    _published: Publication | None = field(default=None, init=False)
    _sum: RowSum = field(default_factory=RowSum.zero, init=False)
    _lost: Commit | None = field(default=None, init=False)
    """The data of an attempt that lost a race."""
    _kept: Publication | None = field(default=None, init=False)
    """What is published, where no file is to be added to it."""

    def follow(self, published: Publication | None) -> None:
        """With `keep`, nothing is added to what is published.

        Raises:
            ConfigError: Nothing is published yet, and a declared file cannot be read.
        """
        self._kept = published if self.keep else None
        if self._kept:
            self.recall(self._kept)
        else:
            super().follow(None)

    def same_given(self, published: Publication) -> bool:
        """A batch is known by what it holds, wherever it came from."""
        return True

    def made_from(self) -> dict[str, Json]:
        """Nothing: each batch has a recipe of its own."""
        return {}

    @property
    def batch(self) -> str:
        """What the files are known by."""
        return hash_of(self.parameters["files"])

    def recipe(self, inputs: Mapping[str, InputRef], published: Publication | None) -> str:
        """Hash of the set of batches: those that are published, and this one."""
        return hash_of({"batches": sorted(self._batches(published).values())})

    def _batches(self, published: Publication | None) -> dict[str, str]:
        """Own recipe of each batch that is *published*, and of the one that is added."""
        added = {} if self._kept else {self.batch: super().recipe({}, None)}
        return {**added, **batches(published)}

    def write(self, attempt: Attempt) -> None:
        """Append the rows of the files, unless they are there; what was changed behind the gate is put right first.

        Raises:
            ContractError: They cannot be read, or are not those of the recipe any more.
            TableError: The table has columns that the contract lacks, or lacks columns that it requires.
        """
        systems, table = self.systems, self.unit.table
        self._published = published = systems.records.get(self.unit, attempt.pin)
        if published is None:
            super().write(attempt)
            return
        whole = systems.records.valid(published, attempt.pin)
        if not whole:
            self._restore(published, attempt)
        if self._kept or self.batch in batches(published):
            return
        if not (whole and self._replayed(attempt)):
            systems.tables.append(
                table,
                attempt.branch,
                self.read(),
                schema=self.contract.iceberg_schema(),
                properties=attempt.snapshot_properties,
                partition_by=self.partition_by,
            )

    def _restore(self, published: Publication, attempt: Attempt) -> None:
        """Write the rows as they were published."""
        tables, table = self.systems.tables, self.unit.table
        schema = tables.catalog(published.audited).load_table(table).schema()
        rows = tables.scan(table, published.audited)
        properties = attempt.snapshot_properties
        tables.write(table, attempt.branch, rows, schema=schema, properties=properties, partition_by=self.partition_by)

    def _replayed(self, attempt: Attempt) -> bool:
        """Whether what an earlier attempt wrote could be put on top of what has been published since."""
        from ml_assets.lib.tables.rebase import rebase

        if self._lost is None:
            return False
        try:
            rebase(self.systems.tables, self._lost, attempt.branch, properties=attempt.snapshot_properties)
        except NotReplayable:
            return False
        return True

    def audit(self, at: Commit, pin: Commit) -> Judged:
        """As of any source, on all rows: a batch may repeat keys of others. Only new rows are summed up."""
        judged = super().audit(at, pin)
        self._lost = at
        return judged

    def row_sum(self, session: Session, table: ir.Table, at: Commit) -> RowSum:
        """The sum of what is published and of the rows that came in since."""
        known, added = recorded_sum(self._published), None
        if self._published and known and digest_of(self.contract.arrow_schema(), known) == self._published.digest:
            added = self.systems.tables.scan_added(self.unit.table, at, since=self._published.audited)
        self._sum = super().row_sum(session, table, at) if known is None or added is None else known + row_sum(added)
        return self._sum

    def extra(self) -> Mapping[str, Json]:
        """As of any source; the batches, with their own recipes, and the sum of all rows."""
        grown = {"batches": self._batches(self._published), "rows": self._sum.rows, "sum": f"{self._sum.total:032x}"}
        return {**super().extra(), APPEND: grown}


def batches(published: Publication | None) -> dict[str, str]:
    """The batches that a publication consists of, with their own recipes; of a replaced table: its files, as one."""
    if published is None:
        return {}
    if APPEND in published.extra:
        return dict(published.extra[APPEND]["batches"])
    files = {file["label"]: file["sha256"] for file in published.extra["ingest"]["files"]}
    return {hash_of(files): published.recipe}


def recorded_sum(published: Publication | None) -> RowSum | None:
    """The sum of all rows that a publication recorded."""
    if published is None or APPEND not in published.extra:
        return None
    grown = published.extra[APPEND]
    return RowSum(grown["rows"], int(grown["sum"], 16))
