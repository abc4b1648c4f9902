"""Run branches that stayed: refused ones, kept for inspection, and those of attempts that died; and keeps."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.errors import GateError
from ml_assets.lib.core.names import DATA_TAG_SUFFIX, KEEP_BRANCH_PREFIX, RUN_BRANCH_PREFIX, Unit, keep_branch
from ml_assets.lib.core.process import Process
from ml_assets.lib.core.publication import passes

if TYPE_CHECKING:
    from ml_assets.lib.core.refs import Commit
    from ml_assets.lib.gate.machinery import Machinery
    from ml_assets.lib.lake.types import BranchInfo, CommitInfo

LIVE, REFUSED, ABANDONED, ELSEWHERE = "live", "refused", "abandoned", "on another host"
KEEP, MLFLOW_RUN = "keep", "MLflow run"
_RUN_BRANCH: Final = re.compile(RUN_BRANCH_PREFIX + r"\w{1,8}-\d+-.*-[0-9a-f]{6}")
_OWN_COMMITS: Final = 8
"""A run branch has at most three commits of its own; a few more are looked at."""
_BIRTH_S: Final = 1.0
"""Between its making and its first commit a branch names no owner; so long is waited for one."""


@dataclass(frozen=True, kw_only=True)
class RunBranch:
    """One branch.

    Attributes:
        name: Its name.
        state: ``live``, ``refused``, ``abandoned``, ``on another host`` or ``keep``.
        unit: What was being materialized.
        begun: When.
        reason: Why it is as it is.
        dropped: Whether it was dropped just now.
    """

    name: str
    state: str
    unit: str
    begun: datetime
    reason: str
    dropped: bool = False

    @property
    def age(self) -> timedelta:
        """How long ago it was begun."""
        return datetime.now(UTC) - self.begun


def list_branches(
    machinery: Machinery, *, prune: bool = False, older_than: timedelta = timedelta(days=7)
) -> Iterator[RunBranch]:
    """Every run branch, and with *prune* every keep that no record names.

    Args:
        machinery: Gate and systems.
        prune: Drop abandoned branches, refused ones older than *older_than*, and keeps that neither a publication on
            any target nor a registered model names; never one that is live or on another host.
        older_than: Age from which refused branches go.
    """
    lake = machinery.lake
    for info in lake.branches(RUN_BRANCH_PREFIX):
        found = _describe(machinery, info)
        if found is None:
            continue
        drop = prune and (found.state == ABANDONED or (found.state == REFUSED and found.age > older_than))
        if drop:
            lake.drop(info.branch)
        yield replace(found, dropped=drop)
    if prune:
        yield from _release_keeps(machinery)
        yield from _end_runs(machinery)


def _end_runs(machinery: Machinery) -> Iterator[RunBranch]:
    """MLflow runs of attempts that died or lost: ended as KILLED."""
    from ml_assets.lib.gate.units.models import is_alive
    from ml_assets.lib.tracking import registry

    records = machinery.systems.records.at(machinery.lake.head(machinery.target))
    for asset in (asset for asset in machinery.plan.assets.values() if asset.stage == "models"):
        for unit in filter(None, (machinery.plan.unit(asset, p) for p in machinery.plan.partitions(asset))):
            published = records.get(unit)
            keep = str(published.extra["mlflow"]["run"]) if published else ""
            for run_id in registry.end_losers(machinery.tracking, asset.name, unit, keep, is_alive):
                yield RunBranch(
                    name=run_id,
                    state=MLFLOW_RUN,
                    unit=str(unit),
                    begun=datetime.now(UTC),
                    reason="never published",
                    dropped=True,
                )


def _describe(machinery: Machinery, info: BranchInfo) -> RunBranch | None:
    """What the branch says of itself; ``None`` if it has gone meanwhile or is none of ours."""
    first = _first_commit(machinery, info.commit)
    if first is None:
        time.sleep(_BIRTH_S)
        again = next((b for b in machinery.lake.branches(info.name) if b.name == info.name), None)
        if again is None:
            return None
        first, info = _first_commit(machinery, again.commit), again
    if first is None and not _RUN_BRANCH.fullmatch(info.name):
        return None  # a person's
    if first is None:
        born = machinery.lake.info(info.commit).created
        return RunBranch(name=info.name, state=ABANDONED, unit="", begun=born, reason="died before its first commit")
    unit = Unit.parse(first.metadata["unit"])
    publication = machinery.systems.records.get(unit, info.commit)
    if publication and publication.run.get("branch") == info.name and not passes(publication.verdict):
        stopped = [result for result in publication.verdict if not passes((result,))]
        failed = "; ".join(f"{result.check}: {_counts(result.counts) or 'failed'}" for result in stopped)
        return RunBranch(name=info.name, state=REFUSED, unit=str(unit), begun=first.created, reason=failed)
    alive = Process.from_text(first.metadata).is_alive()
    who = f"pid {first.metadata['pid']} on {first.metadata['host']}"
    state = ELSEWHERE if alive is None else LIVE if alive else ABANDONED
    reason = f"{who} is at work" if alive else f"{who} ended after: {machinery.lake.info(info.commit).message}"
    return RunBranch(name=info.name, state=state, unit=str(unit), begun=first.created, reason=reason)


def _first_commit(machinery: Machinery, head: Commit) -> CommitInfo | None:
    """The commit with which an attempt began, if the branch has one."""
    for commit in machinery.lake.log(head, first_parent=True, amount=_OWN_COMMITS):
        if commit.message.startswith("begin ") and "pid" in commit.metadata:
            return commit
        if len(commit.parents) > 1 or not commit.parents:
            return None
    return None


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{rule} ({count})" for rule, count in counts.items())


def _release_keeps(machinery: Machinery) -> Iterator[RunBranch]:
    """Drop keeps that no record names; none, as long as there is a publication that cannot be read."""
    try:
        keeps = {keep_branch(commit).name for commit in needed(machinery)}
    except GateError as error:
        name, reason = f"{KEEP_BRANCH_PREFIX}*", f"all stay, what needs them cannot be told: {error.problem}"
        yield RunBranch(name=name, state=KEEP, unit="", begun=datetime.now(UTC), reason=reason)
        return
    for info in machinery.lake.branches(KEEP_BRANCH_PREFIX, hidden=True):
        if info.name not in keeps:
            machinery.lake.drop(info.branch)
            created = machinery.lake.info(info.commit).created
            yield RunBranch(
                name=info.name,
                state=KEEP,
                unit="",
                begun=created,
                reason="no frame and no model names it",
                dropped=True,
            )


def needed(machinery: Machinery) -> Iterator[Commit]:
    """Commits that a record in the lake names: the pins of frames on any target, and the tags of models' data.

    Only the lake is asked: MLflow may be another one than that in which a model was registered.
    """
    for info in machinery.lake.branches():
        if not info.name.startswith((RUN_BRANCH_PREFIX, KEEP_BRANCH_PREFIX)):
            yield from needed_at(machinery, info.commit)
    yield from tagged(machinery)


def needed_at(machinery: Machinery, commit: Commit) -> Iterator[Commit]:
    """The pins of the frames that are published at *commit*."""
    records = machinery.systems.records
    frames = (p for p in records.all(commit) if p.unit.stage == "frames")
    return chain.from_iterable(map(records.kept, frames))


def tagged(machinery: Machinery) -> Iterator[Commit]:
    """The commits of the data of registered models."""
    return (tag.commit for tag in machinery.lake.tags() if tag.name.endswith(DATA_TAG_SUFFIX))
