"""Tags: names of commits that never move."""

from __future__ import annotations

from typing import NamedTuple

from ml_assets.lib.devlake import history, hooks
from ml_assets.lib.devlake.access import check_writable, find_repository, writable_repository
from ml_assets.lib.devlake.actions import Event
from ml_assets.lib.devlake.database import Database, Transaction
from ml_assets.lib.devlake.errors import AlreadyExists, Conflict, TagNotFound
from ml_assets.lib.devlake.hooks import Asked
from ml_assets.lib.devlake.landing import Change, Landing
from ml_assets.lib.devlake.names import check_tag_name
from ml_assets.lib.devlake.page import Page, page
from ml_assets.lib.devlake.refs import resolve_commit


class Tag(NamedTuple):
    """A tag and its commit."""

    name: str
    commit_id: str


class Tags:
    """The tags of all repositories."""

    def __init__(self, database: Database, landing: Landing) -> None:
        self._database = database
        self._landing = landing

    def create(self, repository: str, name: str, ref: str, *, force: bool = False) -> Tag:
        """A new tag at the commit of *ref*.

        Raises:
            AlreadyExists: There is a tag of this name.
            Conflict: A branch or a commit has this name.
            HooksRefused: A hook refused.
        """
        check_tag_name(name)

        def propose(transaction: Transaction) -> Change:
            found = find_repository(transaction, repository)
            if history.exists(transaction, repository, name):
                raise Conflict(f"commit ID {name}: conflict found")
            if transaction.one("SELECT 1 FROM branch WHERE repository = ? AND name = ?", repository, name):
                raise Conflict(f"branch name {name}: conflict found")
            commit = resolve_commit(transaction, repository, ref)
            check_writable(found, force=force)
            if transaction.one("SELECT 1 FROM tag WHERE repository = ? AND name = ?", repository, name):
                raise AlreadyExists("tag already exists: not unique")
            sql = "INSERT INTO tag (repository, name, commit_id) VALUES (?, ?, ?)"
            return Change(
                Asked(Event.PRE_CREATE_TAG, commit.id, tag=name, commit_id=commit.id),
                [] if found.read_only else hooks.files(transaction, repository, commit),
                lambda: transaction.run(sql, repository, name, commit.id),
            )

        return Tag(name, self._landing.change(repository, propose).commit_id)

    def get(self, repository: str, name: str) -> Tag:
        """The tag of this name.

        Raises:
            TagNotFound: There is none.
        """
        check_tag_name(name)
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            return _find(transaction, repository, name)

    def list(self, repository: str, *, prefix: str = "", after: str = "", amount: int = 100) -> Page[Tag]:
        """Tags by name, those after *after* that start with *prefix*."""
        sql = (
            "SELECT name, commit_id FROM tag WHERE repository = ? AND name > ? AND name >= ? "
            "AND substr(name, 1, ?) = ? ORDER BY name LIMIT ?"
        )
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            values = repository, after, prefix, len(prefix), prefix, amount + 1
            return page(map(Tag._make, transaction.each(sql, *values)), amount)

    def delete(self, repository: str, name: str, *, force: bool = False) -> None:
        """Remove a tag. Its commit stays.

        Raises:
            TagNotFound: There is none.
            HooksRefused: A hook refused.
        """
        check_tag_name(name)

        def propose(transaction: Transaction) -> Change:
            found = writable_repository(transaction, repository, force=force)
            commit = history.load(transaction, repository, _find(transaction, repository, name).commit_id)
            sql = "DELETE FROM tag WHERE repository = ? AND name = ?"
            return Change(
                Asked(Event.PRE_DELETE_TAG, commit.id, tag=name, commit_id=commit.id),
                [] if found.read_only else hooks.files(transaction, repository, commit),
                lambda: transaction.run(sql, repository, name),
            )

        self._landing.change(repository, propose)


def _find(transaction: Transaction, repository: str, name: str) -> Tag:
    row = transaction.one("SELECT commit_id FROM tag WHERE repository = ? AND name = ?", repository, name)
    if row is None:
        raise TagNotFound
    return Tag(name, row[0])
