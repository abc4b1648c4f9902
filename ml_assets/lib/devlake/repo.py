"""The lake: one folder with a database and a store, and the repositories in it.

The API is grouped by what it is about: ``lake.branches.create(...)``, ``lake.objects.stat(...)``. Every call blocks, is
one transaction, and may be made from any thread.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ml_assets.lib.devlake import history, tree
from ml_assets.lib.devlake.access import COLUMNS, Repository, find_repository, repository_of, writable_repository
from ml_assets.lib.devlake.branches import Branches
from ml_assets.lib.devlake.commits import Commits
from ml_assets.lib.devlake.database import FILE, Database, Transaction
from ml_assets.lib.devlake.diffs import Diffs
from ml_assets.lib.devlake.errors import AlreadyExists, Invalid
from ml_assets.lib.devlake.files import Files
from ml_assets.lib.devlake.history import Words
from ml_assets.lib.devlake.hooks import Hooks
from ml_assets.lib.devlake.landing import Landing
from ml_assets.lib.devlake.merges import Merges
from ml_assets.lib.devlake.names import check_repository_name, check_storage_namespace
from ml_assets.lib.devlake.objects import Objects
from ml_assets.lib.devlake.page import Page, page
from ml_assets.lib.devlake.protection import Protection
from ml_assets.lib.devlake.retention import Retention
from ml_assets.lib.devlake.store import Store
from ml_assets.lib.devlake.tags import Tags
from ml_assets.lib.devlake.uploads import Uploads

__all__ = ["Lake", "Repositories", "Repository"]

FIRST_MESSAGE = "Repository created"


class Repositories:
    """The repositories of a lake."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, name: str, storage_namespace: str, *, default_branch: str = "main", read_only: bool = False
    ) -> Repository:
        """A new repository with one commit on its default branch.

        Raises:
            AlreadyExists: There is one of this name.
            Invalid: The storage namespace is none, or a repository (even a deleted one) has used it.
        """
        check_repository_name(name, "name")

        def work(transaction: Transaction) -> Repository:
            if transaction.one("SELECT 1 FROM repository WHERE name = ?", name) is not None:
                raise AlreadyExists("error creating repository: not unique")
            check_storage_namespace(storage_namespace)
            if not read_only:
                _use_namespace(transaction, storage_namespace)
            sql = f"INSERT INTO repository ({COLUMNS}) VALUES (?, ?, ?, ?, ?, '{{}}')"
            transaction.run(sql, name, storage_namespace, default_branch, int(time.time()), read_only)
            first = history.save(transaction, name, Words("", FIRST_MESSAGE, {}), tree=tree.ROOT, parents=[])
            sql = "INSERT INTO branch (repository, name, commit_id, hidden) VALUES (?, ?, ?, 0)"
            transaction.run(sql, name, default_branch, first.id)
            return find_repository(transaction, name)

        return self._database.write(work)

    def get(self, name: str) -> Repository:
        """The repository of this name.

        Raises:
            RepositoryNotFound: There is none.
        """
        return find_repository(self._database.look(), name)

    def list(self, *, prefix: str = "", after: str = "", amount: int = 100, search: str = "") -> Page[Repository]:
        """Repositories by name, those after *after* that start with *prefix* and hold *search*."""
        sql = (
            f"SELECT {COLUMNS} FROM repository WHERE name > ? AND name >= ? AND substr(name, 1, ?) = ? "
            "AND instr(name, ?) ORDER BY name LIMIT ?"
        )
        with self._database.read() as transaction:
            rows = transaction.each(sql, after, prefix, len(prefix), prefix, search, amount + 1)
            return page(map(repository_of, rows), amount)

    def delete(self, name: str, *, force: bool = False) -> None:
        """Remove a repository and all that is in it. Its storage namespace stays used.

        Raises:
            RepositoryNotFound: There is none.
            ReadOnlyRepository: It is read-only, and *force* is not set.
        """

        def work(transaction: Transaction) -> None:
            writable_repository(transaction, name, force=force)
            transaction.run("DELETE FROM part WHERE upload IN (SELECT id FROM upload WHERE repository = ?)", name)
            for table in (
                "branch",
                "tag",
                "history",
                "staging",
                "upload",
                "protection",
                "retention",
                "action_run",
                "hook_run",
            ):
                transaction.run(f"DELETE FROM {table} WHERE repository = ?", name)
            transaction.run("DELETE FROM repository WHERE name = ?", name)

        self._database.write(work)

    def update_metadata(self, name: str, *, put: Mapping[str, str], drop: Sequence[str]) -> None:
        """Set some keys of the repository's metadata, and remove others.

        Raises:
            RepositoryNotFound: There is none.
        """

        def work(transaction: Transaction) -> None:
            metadata = {**find_repository(transaction, name).metadata, **put}
            kept = {key: value for key, value in metadata.items() if key not in drop}
            transaction.run("UPDATE repository SET metadata = ? WHERE name = ?", json.dumps(kept), name)

        self._database.write(work)


class Lake:
    """A lake in a folder; opens it, or makes it.

    Raises:
        SchemaVersionError: The folder was written by a newer version of this project.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._database = Database(root / FILE)
        self.store = Store(Files(root), self._database.look)
        self.repositories = Repositories(self._database)
        self.hooks = Hooks(self._database, self.store)
        landing = Landing(self._database, self.hooks)
        self.branches = Branches(self._database, landing)
        self.tags = Tags(self._database, landing)
        self.commits = Commits(self._database, landing)
        self.merges = Merges(self._database, landing)
        self.diffs = Diffs(self._database)
        self.objects = Objects(self._database, self.store)
        self.uploads = Uploads(self._database, self.store)
        self.protection = Protection(self._database)
        self.retention = Retention(self._database)

    def close(self) -> None:
        """Finish what is being written, and close the database. The caller has stopped all readers."""
        self.hooks.end()
        self._database.close()
        self.store.files.close()


def _use_namespace(transaction: Transaction, storage_namespace: str) -> None:
    sql = "INSERT OR IGNORE INTO used_namespace (storage_namespace) VALUES (?)"
    if transaction.run(sql, storage_namespace.rstrip("/")) == 0:
        raise Invalid(
            f"failed to create repository: found lakeFS objects in the storage (:{storage_namespace}) "
            "key(_lakefs/dummy): storage namespace already in use"
        )
