"""Attempts: the branch that each works on, and beginning again when the target moved under one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from ml_assets.lib.core.errors import LostCommit, TooManyTries
from ml_assets.lib.core.names import run_branch_prefix
from ml_assets.lib.core.process import Process
from ml_assets.lib.gate.outcome import user
from ml_assets.lib.gate.publish import StartAgain
from ml_assets.lib.gate.turns import turn

if TYPE_CHECKING:
    from ml_assets.lib.core.names import Unit
    from ml_assets.lib.core.publication import Publication
    from ml_assets.lib.core.refs import Branch, Commit
    from ml_assets.lib.gate.outcome import Run
    from ml_assets.lib.lake.client import Lake
    from ml_assets.lib.lake.types import BranchInfo

T = TypeVar("T")

TRIES: Final = 5


def tried(unit: Unit, attempt: Callable[[], T], state: Path) -> T:
    """What *attempt* gives, begun again while the target moves under it.

    Retries are serialized per unit: of the processes on this machine that lost a race for it, one retries at a time.

    Args:
        unit: The unit.
        attempt: One try.
        state: State folder of this machine; holds the locks by which they wait.

    Raises:
        TooManyTries: It moved at every try.
    """

    def give_up(last_try: RetryCallState) -> T:
        last = last_try.outcome.exception() if last_try.outcome else None
        raise TooManyTries(
            f"{unit} was not published in {TRIES} tries: {last}",
            remedy="run it again when fewer runs publish its inputs",
        ) from last

    tries = Retrying(
        stop=stop_after_attempt(TRIES),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        retry=retry_if_exception_type(StartAgain),
        retry_error_callback=give_up,
    )
    with ExitStack() as held:

        def one() -> T:
            if tries.statistics["attempt_number"] == 2:  # noqa: PLR2004  (the first that begins again)
                held.enter_context(turn(state / "turns" / f"{unit.slug}.lock", f"retry of {unit}"))
            return attempt()

        return tries(one)


def open_branch(lake: Lake, unit: Unit, run: Run, pin: Commit, published: Publication | None) -> tuple[Branch, int]:
    """A branch at *pin* with a name of its own, and its number; what earlier attempts of the run left is dropped.

    A name is never used again: a zombie may still be writing to the branch that had it.
    """
    used = [_number(info.name, run.id) for info in _branches(lake, unit, run.id)]
    if published and published.run["id"] == run.id:
        used.append(int(published.run["attempt"]))
    number = 1 + max(used, default=0)
    while not lake.branch(branch := unit.run_branch(run.id, number), pin):
        number += 1  # another process of the same run was faster
    drop_branches(lake, unit, run.id, but=branch)
    metadata = {**Process.here().as_text(), "user": user(), "unit": str(unit), "run": run.id, **run.tags}
    lake.commit(branch, f"begin {unit}", metadata, allow_empty=True)
    return branch, number


def record(lake: Lake, branch: Branch, publication: Publication, run: Run) -> Commit:
    """Commit the publication, verdict included, passed or failed.

    Raises:
        LostCommit: Something else has changed since the audit.
    """
    unit, audited, path = publication.unit, publication.audited, publication.unit.publication_path
    lake.put(branch, path, publication.to_bytes())
    metadata = {"unit": str(unit), "run": run.id, "audited": audited.id, **run.tags}
    commit = lake.commit(branch, f"verdict on {unit}", metadata)
    changed = [row.path for row in lake.diff(audited, commit, base="left", limit=2)]
    if changed != [path]:
        raise LostCommit(
            f"branch {branch} changed while {unit} was audited: {changed}",
            remedy="find who writes there, and run again",
        )
    return commit


def drop_branches(lake: Lake, unit: Unit, run_id: str, but: Branch | None = None) -> None:
    """Drop what attempts of *run_id* at *unit* left behind."""
    for info in _branches(lake, unit, run_id):
        if info.branch != but:
            lake.drop(info.branch)


def _branches(lake: Lake, unit: Unit, run_id: str) -> list[BranchInfo]:
    return [info for info in lake.branches(run_branch_prefix(run_id)) if info.name.endswith(unit.slug)]


def _number(branch: str, run_id: str) -> int:
    """The attempt that a run branch is of."""
    return int(branch.removeprefix(run_branch_prefix(run_id)).partition("-")[0])
