"""Branches: moving, writable names of commits."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from ml_assets.lib.devlake import history, hooks, staging
from ml_assets.lib.devlake.access import (
    check_unprotected,
    check_writable,
    find_repository,
    staging_head,
    writable_repository,
)
from ml_assets.lib.devlake.actions import Event
from ml_assets.lib.devlake.database import Database, Transaction
from ml_assets.lib.devlake.errors import AlreadyExists, Conflict, DevlakeError, Forbidden, InvalidName
from ml_assets.lib.devlake.hooks import Asked
from ml_assets.lib.devlake.landing import Change, Landing
from ml_assets.lib.devlake.names import check_branch_name, check_path, check_ref
from ml_assets.lib.devlake.page import Page, page
from ml_assets.lib.devlake.refs import branch_head, commit_of, move_branch, resolve, resolve_commit


class Branch(NamedTuple):
    """A branch and its last commit."""

    name: str
    commit_id: str


class Reset(Enum):
    """Which uncommitted changes a reset drops."""

    ALL = "reset"
    OBJECT = "object"
    PREFIX = "common_prefix"


class Branches:
    """The branches of all repositories."""

    def __init__(self, database: Database, landing: Landing) -> None:
        self._database = database
        self._landing = landing

    def create(self, repository: str, name: str, source: str, *, hidden: bool = False, force: bool = False) -> Branch:
        """A new branch at the commit of the ref *source*.

        Raises:
            AlreadyExists: There is a branch of this name.
            Conflict: A tag or a commit has this name.
            HooksRefused: A hook refused.
        """
        try:
            check_branch_name(name)
        except InvalidName as error:
            rule = "branch id must consist of letters, digits, underscores and dashes, and cannot start with a dash"
            raise InvalidName(f"{error}: {rule}") from None
        check_ref(source)

        def propose(transaction: Transaction) -> Change:
            found = find_repository(transaction, repository)
            _check_free(transaction, repository, name)
            check_writable(found, force=force)
            try:
                resolved = resolve(transaction, repository, source)
                commit = commit_of(transaction, repository, source, resolved)
            except DevlakeError as error:
                raise error.within(f"source reference '{source}'") from None
            if transaction.one("SELECT 1 FROM branch WHERE repository = ? AND name = ?", repository, name):
                raise AlreadyExists("branch already exists: not unique")
            files = [] if found.read_only else hooks.files(transaction, repository, commit, resolved.branch)
            sql = "INSERT INTO branch (repository, name, commit_id, hidden) VALUES (?, ?, ?, ?)"
            return Change(
                Asked(Event.PRE_CREATE_BRANCH, source, name, commit_id=commit.id),
                files,
                lambda: transaction.run(sql, repository, name, commit.id, hidden),
            )

        return Branch(name, self._landing.change(repository, propose).commit_id)

    def get(self, repository: str, name: str) -> Branch:
        """The branch of this name.

        Raises:
            BranchNotFound: There is none.
        """
        check_branch_name(name)
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            return Branch(name, branch_head(transaction, repository, name).id)

    def list(
        self, repository: str, *, prefix: str = "", after: str = "", amount: int = 100, show_hidden: bool = False
    ) -> Page[Branch]:
        """Branches by name, those after *after* that start with *prefix*."""
        sql = (
            "SELECT name, commit_id FROM branch WHERE repository = ? AND name > ? AND name >= ? AND hidden <= ? "
            "AND substr(name, 1, ?) = ? ORDER BY name LIMIT ?"
        )
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            values = repository, after, prefix, show_hidden, len(prefix), prefix, amount + 1
            return page(map(Branch._make, transaction.each(sql, *values)), amount)

    def delete(self, repository: str, name: str, *, force: bool = False) -> None:
        """Remove a branch and its uncommitted changes. Its commits stay.

        Raises:
            BranchNotFound: There is none.
            Forbidden: It is the default branch.
            HooksRefused: A hook refused.
        """
        check_branch_name(name)

        def propose(transaction: Transaction) -> Change:
            found = writable_repository(transaction, repository, force=force)
            if found.default_branch == name:
                raise Forbidden("cannot delete repository default branch")
            head = branch_head(transaction, repository, name)

            def act() -> None:
                transaction.run("DELETE FROM branch WHERE repository = ? AND name = ?", repository, name)
                staging.clear(transaction, repository, name)

            files = [] if found.read_only else hooks.files(transaction, repository, head)
            return Change(Asked(Event.PRE_DELETE_BRANCH, head.id, name), files, act)

        self._landing.change(repository, propose)

    def reset(self, repository: str, name: str, kind: Reset, path: str = "", *, force: bool = False) -> None:
        """Drop uncommitted changes: all, those of one object, or those under a prefix.

        Raises:
            ProtectedBranch: The branch is protected.
        """
        check_branch_name(name)
        if kind is Reset.OBJECT:
            check_path(path)

        def work(transaction: Transaction) -> None:
            staging_head(transaction, repository, name, force=force)
            if kind is Reset.ALL:
                staging.clear(transaction, repository, name)
            elif kind is Reset.OBJECT:
                staging.clear_key(transaction, repository, name, path)
            else:
                staging.clear_prefix(transaction, repository, name, path)

        self._database.write(work)

    def hard_reset(self, repository: str, name: str, ref: str, *, force: bool = False) -> None:
        """Let the branch point to the commit of *ref*. Uncommitted changes stay, on top of it.

        Raises:
            ProtectedBranch: The branch is protected.
        """
        check_branch_name(name)
        check_ref(ref)

        def work(transaction: Transaction) -> None:
            find_repository(transaction, repository)
            check_unprotected(transaction, repository, name, "protected branch")
            writable_repository(transaction, repository, force=force)
            branch_head(transaction, repository, name)
            move_branch(transaction, repository, name, resolve_commit(transaction, repository, ref))

        self._database.write(work)


def _check_free(transaction: Transaction, repository: str, name: str) -> None:
    if history.exists(transaction, repository, name):
        raise Conflict(f"commit ID {name}: conflict found")
    if transaction.one("SELECT 1 FROM tag WHERE repository = ? AND name = ?", repository, name):
        raise Conflict(f"tag ID {name}: conflict found")
