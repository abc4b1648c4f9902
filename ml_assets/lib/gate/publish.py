"""The check before a merge, and the merge itself, when answers may be lost and others publish at the same time.

A merge that got no answer may have landed: so it is *asked* whether it did (the branch's head is an ancestor of the
target and our publication, byte for byte, is at the target's head) before it is sent again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.errors import (
    Conflict,
    DirtyBranch,
    LakeBusy,
    LakeUnavailable,
    NothingToCommit,
    SilentConflict,
    TargetDirty,
)
from ml_assets.lib.core.names import Unit
from ml_assets.lib.gate.turns import turn

if TYPE_CHECKING:
    from ml_assets.lib.core.publication import Publication
    from ml_assets.lib.core.recipe import InputRef
    from ml_assets.lib.core.refs import Branch, Commit
    from ml_assets.lib.gate.gate import Gate

MERGE_TRIES: Final = 6
LOOK_BACK: Final = 200
"""Commits on the target among which a merge that landed unanswered is looked for."""


class StartAgain(Exception):
    """The target or an input moved under this attempt: nothing is wrong, begin again at the pin."""


class Landed(StartAgain):
    """The same, after the unit landed: it is published over, but has been on the target for others to see."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What is to be merged.

    Attributes:
        publication: The record that makes the unit published.
        branch: Holds the record and the data.
        commit: Head of the branch.
        inputs: What must still be published as it was read, by name.
        message: Of the merge.
        metadata: Of the merge.
    """

    publication: Publication
    branch: Branch
    commit: Commit
    inputs: Mapping[str, InputRef]
    message: str
    metadata: Mapping[str, str]


def check(gate: Gate, candidate: Candidate, head: Commit) -> None:
    """Whether the candidate may be merged onto *head*: no conflict, and every input is still what was read.

    Conflicts are read from the three-dot diff, not from the merge's answer: lakeFS can resolve one silently.

    Raises:
        StartAgain: The target moved in a way that matters.
    """
    for row in gate.lake.diff(head, candidate.commit, base="merge-base"):
        if row.kind == "conflict":
            raise StartAgain(f"{row.path} was changed on {gate.target} too")
    if head != candidate.publication.pin:
        _check_inputs(gate, candidate, head)


def _check_inputs(gate: Gate, candidate: Candidate, head: Commit) -> None:
    for name, taken in candidate.inputs.items():
        now = gate.records.get(Unit.parse(taken.unit), head)
        if now is None or now.as_input().essence != taken.essence:
            raise StartAgain(f"input {name} ({taken.unit}) was published anew meanwhile")


def merge(gate: Gate, candidate: Candidate, head: Commit) -> Commit:
    """Merge the candidate into the target; *head* is what `check` looked at.

    The lock keeps the processes of one machine from merging at the same time, which costs fewer retries; it is waited
    for a limited time. Correctness rests on the checks alone.

    Returns:
        The merge commit.

    Raises:
        StartAgain: The target moved in a way that matters; `Landed` where that was seen too late.
        TargetDirty: The target got uncommitted objects; it has not moved.
        SilentConflict: lakeFS merged over a conflict that appeared after the check; the merge has been reverted.
        LakeUnavailable, LakeBusy: No answer at the last try either; the next run finds out what happened.
    """
    with turn(gate.state / "merge.lock", f"merge of {candidate.publication.unit}"):
        landed = _merge_or_find(gate, candidate)
    before = gate.lake.info(landed).parents[0]
    if before != head:
        _check_what_was_merged_over(gate, candidate, landed, before)
    return landed


def _merge_or_find(gate: Gate, candidate: Candidate) -> Commit:
    branch = candidate.branch
    for number in range(1, MERGE_TRIES + 1):
        try:
            return gate.lake.merge(branch, gate.target, candidate.message, candidate.metadata)
        except Conflict as error:
            raise StartAgain(f"merge of {branch} conflicts") from error
        except DirtyBranch as error:
            raise TargetDirty(
                f"branch {gate.target} got uncommitted objects before {candidate.publication.unit} could be merged",
                remedy=f"commit or reset them: `lakectl branch reset lakefs://{gate.lake.repository}/{gate.target}`",
            ) from error
        except NothingToCommit as error:
            if landed := _landed(gate, candidate):
                return landed
            raise StartAgain(f"merge of {branch} would change nothing") from error
        except (LakeBusy, LakeUnavailable):
            if landed := _landed(gate, candidate):
                return landed
            if number == MERGE_TRIES:
                raise
            time.sleep(random.uniform(0.1, 0.5) * 2**number)  # noqa: S311  (jitter, not a secret)
    raise AssertionError("unreachable: the last try returns or raises")


def _landed(gate: Gate, candidate: Candidate) -> Commit | None:
    """The merge commit of the candidate, if it is on the target and nobody has published the unit over it.

    Raises:
        Landed: It has been superseded.
    """
    head, publication = gate.lake.head(gate.target), candidate.publication
    if gate.lake.merge_base(candidate.commit, head) != candidate.commit:
        return None
    if gate.lake.read(head, publication.unit.publication_path) != publication.to_bytes():
        raise Landed(f"{publication.unit} landed and was superseded")
    for info in gate.lake.log(head, first_parent=True, amount=LOOK_BACK):
        if candidate.commit in info.parents[1:]:
            return info.id
    return head


def _check_what_was_merged_over(gate: Gate, candidate: Candidate, landed: Commit, before: Commit) -> None:
    """The target moved between check and merge: look at the pair that was really merged."""
    if any(row.kind == "conflict" for row in gate.lake.diff(before, candidate.commit, base="merge-base")):
        gate.lake.revert(gate.target, landed)
        raise SilentConflict(
            f"the merge of {candidate.publication.unit} landed over a conflict with {before.short} and was reverted",
            remedy="run it again; if it repeats, find who writes to the target without the gate",
        )
    try:
        _check_inputs(gate, candidate, before)
    except StartAgain as again:
        raise Landed(str(again)) from again
