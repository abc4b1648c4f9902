"""Maintenance of a published table is one more gated publish: on a branch, audited, merged if nobody was faster.

    pin -> branch -> write -> audit -> verdict -> check -> publish -> settle

The rows stay the same, and so does the publication: digest, recipe, inputs, run. Only where the audited data lies moves
on, in the same merge. What was removed stays readable at every earlier commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.digest import digest_of
from ml_assets.lib.core.errors import ConfigError, GateError, TableError, UnrecordedChange
from ml_assets.lib.gate.attempts import drop_branches, open_branch, record, tried
from ml_assets.lib.gate.branches import needed_at, tagged
from ml_assets.lib.gate.gate import Step
from ml_assets.lib.gate.outcome import user
from ml_assets.lib.gate.publish import Candidate, check, merge

if TYPE_CHECKING:
    from ml_assets.lib.core.names import Unit
    from ml_assets.lib.core.publication import Publication
    from ml_assets.lib.core.refs import Branch, Commit
    from ml_assets.lib.gate.machinery import Machinery
    from ml_assets.lib.gate.outcome import Run
    from ml_assets.lib.tables.maintain import Plan, Rewrite, Size

TABLE_STAGES: Final = ("sources", "splits", "features")
KEEP: Final = timedelta(days=7)
"""How long a snapshot stays readable at the head of its table."""
MAINTAINED: Final = "maintained"
"""The field of a publication that says when, and in which run, its table was maintained."""


class State(StrEnum):
    """What came of one table."""

    IN_ORDER = "in order"
    PLANNED = "planned"
    MAINTAINED = "maintained"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintained:
    """What came of one table.

    Attributes:
        unit: The unit whose table it is.
        state: What came of it.
        before: What it took up.
        after: What it takes up now, where it was maintained.
        plan: What was, or is, to be done.
        commit: Where it was published.
        note: What else is worth knowing.
    """

    unit: Unit
    state: State
    before: Size | None = None
    after: Size | None = None
    plan: Plan | None = None
    commit: Commit | None = None
    note: str = ""

    def as_row(self) -> dict[str, str]:
        """For people: what was, and what is or would be."""
        row = {"table": str(self.unit), "state": str(self.state)}
        for name in ("objects", "bytes", "files", "snapshots"):
            sizes = [f"{getattr(size, name):,}" for size in (self.before, self.after) if size]
            row[name] = " -> ".join(sizes)
        return {**row, "note": self._planned() if self.state == State.PLANNED else self.note}

    def _planned(self) -> str:
        todo = self.plan
        assert todo is not None  # a plan is all that such a one has
        said = f"merge {todo.merge_files} files, expire {todo.expire} snapshots, remove {todo.remove} objects"
        return "; ".join(filter(None, (said, self.note)))


def maintain(
    machinery: Machinery,
    names: Sequence[str] = (),
    *,
    run: Run,
    keep: timedelta = KEEP,
    dry_run: bool = False,
    rewrite: Rewrite | None = None,
) -> Iterator[Maintained]:
    """Maintain published tables, one after the other; one that fails keeps no other from it.

    Args:
        machinery: Gate and systems.
        names: Which: asset keys (``splits/flights`` means all of its versions), units, or table names; all if none.
        run: On whose behalf.
        keep: Snapshots that are older go, unless they hold the table's rows.
        dry_run: Only say what is to be done.
        rewrite: Merges the files of large tables, unless the engine does; without either they stay as they are.

    Raises:
        ConfigError: A name that means no published table.
        LakeError: The lake refused, or could not be reached; the target is whole.
    """
    rewrite = rewrite or machinery.engine.rewriter(machinery.systems.tables)
    maintenance = _Maintenance(machinery=machinery, run=run, keep=keep, rewrite=rewrite)
    for unit in _units(machinery, names):
        try:
            if dry_run:
                yield maintenance.look(unit, machinery.lake.head(machinery.target))
            else:
                yield tried(unit, partial(maintenance.attempt, unit), machinery.state)
        except (GateError, TableError) as error:
            yield Maintained(unit=unit, state=State.FAILED, note=str(error))


def _units(machinery: Machinery, names: Sequence[str]) -> list[Unit]:
    published = machinery.systems.records.all(machinery.lake.head(machinery.target))
    units = [found.unit for found in published if found.unit.stage in TABLE_STAGES]
    meant = {name: [u for u in units if name in (str(u), u.table, f"{u.stage}/{u.name}")] for name in names}
    if unknown := [name for name, found in meant.items() if not found]:
        raise ConfigError(
            f"no published table is named {', '.join(unknown)}", remedy=f"choose of {', '.join(map(str, units))}"
        )
    wanted = {unit for found in meant.values() for unit in found}
    return [unit for unit in units if unit in wanted or not names]


@dataclass(frozen=True, kw_only=True)
class _Maintenance:
    """One pass over tables."""

    machinery: Machinery
    run: Run
    keep: timedelta
    rewrite: Rewrite | None

    @cached_property
    def needed(self) -> tuple[Commit, ...]:
        """Commits at which a frame of the target or a registered model reads."""
        pins = needed_at(self.machinery, self.machinery.lake.head(self.machinery.target))
        return tuple(dict.fromkeys(chain(pins, tagged(self.machinery))))

    @cached_property
    def older_than(self) -> datetime:
        """Snapshots from before go."""
        return datetime.now(UTC) - self.keep

    def look(self, unit: Unit, at: Commit) -> Maintained:
        """What is to be done."""
        from ml_assets.lib.tables.maintain import plan, size

        tables = self.machinery.systems.tables
        self._publication(unit, at)
        todo = plan(tables, unit.table, at, older_than=self.older_than, rewrite=self.rewrite)
        return Maintained(
            unit=unit,
            state=State.PLANNED if todo else State.IN_ORDER,
            before=size(tables, unit.table, at),
            plan=todo,
            note="its files are left to Spark" if todo.needs_engine else "",
        )

    def attempt(self, unit: Unit) -> Maintained:
        """Maintain the table of *unit*, unless it is in order."""
        from ml_assets.lib.tables.maintain import size, tidy

        gate, lake, tables = self.machinery.gate, self.machinery.lake, self.machinery.systems.tables
        pin = lake.head(gate.target)
        published, found = self._publication(unit, pin), self.look(unit, pin)
        gate.observe(Step.PIN, unit)
        if found.state == State.IN_ORDER:
            drop_branches(lake, unit, self.run.id)  # of attempts that lost
            return found
        branch, _ = open_branch(lake, unit, self.run, pin, None)
        gate.observe(Step.BRANCH, unit)
        properties = {"ml_assets.run": self.run.id, "ml_assets.recipe": published.recipe}
        tidy(tables, unit.table, branch, older_than=self.older_than, properties=properties, rewrite=self.rewrite)
        tables.check_before_commit(branch)
        audited = lake.commit(branch, f"maintenance of {unit}", {"unit": str(unit), "run": self.run.id})
        gate.observe(Step.WRITE, unit)
        self._audit(published, audited)
        after = size(tables, unit.table, audited)
        gate.observe(Step.AUDIT, unit)
        publication = self._moved(published, audited, found.before, after)
        commit = record(lake, branch, publication, self.run)
        gate.observe(Step.VERDICT, unit)
        landed = self._publish(publication, branch, commit)
        drop_branches(lake, unit, self.run.id)
        gate.observe(Step.SETTLE, unit)
        return replace(found, state=State.MAINTAINED, after=after, commit=landed)

    def _publication(self, unit: Unit, commit: Commit) -> Publication:
        """The publication, whose data must be what was audited: anything else would be passed off as audited."""
        records = self.machinery.systems.records
        published = records.get(unit, commit)
        if published is None or not records.valid(published, commit):
            raise UnrecordedChange(
                f"the data of {unit} at {commit.short} is not what was published",
                remedy="materialize it with --recompute, then maintain it",
            )
        return published

    def _audit(self, published: Publication, at: Commit) -> None:
        """The rows are the same, the table is whole, and so is every state of it that a frame or model reads.

        Raises:
            UnrecordedChange: The rows differ.
            BrokenClosure: A file is missing.
        """
        systems, table = self.machinery.systems, published.unit.table
        with systems.engine.session(systems.tables) as session:
            digest = digest_of(systems.tables.schema(table, at), session.row_sum(session.read(table, at)))
        if digest != published.digest:
            raise UnrecordedChange(
                f"maintenance of {published.unit} would change its rows; nothing was published",
                remedy="look at the branch, and report this",
            )
        checked: set[str] = set()
        for commit in (at, *self.needed):
            if systems.tables.exists(table, commit):
                checksum = systems.tables.head(table, commit).checksum
                if checksum not in checked:
                    systems.tables.check_closure(table, commit)
                checked.add(checksum)

    def _moved(self, published: Publication, audited: Commit, before: Size | None, after: Size) -> Publication:
        """The publication, with its data as it lies at *audited*."""
        head = self.machinery.systems.tables.head(published.unit.table, audited)
        output = replace(published.outputs[0], path=head.path, checksum=head.checksum, bytes=head.bytes)
        facts: Mapping[str, object] = {
            "run": self.run.id,
            "user": user(),
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "before": asdict(before) if before else None,
            "after": asdict(after),
        }
        return replace(
            published,
            outputs=(output, *published.outputs[1:]),
            audited=audited,
            extra={**published.extra, MAINTAINED: facts},
        )

    def _publish(self, publication: Publication, branch: Branch, commit: Commit) -> Commit:
        gate, unit = self.machinery.gate, publication.unit
        candidate = Candidate(
            publication=publication,
            branch=branch,
            commit=commit,
            inputs={},  # rows that were made from older inputs stay as they are
            message=f"maintain {unit}",
            metadata={MAINTAINED: str(unit), "run": self.run.id},
        )
        head = gate.lake.head(gate.target)
        check(gate, candidate, head)
        gate.observe(Step.CHECK, unit)
        landed = merge(gate, candidate, head)
        gate.observe(Step.PUBLISH, unit)
        return landed
