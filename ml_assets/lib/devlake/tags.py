"""Tags: names of commits that never move."""

from __future__ import annotations

from typing import NamedTuple

from ml_assets.lib.devlake.access import find_repository, writable_repository
from ml_assets.lib.devlake.database import Database, Transaction
from ml_assets.lib.devlake.errors import AlreadyExists, Conflict, TagNotFound
from ml_assets.lib.devlake.names import check_ref, check_tag_name
from ml_assets.lib.devlake.page import Page, page
from ml_assets.lib.devlake.refs import resolve_commit


class Tag(NamedTuple):
    """A tag and its commit."""

    name: str
    commit_id: str


class Tags:
    """The tags of all repositories."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, repository: str, name: str, ref: str, *, force: bool = False) -> Tag:
        """A new tag at the commit of *ref*.

        Raises:
            AlreadyExists: There is a tag of this name.
            Conflict: A branch or a commit has this name.
        """
        check_tag_name(name)
        check_ref(ref)

        def work(transaction: Transaction) -> Tag:
            find_repository(transaction, repository)
            if transaction.one("SELECT 1 FROM history WHERE repository = ? AND id = ?", repository, name):
                raise Conflict(f"commit ID {name}: conflict found")
            if transaction.one("SELECT 1 FROM branch WHERE repository = ? AND name = ?", repository, name):
                raise Conflict(f"branch name {name}: conflict found")
            commit = resolve_commit(transaction, repository, ref)
            writable_repository(transaction, repository, force=force)
            sql = "INSERT OR IGNORE INTO tag (repository, name, commit_id) VALUES (?, ?, ?)"
            if transaction.run(sql, repository, name, commit.id) == 0:
                raise AlreadyExists("tag already exists: not unique")
            return Tag(name, commit.id)

        return self._database.write(work)

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
        """
        check_tag_name(name)

        def work(transaction: Transaction) -> None:
            writable_repository(transaction, repository, force=force)
            _find(transaction, repository, name)
            transaction.run("DELETE FROM tag WHERE repository = ? AND name = ?", repository, name)

        self._database.write(work)


def _find(transaction: Transaction, repository: str, name: str) -> Tag:
    row = transaction.one("SELECT commit_id FROM tag WHERE repository = ? AND name = ?", repository, name)
    if row is None:
        raise TagNotFound
    return Tag(name, row[0])
