"""The uncommitted changes of a branch, on top of its head."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

from ml_assets.lib.devlake import refs, tree
from ml_assets.lib.devlake.database import Row, Transaction
from ml_assets.lib.devlake.history import Commit
from ml_assets.lib.devlake.nodes import COLUMNS, RowNodes
from ml_assets.lib.devlake.tree import Change, Edit, Entry

_OF_BRANCH: Final = "repository = ? AND branch = ?"


class Staged(NamedTuple):
    """What is staged at a key: an entry, or its deletion (``None``)."""

    key: str
    entry: Entry | None


def put(transaction: Transaction, repository: str, branch: str, entry: Entry) -> None:
    """Stage *entry*."""
    sql = f"INSERT OR REPLACE INTO staging (repository, branch, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    transaction.run(sql, repository, branch, *entry)


def remove(transaction: Transaction, repository: str, branch: str, head: Commit, key: str) -> None:
    """Stage the deletion of *key*, if it is committed or staged. It stays deleted if the branch is moved."""
    if get(transaction, repository, branch, key) or tree.get(RowNodes(transaction), head.tree, key):
        sql = "INSERT OR REPLACE INTO staging (repository, branch, key) VALUES (?, ?, ?)"
        transaction.run(sql, repository, branch, key)


def get(transaction: Transaction, repository: str, branch: str, key: str) -> Staged | None:
    """What is staged at *key*; ``None`` if nothing is."""
    sql = f"SELECT {COLUMNS} FROM staging WHERE {_OF_BRANCH} AND key = ?"
    row = transaction.one(sql, repository, branch, key)
    return None if row is None else _staged(row)


def scan(transaction: Transaction, repository: str, branch: str, start: str = "") -> Iterator[Staged]:
    """What is staged from key *start* on, by key."""
    sql = f"SELECT {COLUMNS} FROM staging WHERE {_OF_BRANCH} AND key >= ? ORDER BY key"
    return map(_staged, transaction.each(sql, repository, branch, start))


def edits(transaction: Transaction, repository: str, branch: str) -> Iterator[Edit]:
    """What is staged, by key: only what a tree needs to know of it."""
    sql = f"SELECT key, identity FROM staging WHERE {_OF_BRANCH} ORDER BY key"
    # There may be very many: this makes them without a call of Python.
    return map(partial(tuple.__new__, Edit), transaction.each(sql, repository, branch))


def changes(transaction: Transaction, repository: str, branch: str, head: Commit, start: str = "") -> Iterator[Change]:
    """What a commit would change, from key *start* on, by key."""
    nodes = RowNodes(transaction)
    for key, staged in scan(transaction, repository, branch, start):
        committed = tree.get(nodes, head.tree, key)
        if (staged and staged.identity) != (committed and committed.identity):
            yield Change(key, committed, staged)


def is_dirty(transaction: Transaction, repository: str, branch: str, head: Commit) -> bool:
    """Whether a commit would change anything. Staging what is committed already does not count."""
    return next(changes(transaction, repository, branch, head), None) is not None


def land(transaction: Transaction, repository: str, branch: str, commit: Commit) -> None:
    """Put *commit* on *branch*. Nothing stays staged: what was, is in the commit, or would change nothing."""
    clear(transaction, repository, branch)
    refs.move_branch(transaction, repository, branch, commit)


def clear(transaction: Transaction, repository: str, branch: str) -> None:
    """Forget everything that is staged."""
    transaction.run(f"DELETE FROM staging WHERE {_OF_BRANCH}", repository, branch)


def clear_key(transaction: Transaction, repository: str, branch: str, key: str) -> None:
    """Forget what is staged at *key*."""
    transaction.run(f"DELETE FROM staging WHERE {_OF_BRANCH} AND key = ?", repository, branch, key)


def clear_prefix(transaction: Transaction, repository: str, branch: str, prefix: str) -> None:
    """Forget what is staged at keys that start with *prefix*."""
    end = tree.prefix_end(prefix)
    if end is None:
        clear(transaction, repository, branch)
    else:
        sql = f"DELETE FROM staging WHERE {_OF_BRANCH} AND key >= ? AND key < ?"
        transaction.run(sql, repository, branch, prefix, end)


def _staged(row: Row) -> Staged:
    return Staged(row[0], None if row[1] is None else Entry._make(row))
