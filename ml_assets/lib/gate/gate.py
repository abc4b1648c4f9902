"""The steps that lead from a branch to a publication, the same for every unit. Knows nothing of Dagster.

    pin -> recipe -> branch -> write -> audit -> verdict -> check -> publish -> settle      (report is the caller's)

No state is stored: {none, written, audited, refused, landed} is derived from the branch and the publication. A process
may die between any two steps; the next run of the unit repairs what it left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from ml_assets.lib.core.errors import (
    ContractError,
    FunctionError,
    NothingToCommit,
    StaleInput,
    TargetDirty,
    UnrecordedChange,
)
from ml_assets.lib.core.names import keep_branch
from ml_assets.lib.core.publication import Publication, passes
from ml_assets.lib.gate.attempts import drop_branches, open_branch, record, tried
from ml_assets.lib.gate.causes import GIVEN, facts
from ml_assets.lib.gate.outcome import Outcome, Published, Refused, Run, Unchanged, user
from ml_assets.lib.gate.pin import Pinned
from ml_assets.lib.gate.publish import Candidate, Landed, StartAgain, check, merge
from ml_assets.lib.gate.records import output_prefixes
from ml_assets.lib.gate.work import Attempt, Judged, Work

if TYPE_CHECKING:
    from pathlib import Path

    from ml_assets.lib.core.names import Unit
    from ml_assets.lib.core.recipe import Json
    from ml_assets.lib.core.refs import Branch, Commit
    from ml_assets.lib.gate.records import Records
    from ml_assets.lib.lake.client import Lake
    from ml_assets.lib.tables.tables import Tables


class Step(StrEnum):
    """The steps of one materialization, in order."""

    PIN = "pin"
    RECIPE = "recipe"
    BRANCH = "branch"
    WRITE = "write"
    AUDIT = "audit"
    VERDICT = "verdict"
    CHECK = "check"
    PUBLISH = "publish"
    SETTLE = "settle"


Observer = Callable[[Step, "Unit"], None]
"""Told after each step that was taken: progress for people, and the place where tests kill the process."""


@dataclass
class _Progress:
    """Which step is done, and how long each took."""

    unit: Unit
    observe: Observer
    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def done(self, step: Step) -> None:
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._since
        self._since = now
        self.observe(step, self.unit)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Lets units onto the target, or not.

    Attributes:
        lake: The lake.
        tables: Its tables.
        records: Its publications.
        target: The branch that is published to.
        state: State folder of this machine; holds the file lock around merges.
        code: Facts about the running code, for publications.
        observe: Told after each step.
    """

    lake: Lake
    tables: Tables
    records: Records
    target: Branch
    state: Path
    code: Mapping[str, Json]
    observe: Observer = lambda _step, _unit: None

    def unchanged(self, work: Work) -> Unchanged | None:
        """The unit, settled, if the target holds it by the same recipe and rules; ``None`` if it must be materialized.

        Raises:
            MissingInput, StaleInput, UnrecordedChange, TargetDirty, ConfigError: As `materialize`.
        """
        progress = _Progress(work.unit, self.observe)
        pinned = self._pin(work, progress)
        return self._unchanged(work, pinned, progress)

    def materialize(self, work: Work, run: Run, *, recompute: bool = False) -> Outcome:
        """Publish the unit, unless it is unchanged or fails its audit.

        Args:
            work: The unit.
            run: On whose behalf.
            recompute: Compute it although the recipe is the same; an equal digest then confirms it, and data that was
                changed behind the gate is overwritten.

        Raises:
            MissingInput: An input was never published.
            StaleInput: An input is older than its own inputs, or was judged by other checks than are declared now.
            UnrecordedChange: The unit's data, or an input's, is not what was published.
            TargetDirty: The target has uncommitted objects.
            ConfigError: A file of a source, declared or given, cannot be read.
            TooManyTries: The target or an input moved at every try.
            LakeError, TableError, EngineError, TrackingError: An outside system refused; the target has not moved.
        """
        return tried(work.unit, lambda: self._attempt(work, run, recompute=recompute), self.state)

    def _attempt(self, work: Work, run: Run, *, recompute: bool) -> Outcome:
        progress = _Progress(work.unit, self.observe)
        started = datetime.now(UTC)
        pinned = self._pin(work, progress, recompute=recompute)
        if not recompute and (unchanged := self._unchanged(work, pinned, progress)):
            drop_branches(self.lake, work.unit, run.id)  # of attempts that lost against somebody else
            return unchanged
        if pinned.old and pinned.holds:
            self._settle(work, pinned.old, pinned.commit)  # its run may have died before it could
        attempt = self._open(work, run, pinned, started)
        progress.done(Step.BRANCH)
        again = None if recompute else pinned.published_by_same_recipe()
        if again:
            work.recall(again)
        try:
            audited = pinned.commit if again else self._write(work, attempt, pinned)
            progress.done(Step.WRITE)
            judged = self._audit(work, audited, pinned, again)
            progress.done(Step.AUDIT)
            publication = self._publication(work, attempt, pinned, audited, judged)
            if recompute and pinned.confirms(publication):
                return self._confirm(work, attempt, pinned, progress)
            commit = record(self.lake, attempt.branch, publication, run)
            progress.done(Step.VERDICT)
            if not passes(judged.verdict):
                work.abandon()
                return Refused(
                    unit=work.unit,
                    verdict=judged.verdict,
                    commit=commit,
                    seconds=progress.seconds,
                    branch=attempt.branch,
                )
            return self._publish(work, attempt, publication, commit, progress, recomputed=again is None)
        except StartAgain as lost:
            if not isinstance(lost, Landed):
                work.abandon()
            raise
        except (ContractError, FunctionError):  # nothing was written that could be looked at
            work.abandon()
            self.lake.drop(attempt.branch)
            raise

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _pin(self, work: Work, progress: _Progress, *, recompute: bool = False) -> Pinned:
        commit = self.lake.head(self.target)
        for row in self.lake.uncommitted(self.target, limit=1):
            raise TargetDirty(
                f"branch {self.target} has uncommitted objects, such as {row.path}; they would block every merge",
                remedy=f"commit or reset them: `lakectl branch reset lakefs://{self.lake.repository}/{self.target}`",
            )
        pinned = Pinned.at(self.records.at(commit), work, recompute=recompute)
        for name, publication in pinned.inputs.items():
            if publication.rules != work.input_rules.get(name, publication.rules):
                raise StaleInput(
                    f"{work.unit} needs {publication.unit}, which was not judged yet by the checks that it has now",
                    remedy=f"materialize {publication.unit} first (it is judged again, not computed), or everything by "
                    "`ml-assets materialize --changed`",
                )
        progress.done(Step.PIN)
        return pinned

    def _unchanged(self, work: Work, pinned: Pinned, progress: _Progress) -> Unchanged | None:
        old = pinned.old
        if old is not None and not pinned.holds:
            raise UnrecordedChange(
                f"the data of {work.unit} at {pinned.commit.short} was changed behind the gate since it was published",
                remedy=f"look at `ml-assets table {work.unit}`, then materialize it with --recompute to overwrite it",
            )
        progress.done(Step.RECIPE)
        if old is None or not pinned.is_fresh(work):
            return None
        settled = self._settle(work, old, pinned.commit)
        progress.done(Step.SETTLE)
        return Unchanged(
            unit=work.unit,
            verdict=old.verdict,
            commit=pinned.commit,
            seconds=progress.seconds,
            settled=settled,
            publication=old,
        )

    def _open(self, work: Work, run: Run, pinned: Pinned, started: datetime) -> Attempt:
        branch, number = open_branch(self.lake, work.unit, run, pinned.commit, pinned.old)
        return Attempt(
            number=number,
            started=started,
            pin=pinned.commit,
            inputs=pinned.inputs,
            branch=branch,
            recipe=pinned.recipe,
            run=run,
        )

    def _write(self, work: Work, attempt: Attempt, pinned: Pinned) -> Commit:
        if not pinned.holds:  # what lies there may be harmed: a table is replaced upon its metadata
            for prefix in output_prefixes(work.unit):
                there = self.lake.ls(attempt.branch, prefix)
                self.lake.delete(attempt.branch, [stat.path for stat in there])
        work.write(attempt)
        self.tables.check_before_commit(attempt.branch)
        metadata = {"unit": str(work.unit), "run": attempt.run.id, "recipe": attempt.recipe, **attempt.run.tags}
        try:
            return self.lake.commit(attempt.branch, f"data of {work.unit}", metadata)
        except NothingToCommit:  # computed on demand, and the object came out byte for byte the same
            return self.lake.head(attempt.branch)

    def _audit(self, work: Work, audited: Commit, pinned: Pinned, again: Publication | None) -> Judged:
        judged = work.audit(audited, again.pin if again else pinned.commit)
        if again and judged.outputs[0].digest != again.digest:
            raise UnrecordedChange(
                f"{work.unit} reads as another digest than its publication", remedy="use --recompute"
            )
        return judged

    def _publication(
        self, work: Work, attempt: Attempt, pinned: Pinned, audited: Commit, judged: Judged
    ) -> Publication:
        old = pinned.old if audited == pinned.commit else None  # judged anew: the record of how it was made stays
        return Publication(
            unit=work.unit,
            assets=work.assets,
            recipe=pinned.recipe,
            rules=work.rules,
            definition=work.definition,
            pin=old.pin if old else pinned.commit,
            inputs=old.inputs if old else pinned.refs,
            outputs=judged.outputs,
            audited=audited,
            verdict=judged.verdict,
            code=self.code,
            run={
                **attempt.run.tags,
                "id": attempt.run.id,
                "attempt": attempt.number,
                "branch": attempt.branch.name,
                "user": user(),
                "start": attempt.started.isoformat(timespec="milliseconds"),
                "end": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "engine": {"name": work.engine.name, **work.engine.versions},
            },
            extra={
                **work.extra(),
                **(pinned.stale() if work.allow_stale else {}),
                **{name: value for name, value in (old.extra if old else {}).items() if name != GIVEN},
                **facts(work),
            },
        )

    def _publish(
        self,
        work: Work,
        attempt: Attempt,
        publication: Publication,
        commit: Commit,
        progress: _Progress,
        *,
        recomputed: bool,
    ) -> Published:
        candidate = Candidate(
            publication=publication,
            branch=attempt.branch,
            commit=commit,
            inputs=publication.inputs,
            message=f"publish {work.unit}",
            metadata={"unit": str(work.unit), "recipe": publication.recipe, "run": attempt.run.id},
        )
        head = self.lake.head(self.target)
        check(self, candidate, head)
        if recomputed:
            self._check_tables(publication)
        progress.done(Step.CHECK)
        self._keep(work, publication)
        landed = merge(self, candidate, head)
        progress.done(Step.PUBLISH)
        settled = self._settle(work, publication, landed)
        progress.done(Step.SETTLE)
        return Published(
            unit=work.unit,
            verdict=publication.verdict,
            commit=landed,
            seconds=progress.seconds,
            settled=settled,
            publication=publication,
            branch=attempt.branch,
            recomputed=recomputed,
        )

    def _check_tables(self, publication: Publication) -> None:
        for output in publication.outputs:
            if output.path != publication.unit.object_path:
                self.tables.check_closure(output.name, publication.audited, since=publication.pin)

    def _confirm(self, work: Work, attempt: Attempt, pinned: Pinned, progress: _Progress) -> Unchanged:
        """The same rows again: nothing to publish, the attempt's traces go."""
        assert pinned.old is not None  # `confirms` has seen it
        work.abandon()
        self.lake.drop(attempt.branch)
        settled = self._settle(work, pinned.old, pinned.commit)
        progress.done(Step.SETTLE)
        return Unchanged(
            unit=work.unit,
            verdict=pinned.old.verdict,
            commit=pinned.commit,
            seconds=progress.seconds,
            settled=settled,
            publication=pinned.old,
            confirmed=True,
        )

    def _settle(self, work: Work, publication: Publication, commit: Commit) -> Mapping[str, str]:
        self._keep(work, publication)
        settled = work.settle(publication, commit)
        drop_branches(self.lake, work.unit, str(publication.run["id"]))
        return settled

    def _keep(self, work: Work, publication: Publication) -> None:
        """Save the pin from garbage collection; where inputs may be stale, also the pins of all that it rests on."""
        if not work.keeps_pin:
            return
        for pin in self.records.kept(publication):
            self.lake.branch(keep_branch(pin), pin, hidden=True)
