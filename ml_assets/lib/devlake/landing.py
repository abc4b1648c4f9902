"""How a commit gets onto a branch: what it would be is worked out, hooks are asked about it, and only then it lands.

Without hooks that is one transaction. With hooks the branch may move while they are asked, so what lands is worked out
again, and must be what they were asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ml_assets.lib.devlake import history, hooks, staging
from ml_assets.lib.devlake.actions import Event
from ml_assets.lib.devlake.database import Database, Transaction
from ml_assets.lib.devlake.errors import DevlakeError
from ml_assets.lib.devlake.history import SECOND, Commit, Words
from ml_assets.lib.devlake.hooks import Asked, File, Hooks

TRIES: Final = 10
"""How often hooks are asked, when the branch moves under them."""


class TooManyTries(DevlakeError):
    """The branch moved whenever hooks had been asked. It may be sent again."""

    status = 429

    def __init__(self) -> None:
        super().__init__("Too many attempts, try again later")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A commit that is to land.

    Attributes:
        words: What is said about it.
        tree: What it holds.
        parents: The head of the branch, first.
        seconds: Since the epoch; replaces the present time.
        squashed: Counts for the generation as a parent does, but is none.
        actions_at: Where the action files are: a commit that is merged; ``None`` for the branch, staged ones included.
        merge_source: The ref that is merged, as it was given.
        asks: Whether hooks have a say: they have none where ``force`` opens a read-only repository.
    """

    words: Words
    tree: str
    parents: Sequence[Commit]
    seconds: int | None = None
    squashed: Commit | None = None
    actions_at: Commit | None = None
    merge_source: str = ""
    asks: bool = True

    @property
    def essence(self) -> tuple[object, ...]:
        """What hooks are asked about."""
        origin = self.actions_at and self.actions_at.id
        return self.words, self.tree, [parent.id for parent in self.parents], origin, self.asks


Propose = Callable[[Transaction], Proposal]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A proposal about which hooks must be asked; of a merge, the commit exists already."""

    proposal: Proposal
    files: Sequence[File]
    commit: Commit | None


class Landing:
    """The one way in which commits get onto branches."""

    def __init__(self, database: Database, asked: Hooks) -> None:
        self._database = database
        self._hooks = asked

    def land(self, repository: str, branch: str, event: Event, propose: Propose) -> Commit:
        """Put what *propose* says on *branch*, if no hook refuses it. Nothing stays staged.

        Args:
            propose: Says what is to land, in the transaction in which it lands, and perhaps several times; raises to
                refuse it.

        Raises:
            HooksRefused: A hook refused.
            BadAction: An action file cannot be followed.
            TooManyTries: The branch moved each time.
        """
        run, passed = None, None
        for _ in range(TRIES + 1):

            def work(transaction: Transaction, passed: _Waiting | None = passed) -> Commit | _Waiting:
                return _try(transaction, (repository, branch, event), propose(transaction), passed)

            outcome = self._database.write(work)
            if isinstance(outcome, Commit):
                if run is not None and event in {Event.COMMIT, Event.REVERT}:
                    self._hooks.landed(repository, run, outcome.id)
                return outcome
            run = self._hooks.ask(repository, _asked(event, branch, outcome), outcome.files)
            passed = outcome
        raise TooManyTries


def _try(
    transaction: Transaction, where: tuple[str, str, Event], proposal: Proposal, passed: _Waiting | None
) -> Commit | _Waiting:
    """The commit, landed; or, if hooks have not been asked about just this, what they must be asked about."""
    repository, branch, event = where
    seconds = proposal.seconds
    if passed is not None and passed.proposal.essence == proposal.essence:
        if passed.commit is not None:
            seconds = passed.commit.created_ns // SECOND  # the very same commit again
    elif proposal.asks:
        at = proposal.actions_at
        if found := hooks.files(transaction, repository, at or proposal.parents[0], None if at else branch):
            candidate = _save(transaction, repository, proposal, seconds) if event is Event.MERGE else None
            return _Waiting(proposal, found, candidate)
    commit = _save(transaction, repository, proposal, seconds)
    staging.land(transaction, repository, branch, commit)
    return commit


def _save(transaction: Transaction, repository: str, proposal: Proposal, seconds: int | None) -> Commit:
    return history.save(
        transaction,
        repository,
        proposal.words,
        tree=proposal.tree,
        parents=proposal.parents,
        seconds=seconds,
        squashed=proposal.squashed,
    )


def _asked(event: Event, branch: str, waiting: _Waiting) -> Asked:
    proposal = waiting.proposal
    return Asked(
        event,
        branch,
        source_ref=proposal.actions_at.id if proposal.actions_at else branch,
        words=proposal.words,
        commit_id=waiting.commit.id if waiting.commit else "",
        merge_source=proposal.merge_source,
    )
