"""How that is done in which hooks have a say: it is worked out, they are asked, only then it is done, and they hear.

Without hooks that is one transaction. With hooks the lake may change while they are asked, so it is worked out again,
and must be what they were asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from ml_assets.lib.devlake import history, hooks, staging
from ml_assets.lib.devlake.actions import Event
from ml_assets.lib.devlake.database import Database, Transaction
from ml_assets.lib.devlake.errors import DevlakeError
from ml_assets.lib.devlake.history import SECOND, Commit, Words
from ml_assets.lib.devlake.hooks import Asked, File, Hooks

TRIES: Final = 10
"""How often hooks are asked, when what they are asked about changes meanwhile."""

T = TypeVar("T")


class TooManyTries(DevlakeError):
    """What hooks were asked about changed whenever they had been asked. It may be sent again."""

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
        refused: Why it does not land although no hook refuses it.
    """

    words: Words
    tree: str
    parents: Sequence[Commit]
    seconds: int | None = None
    squashed: Commit | None = None
    actions_at: Commit | None = None
    merge_source: str = ""
    asks: bool = True
    refused: DevlakeError | None = None

    @property
    def essence(self) -> tuple[object, ...]:
        """What hooks are asked about."""
        origin = self.actions_at and self.actions_at.id
        return self.words, self.tree, [parent.id for parent in self.parents], origin, self.asks


@dataclass(frozen=True, slots=True)
class Change:
    """A branch or a tag that is to be made or removed.

    Attributes:
        asked: What hooks are asked.
        files: The action files; none, if hooks have no say.
        act: Does it, in the transaction in which it was proposed.
    """

    asked: Asked
    files: Sequence[File]
    act: Callable[[], object]


@dataclass(frozen=True, slots=True)
class _Question:
    """What hooks must be asked; of a merge, the commit exists already. What is done then has the same essence."""

    asked: Asked
    files: Sequence[File]
    essence: object
    commit: Commit | None = None


@dataclass(frozen=True, slots=True)
class _Done(Generic[T]):
    """What came of it, and what hooks are told."""

    result: T
    told: Asked
    files: Sequence[File]


Propose = Callable[[Transaction], Proposal]
_Try = Callable[[Transaction, _Question | None], _Question | _Done[T]]


class Landing:
    """The one way in which commits get onto branches, and branches and tags come and go."""

    def __init__(self, database: Database, asked: Hooks) -> None:
        self._database = database
        self._hooks = asked

    def land(self, repository: str, branch: str, event: Event, propose: Propose) -> Commit:
        """Put what *propose* says on *branch*, if no hook refuses it. Nothing stays staged.

        Args:
            event: What it is, before it happens.
            propose: Says what is to land, in the transaction in which it lands, and perhaps several times; raises to
                refuse it.

        Raises:
            HooksRefused: A hook refused.
            BadAction: An action file cannot be followed.
            TooManyTries: The branch moved each time.
        """

        def work(transaction: Transaction, passed: _Question | None) -> _Question | _Done[Commit]:
            return _try(transaction, (repository, branch, event), propose(transaction), passed)

        return self._ask_and_do(repository, work)

    def change(self, repository: str, propose: Callable[[Transaction], Change]) -> Asked:
        """Do what *propose* says, if no hook refuses it. Returns what they were asked, or would have been.

        Raises:
            HooksRefused, BadAction, TooManyTries: As :meth:`land`.
        """

        def work(transaction: Transaction, passed: _Question | None) -> _Question | _Done[Asked]:
            proposed = propose(transaction)
            if proposed.files and (passed is None or passed.essence != proposed.asked):
                return _Question(proposed.asked, proposed.files, proposed.asked)
            proposed.act()
            told = proposed.asked._replace(event=proposed.asked.event.afterwards)
            return _Done(proposed.asked, told, proposed.files)

        return self._ask_and_do(repository, work)

    def _ask_and_do(self, repository: str, work: _Try[T]) -> T:
        run, passed, prepared = None, None, False
        for _ in range(TRIES + 1):

            def attempt(transaction: Transaction, passed: _Question | None = passed) -> _Question | _Done[T]:
                return work(transaction, passed)

            outcome = self._database.write(attempt)
            if isinstance(outcome, _Done):
                if run is not None and outcome.told.event in {Event.POST_COMMIT, Event.POST_REVERT}:
                    self._hooks.landed(repository, run, outcome.told.commit_id)
                if outcome.files:
                    self._hooks.tell(repository, outcome.told, outcome.files)
                return outcome.result
            if outcome.asked.event is Event.PRE_COMMIT and not prepared:
                prepared = True
                if self._hooks.ask(repository, outcome.asked._replace(event=Event.PREPARE_COMMIT), outcome.files):
                    continue  # they may have staged something
            run = self._hooks.ask(repository, outcome.asked, outcome.files)
            passed = outcome
        raise TooManyTries


def _try(
    transaction: Transaction, where: tuple[str, str, Event], proposal: Proposal, passed: _Question | None
) -> _Question | _Done[Commit]:
    """The commit, landed; or, if hooks have not been asked about just this, what they must be asked about."""
    repository, branch, event = where
    at = proposal.actions_at
    asked = Asked(event, at.id if at else branch, branch, words=proposal.words, merge_source=proposal.merge_source)
    found: Sequence[File] = ()
    if proposal.asks:
        found = hooks.files(transaction, repository, at or proposal.parents[0], None if at else branch)
        if found and (passed is None or passed.essence != proposal.essence):
            candidate = _save(transaction, repository, proposal) if event is Event.PRE_MERGE else None
            return _Question(
                asked._replace(commit_id=candidate.id if candidate else ""), found, proposal.essence, candidate
            )
    if proposal.refused is not None:
        raise proposal.refused
    if passed is not None and passed.commit is not None and passed.essence == proposal.essence:
        proposal = replace(proposal, seconds=passed.commit.created_ns // SECOND)  # the very same commit again
    commit = _save(transaction, repository, proposal)
    staging.land(transaction, repository, branch, commit)
    told = asked._replace(event=event.afterwards, source_ref=commit.id, commit_id=commit.id)
    if proposal.asks and event is not Event.PRE_COMMIT and (at or proposal.parents[0]).tree != proposal.tree:
        found = hooks.files(transaction, repository, commit)
    return _Done(commit, told, found)


def _save(transaction: Transaction, repository: str, proposal: Proposal) -> Commit:
    return history.save(
        transaction,
        repository,
        proposal.words,
        tree=proposal.tree,
        parents=proposal.parents,
        seconds=proposal.seconds,
        squashed=proposal.squashed,
    )
