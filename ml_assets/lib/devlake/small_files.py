"""Small content, kept as rows: one write and one sync for an object's bytes and its own row.

A file costs little but the waiting for the disk: for itself, for its folder, and then for the row that names it. Small
content SQLite reads and writes faster than a file system does (https://sqlite.org/fasterthanfs.html). A row here means
what a file means elsewhere: its name is the SHA-256 of its content, it never changes, and it goes as garbage.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ml_assets.lib.devlake.database import Transaction
from ml_assets.lib.devlake.files import StoredFile

SMALL: Final = 1 << 16
"""Bytes up to which what is uploaded is held in memory and kept as a row: as far as that is seen to be faster."""


def put(transaction: Transaction, name: str, content: bytes, seconds: int) -> None:
    """Keep *content*, as of *seconds* since the epoch. Equal content is kept once, and takes the place of damaged."""
    transaction.run("INSERT OR REPLACE INTO small_file VALUES (?, ?, ?)", bytes.fromhex(name), seconds, content)


def get(transaction: Transaction, name: str) -> bytes | None:
    """The content of this name; ``None`` if there is none here."""
    row = transaction.one("SELECT content FROM small_file WHERE digest = ?", bytes.fromhex(name))
    return None if row is None else row[0]


def size(transaction: Transaction, name: str) -> int | None:
    """How many bytes it has; ``None`` if there is none here."""
    row = transaction.one("SELECT length(content) FROM small_file WHERE digest = ?", bytes.fromhex(name))
    return None if row is None else row[0]


def stored(transaction: Transaction) -> Iterator[StoredFile]:
    """All that is kept here."""
    for digest, length, mtime in transaction.each("SELECT digest, length(content), mtime FROM small_file"):
        yield StoredFile(digest.hex(), length, mtime)


def remove(transaction: Transaction, name: str, before: float) -> bool:
    """Remove a row, unless it is missing or was written at *before* (seconds since the epoch) or later."""
    sql = "DELETE FROM small_file WHERE digest = ? AND mtime < ?"
    return transaction.run(sql, bytes.fromhex(name), before) > 0
