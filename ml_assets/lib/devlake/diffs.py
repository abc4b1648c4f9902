"""What changed: uncommitted, between two refs, or on one of them since they parted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple

from ml_assets.lib.devlake import history, staging, tree
from ml_assets.lib.devlake.access import find_repository
from ml_assets.lib.devlake.database import Database, Transaction
from ml_assets.lib.devlake.merges import find_base
from ml_assets.lib.devlake.names import check_branch_name, check_ref
from ml_assets.lib.devlake.nodes import RowNodes
from ml_assets.lib.devlake.page import BEGINNING, CommonPrefix, Page, Window, fold, page
from ml_assets.lib.devlake.refs import branch_head, resolve, resolve_commit
from ml_assets.lib.devlake.tree import Change, Entry, prefix_end


class Kind(Enum):
    """How a path differs, in the words of the API."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    CONFLICT = "conflict"


class Difference(NamedTuple):
    """A path that differs, and the entry that tells most: the new one, or the removed one where it is known."""

    key: str
    kind: Kind
    entry: Entry | None


Differences = Page[Difference | CommonPrefix]


class Diffs:
    """The differences of all repositories, by path."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def uncommitted(self, repository: str, branch: str, window: Window = BEGINNING) -> Differences:
        """What a commit of *branch* would change. A removed path comes without its entry, as in lakeFS.

        Raises:
            BranchNotFound: There is no such branch.
        """
        check_branch_name(branch)
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            head = branch_head(transaction, repository, branch)

            def scan(start: str) -> Iterator[Difference]:
                for change in staging.changes(transaction, repository, branch, head, start):
                    yield Difference(change.key, _kind(change.left, change.right), change.right)

            return _listing(scan, window)

    def two_dot(self, repository: str, left: str, right: str, window: Window = BEGINNING) -> Differences:
        """What *right* has otherwise than *left*. ``branch$`` on the right takes uncommitted changes in.

        Raises:
            RefNotFound: Nothing answers to one of the refs.
        """
        check_ref(left, "left")
        check_ref(right, "right")
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            old = resolve_commit(transaction, repository, left).tree
            resolved = resolve(transaction, repository, right)
            new = history.load(transaction, repository, resolved.commit_id).tree
            branch = resolved.branch if resolved.staging else None

            def scan(start: str) -> Iterator[Difference]:
                changes = tree.diff(RowNodes(transaction), old, new, start)
                if branch is not None:
                    changes = _with_staged(transaction, repository, branch, old, changes, start=start)
                for change in changes:
                    yield Difference(change.key, _kind(change.left, change.right), change.right or change.left)

            return _listing(scan, window)

    def three_dot(self, repository: str, left: str, right: str, window: Window = BEGINNING) -> Differences:
        """What a merge of *right* into *left* would change, and where it would be refused.

        Raises:
            RefNotFound: Nothing answers to one of the refs.
            NoMergeBase: Their histories do not meet.
        """
        check_ref(left, "left")
        check_ref(right, "right")
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            source = resolve_commit(transaction, repository, right)
            destination = resolve_commit(transaction, repository, left)
            base = find_base(transaction, repository, source, destination)

            def scan(start: str) -> Iterator[Difference]:
                trees = {"base": base.tree, "source": source.tree, "destination": destination.tree}
                for proposal in tree.propose(RowNodes(transaction), **trees, start=start):
                    old, new = proposal.destination, proposal.source
                    yield Difference(proposal.key, Kind.CONFLICT if proposal.conflict else _kind(old, new), new or old)

            return _listing(scan, window)


def _listing(scan: Callable[[str], Iterator[Difference]], window: Window) -> Differences:
    """A page of what *scan* gives from a key on. With a delimiter, also nothing that starts with ``window.after``."""
    prefix, after, delimiter, amount = window
    start: str | None = after
    if delimiter and after >= prefix and after:
        start = prefix_end(after)
    if start is None:
        return Page([], more=False)
    return page((item for item in fold(scan, start, prefix, delimiter) if item[0] != after), amount)


def _kind(left: Entry | None, right: Entry | None) -> Kind:
    if left is None:
        return Kind.ADDED
    return Kind.REMOVED if right is None else Kind.CHANGED


def _with_staged(
    transaction: Transaction, repository: str, branch: str, left: str, changes: Iterator[Change], *, start: str
) -> Iterator[Change]:
    """*changes* from the tree *left* to a branch's head, with what is staged on the branch laid over them."""
    nodes = RowNodes(transaction)
    change = next(changes, None)
    for key, staged in staging.scan(transaction, repository, branch, start):
        while change is not None and change.key < key:
            yield change
            change = next(changes, None)
        if change is not None and change.key == key:
            change = next(changes, None)
        old = tree.get(nodes, left, key)
        if (old and old.identity) != (staged and staged.identity):
            yield Change(key, old, staged)
    if change is not None:
        yield change
        yield from changes
