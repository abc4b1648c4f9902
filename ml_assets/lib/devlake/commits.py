"""Making, reading and listing commits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from ml_assets.lib.devlake import history, staging, tree
from ml_assets.lib.devlake.access import check_unprotected, check_writable, find_repository
from ml_assets.lib.devlake.actions import Event
from ml_assets.lib.devlake.database import Database, Transaction
from ml_assets.lib.devlake.errors import DevlakeError, NoChanges
from ml_assets.lib.devlake.history import Commit, Words
from ml_assets.lib.devlake.landing import Landing, Proposal
from ml_assets.lib.devlake.names import check_branch_name, check_ref
from ml_assets.lib.devlake.nodes import RowNodes
from ml_assets.lib.devlake.page import Page
from ml_assets.lib.devlake.refs import branch_head, resolve_commit


class Commits:
    """The commits of all repositories."""

    def __init__(self, database: Database, landing: Landing) -> None:
        self._database = database
        self._landing = landing

    def create(
        self,
        repository: str,
        branch: str,
        message: str,
        *,
        committer: str,
        metadata: Mapping[str, str] | None = None,
        seconds: int | None = None,
        allow_empty: bool = False,
        force: bool = False,
    ) -> Commit:
        """Commit what is staged on *branch*. *seconds* since the epoch replaces the present time.

        Raises:
            NoChanges: Nothing would change, and *allow_empty* is not set.
            ProtectedBranch: The branch is protected.
            HooksRefused: A hook refused.
        """
        check_branch_name(branch)

        def propose(transaction: Transaction) -> Proposal:
            found = find_repository(transaction, repository)
            check_unprotected(transaction, repository, branch, "cannot commit to protected branch")
            check_writable(found, force=force)
            head = branch_head(transaction, repository, branch)
            nodes = RowNodes(transaction, staged=(repository, branch))
            root = head.tree or tree.apply(nodes, tree.ROOT, ())
            committed = tree.apply(nodes, head.tree, staging.edits(transaction, repository, branch))
            return Proposal(
                words=Words(committer, message, metadata or {}),
                tree=committed,
                parents=[head],
                seconds=seconds,
                asks=not found.read_only,
                # Hooks are asked first, as in lakeFS: whoever prepares a commit may stage all of it.
                refused=NoChanges().within("commit") if committed == root and not allow_empty else None,
            )

        return self._landing.land(repository, branch, Event.PRE_COMMIT, propose)

    def get(self, repository: str, ref: str) -> Commit:
        """The commit of *ref*.

        Raises:
            RefNotFound: Nothing answers to it.
        """
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            return resolve_commit(transaction, repository, ref)

    def log(
        self,
        repository: str,
        ref: str,
        *,
        amount: int = 100,
        after: str = "",
        limit: bool = False,
        first_parent: bool = False,
        since_ns: int | None = None,
        stop_at: str = "",
        objects: Sequence[str] = (),
        prefixes: Sequence[str] = (),
    ) -> Page[Commit]:
        """The commit of *ref* and its ancestors, latest first.

        Args:
            amount: At most so many; with *limit*, it is not looked whether there are more.
            after: Only those after this ref's commit. *stop_at*: none after this ref's.
            first_parent: Follow only first parents.
            since_ns: Only those from this time on, in nanoseconds since the epoch.
            objects: Only those that change one of these paths or a path under *prefixes*; merges never count.

        Raises:
            RefNotFound: Nothing answers to one of the refs.
        """
        check_ref(ref)
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            start = _commit(transaction, repository, ref, "ref")
            last = _commit(transaction, repository, stop_at, "stop_at").id if stop_at else None
            found = history.log(transaction, repository, start, first_parent=first_parent, since_ns=since_ns)
            if after:
                found = _after(found, _commit(transaction, repository, after, "from ref").id)
            if objects or prefixes:
                found = _touching(transaction, repository, found, objects, prefixes)
            wanted = amount if limit else amount + 1
            commits = list(islice(_until(found, last), wanted))
            return Page(commits[:amount], len(commits) > amount)


def _commit(transaction: Transaction, repository: str, ref: str, argument: str) -> Commit:
    try:
        return resolve_commit(transaction, repository, ref)
    except DevlakeError as error:
        raise error.within(argument) from None


def _after(commits: Iterator[Commit], identity: str) -> Iterator[Commit]:
    for commit in commits:
        if commit.id == identity:
            break
    return commits


def _until(commits: Iterator[Commit], last: str | None) -> Iterator[Commit]:
    for commit in commits:
        yield commit
        if commit.id == last:
            return


def _touching(
    transaction: Transaction,
    repository: str,
    commits: Iterator[Commit],
    objects: Sequence[str],
    prefixes: Sequence[str],
) -> Iterator[Commit]:
    nodes = RowNodes(transaction)
    for commit in commits:
        if len(commit.parents) != 1:
            continue
        before = history.load(transaction, repository, commit.parents[0]).tree
        if any(_starts(nodes, before, commit.tree, prefix) for prefix in prefixes) or any(
            _changed(nodes, before, commit.tree, path) for path in objects
        ):
            yield commit


def _starts(nodes: RowNodes, before: str, after: str, prefix: str) -> bool:
    change = next(tree.diff(nodes, before, after, prefix), None)
    return change is not None and change.key.startswith(prefix)


def _changed(nodes: RowNodes, before: str, after: str, path: str) -> bool:
    old, new = tree.get(nodes, before, path), tree.get(nodes, after, path)
    return (old and old.identity) != (new and new.identity)
