"""What the rows of a lake need: the trees, ranges and files that anything names, in tables that live on disk.

Two levels: what is *kept* (heads, retained commits, staging, open uploads), and what is *known* beside it (all other
commits). A file that is known and not kept belongs to old commits only.

Marking again adds what has come since and costs little more than that, so it can be done while writers wait.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Final, Literal

from ml_assets.lib.core.errors import LakeError
from ml_assets.lib.devlake.database import Transaction
from ml_assets.lib.devlake.errors import Gone
from ml_assets.lib.devlake.files import JOINED
from ml_assets.lib.devlake.retention import retained_trees
from ml_assets.lib.devlake.store import Store
from ml_assets.lib.devlake.tree import ROOT

Level = Literal["kept", "known"]

_TABLES: Final = """
CREATE TABLE marks.{level}_tree (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE marks.{level}_range (id BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE marks.{level}_file (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_CACHE_KIB: Final = 65536


def attach(connection: sqlite3.Connection) -> None:
    """Give *connection* empty tables of marks. They are on disk, and gone when it is closed."""
    connection.execute("ATTACH '' AS marks")
    connection.execute(f"PRAGMA marks.cache_size=-{_CACHE_KIB}")
    for level in ("kept", "known"):
        connection.executescript(_TABLES.format(level=level))


def mark(transaction: Transaction, store: Store, now_ns: int) -> None:
    """Mark everything that the rows name, retained as of *now_ns*.

    Raises:
        LakeError: The list of an object's parts is lost, so nobody knows which files it needs.
    """
    for (repository,) in transaction.all("SELECT name FROM repository"):
        for tree in retained_trees(transaction, repository, now_ns):
            _mark_tree(transaction, store, "kept", tree)
    for table in ("staging", "part"):
        _mark_files(transaction, store, "kept", f"SELECT address FROM {table} WHERE address IS NOT NULL")
    for (tree,) in transaction.all("SELECT DISTINCT tree FROM history"):
        _mark_tree(transaction, store, "known", tree)


def _mark_tree(transaction: Transaction, store: Store, level: Level, tree: str) -> None:
    if tree == ROOT or not transaction.run(f"INSERT OR IGNORE INTO marks.{level}_tree VALUES (?)", tree):
        return
    row = transaction.one("SELECT ranges FROM tree WHERE id = ?", tree)
    for _, digest in json.loads(row[0]) if row is not None else ():
        range_id = bytes.fromhex(digest)
        new = transaction.run(f"INSERT OR IGNORE INTO marks.{level}_range VALUES (?)", range_id)
        if new and (level == "kept" or not _is_kept(transaction, range_id)):
            _mark_files(transaction, store, level, "SELECT address FROM entry WHERE range = ?", range_id)


def is_marked(transaction: Transaction, level: Level, name: str) -> bool:
    """Whether a file is marked. One that is kept need not be marked as known."""
    return transaction.one(f"SELECT 1 FROM marks.{level}_file WHERE name = ?", name) is not None


def _is_kept(transaction: Transaction, range_id: bytes) -> bool:
    return transaction.one("SELECT 1 FROM marks.kept_range WHERE id = ?", range_id) is not None


def _mark_files(transaction: Transaction, store: Store, level: Level, select: str, *values: object) -> None:
    """Mark the files behind the addresses that *select* gives."""
    into = f"INSERT OR IGNORE INTO marks.{level}_file (name)"
    transaction.run(f"{into} SELECT address FROM ({select}) WHERE address NOT LIKE '%{JOINED}'", *values)
    for (address,) in transaction.all(f"SELECT address FROM ({select}) WHERE address LIKE '%{JOINED}'", *values):
        names = _files(transaction, store, address, needed=level == "kept")
        transaction.run_many(f"{into} VALUES (?)", [(name,) for name in names])


def _files(transaction: Transaction, store: Store, address: str, *, needed: bool) -> list[str]:
    """The names of the files behind a list of parts: its own, and theirs."""
    name = address.removesuffix(JOINED)
    try:
        return [name, *(part for part, _ in store.parts(address))]
    except Gone:
        if needed and transaction.one("SELECT 1 FROM collected WHERE name = ?", name) is None:
            raise LakeError(
                f"the list of parts {address} is lost, so the files it named cannot be told from garbage",
                remedy="`ml-assets lake check` says which objects it concerns; restore a backup, or delete them",
            ) from None
        return [name]
