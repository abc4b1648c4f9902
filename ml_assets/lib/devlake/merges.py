"""Merge, revert and cherry-pick: one three-way merge with different arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from ml_assets.lib.devlake import history, staging, tree
from ml_assets.lib.devlake.access import find_repository, writable_repository
from ml_assets.lib.devlake.actions import Event
from ml_assets.lib.devlake.database import Database, Transaction
from ml_assets.lib.devlake.errors import (
    Conflict,
    DevlakeError,
    DirtyBranch,
    Invalid,
    MergeConflict,
    NoChanges,
    ParentOutOfRange,
)
from ml_assets.lib.devlake.history import Commit, Words
from ml_assets.lib.devlake.landing import Landing, Proposal
from ml_assets.lib.devlake.names import check_branch_name, check_ref
from ml_assets.lib.devlake.nodes import RowNodes
from ml_assets.lib.devlake.refs import branch_head, resolve_commit
from ml_assets.lib.devlake.tree import Strategy

STRATEGY_KEY: Final = ".lakefs.merge.strategy"

_DOING: Final = "update branch"
"""What lakeFS says it was at, when a revert or a cherry-pick fails."""


class NoMergeBase(DevlakeError):
    """The two histories do not meet; lakeFS answers 500 as well."""

    def __init__(self) -> None:
        super().__init__("no merge base")


class MergeBase(NamedTuple):
    """The heads of a source and a destination, and where they meet."""

    source: str
    destination: str
    base: str


class Overrides(NamedTuple):
    """What a revert or a cherry-pick says instead of its own text. ``None`` keeps it."""

    message: str | None = None
    metadata: Mapping[str, str] | None = None


KEEP: Final = Overrides()


class Merges:
    """What brings the changes of other commits onto a branch. Protection does not forbid it, as in lakeFS."""

    def __init__(self, database: Database, landing: Landing) -> None:
        self._database = database
        self._landing = landing

    def base(self, repository: str, source: str, destination: str) -> MergeBase:
        """Where two refs meet.

        Raises:
            NoMergeBase: They do not.
        """
        check_ref(destination, "destination")
        check_ref(source, "source")
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            to = resolve_commit(transaction, repository, destination)
            given = resolve_commit(transaction, repository, source)
            base = find_base(transaction, repository, to, given)
            return MergeBase(given.id, to.id, base.id)

    def merge(
        self,
        repository: str,
        source: str,
        branch: str,
        *,
        committer: str,
        message: str = "",
        metadata: Mapping[str, str] | None = None,
        strategy: Strategy = Strategy.REFUSE,
        allow_empty: bool = False,
        squash: bool = False,
        force: bool = False,
    ) -> Commit:
        """Bring what the ref *source* changed since the merge base onto *branch*, always as a new commit.

        Raises:
            DirtyBranch: The branch has uncommitted changes.
            NoChanges: The source changed nothing, and neither *allow_empty* nor *force* is set.
            MergeConflict: Both changed a key differently, and *strategy* is to refuse.
            HooksRefused: A hook refused.
        """
        check_branch_name(branch, "destination")
        check_ref(source, "source")

        def propose(transaction: Transaction) -> Proposal:
            asks = not writable_repository(transaction, repository, force=force).read_only
            head = _clean_head(transaction, repository, branch)
            doing = f"{_DOING} {branch}"
            given = _resolve(transaction, repository, source, f"{doing}: get commit by ref {source}")
            trees = find_base(transaction, repository, given, head).tree, given.tree, head.tree
            merged = _merge(transaction, trees, strategy, allow_empty=allow_empty or force, doing=doing)
            labels = {**(metadata or {}), STRATEGY_KEY: strategy.value or "default"}
            words = Words(committer, message or f"Merge '{source}' into '{branch}'", labels)
            parents, squashed = ([head], given) if squash else ([head, given], None)
            return Proposal(
                words=words,
                tree=merged,
                parents=parents,
                squashed=squashed,
                actions_at=given,
                merge_source=source,
                asks=asks,
            )

        return self._landing.land(repository, branch, Event.PRE_MERGE, propose)

    def revert(
        self,
        repository: str,
        branch: str,
        ref: str,
        *,
        parent_number: int,
        committer: str,
        overrides: Overrides = KEEP,
        allow_empty: bool = False,
        force: bool = False,
    ) -> Commit:
        """Undo the commit of *ref* on *branch*; of a merge, what it brought to its parent *parent_number* (from 1).

        Raises:
            DirtyBranch: The branch has uncommitted changes.
            NoChanges: There is nothing to undo, and *allow_empty* is not set.
            MergeConflict: The branch changed the same keys since.
            Conflict: *ref* is a merge, and *parent_number* is 0.
            HooksRefused: A hook refused.
        """
        check_branch_name(branch)
        check_ref(ref)
        if parent_number < 0:
            raise Invalid("argument parentNumber: invalid value: validation error")

        def propose(transaction: Transaction) -> Proposal:
            asks = not writable_repository(transaction, repository, force=force).read_only
            undone = _resolve(transaction, repository, ref, f"get commit from ref {ref}")
            if len(undone.parents) > 1 and parent_number == 0:
                raise Conflict("must specify 1-based parent number for reverting merge commit")
            _check_parent(undone, parent_number)
            head = _clean_head(transaction, repository, branch)
            parent = _parent_tree(transaction, repository, undone, max(parent_number, 1))
            reverted = _merge(transaction, (undone.tree, parent, head.tree), allow_empty=allow_empty)
            if reverted == head.tree and not allow_empty:
                raise NoChanges().within(_DOING)
            words = Words(committer, overrides.message or f"Revert {ref}", overrides.metadata or {})
            return Proposal(words=words, tree=reverted, parents=[head], asks=asks)

        return self._landing.land(repository, branch, Event.PRE_REVERT, propose)

    def cherry_pick(
        self,
        repository: str,
        branch: str,
        ref: str,
        *,
        parent_number: int | None = None,
        committer: str,
        overrides: Overrides = KEEP,
        force: bool = False,
    ) -> Commit:
        """Repeat the commit of *ref* on *branch*; of a merge, relative to its parent *parent_number* (from 1).

        Raises:
            DirtyBranch: The branch has uncommitted changes.
            NoChanges: The commit changes nothing.
            MergeConflict: The branch changed the same keys.
            Invalid: *ref* is a merge, and *parent_number* is not given.
            HooksRefused: A hook refused.
        """
        check_branch_name(branch)
        check_ref(ref)
        if parent_number is not None and parent_number <= 0:
            raise Invalid("argument parentNumber: invalid value: validation error")

        def propose(transaction: Transaction) -> Proposal:
            asks = not writable_repository(transaction, repository, force=force).read_only
            picked = _resolve(transaction, repository, ref, f"get commit from ref {ref}")
            if parent_number is None and len(picked.parents) > 1:
                raise Invalid("must specify 1-based parent number for cherry-picking merge commit")
            number = parent_number or 1
            _check_parent(picked, number)
            head = _clean_head(transaction, repository, branch)
            parent = _parent_tree(transaction, repository, picked, number)
            merged = _merge(transaction, (parent, picked.tree, head.tree))
            metadata = _picked_metadata(transaction, repository, picked, overrides)
            words = Words(committer, overrides.message or picked.message, metadata)
            return Proposal(words=words, tree=merged, parents=[head], asks=asks)

        return self._landing.land(repository, branch, Event.PRE_CHERRY_PICK, propose)


def find_base(transaction: Transaction, repository: str, left: Commit, right: Commit) -> Commit:
    """Where the histories of two commits meet.

    Raises:
        NoMergeBase: They do not.
    """
    base = history.merge_base(transaction, repository, left, right)
    if base is None:
        raise NoMergeBase
    return base


def _resolve(transaction: Transaction, repository: str, ref: str, doing: str) -> Commit:
    try:
        return resolve_commit(transaction, repository, ref)
    except DevlakeError as error:
        raise error.within(doing) from None


def _picked_metadata(transaction: Transaction, repository: str, picked: Commit, overrides: Overrides) -> dict[str, str]:
    origin = {"cherry-pick-origin": picked.id, "cherry-pick-committer": picked.committer}
    if overrides.metadata is not None:
        return {**overrides.metadata, **origin}
    if picked.metadata:
        history.note(transaction, repository, picked, origin)
    return {**picked.metadata, **origin}


def _clean_head(transaction: Transaction, repository: str, branch: str) -> Commit:
    head = branch_head(transaction, repository, branch)
    if staging.is_dirty(transaction, repository, branch, head):
        raise DirtyBranch
    return head


def _check_parent(commit: Commit, number: int) -> None:
    if number > len(commit.parents):
        raise ParentOutOfRange


def _parent_tree(transaction: Transaction, repository: str, commit: Commit, number: int) -> str:
    return history.load(transaction, repository, commit.parents[number - 1]).tree if commit.parents else tree.ROOT


def _merge(
    transaction: Transaction,
    trees: tuple[str, str, str],
    strategy: Strategy = Strategy.REFUSE,
    *,
    allow_empty: bool = False,
    doing: str = _DOING,
) -> str:
    """The tree that brings what changed from the first of *trees* to the second into the third."""
    base, source, destination = trees
    if source == base and not allow_empty:
        raise NoChanges().within(doing)
    if destination == base:
        return source
    try:
        return tree.merge(RowNodes(transaction), base=base, source=source, destination=destination, strategy=strategy)
    except MergeConflict as conflict:
        raise conflict.within(doing) from None
