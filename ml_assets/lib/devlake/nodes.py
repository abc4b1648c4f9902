"""The tree's ranges and trees as rows of the database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from ml_assets.lib.devlake.database import Transaction
from ml_assets.lib.devlake.tree import ROOT, Edit, Entry, Range

CACHED_RANGES: Final = 1 << 16
"""What is kept in memory, of all trees: each that was read takes 200 bytes, a tree of a million objects has 4,000."""

COLUMNS: Final = "key, identity, size, etag, address, mtime, content_type, metadata"


class _Edited(NamedTuple):
    """A range with edits: its first and last key, and how many of its entries are edits."""

    id: bytes
    first_key: str
    last_key: str
    amount: int


class RowNodes:
    """:class:`~ml_assets.lib.devlake.tree.Nodes` of one transaction.

    The ranges of a tree are one row, and are kept in memory once read: they never change.

    Args:
        transaction: What is read and written goes through it.
        staged: Repository and branch whose staging has the rest of what edits name; the edits are all of it.
    """

    def __init__(self, transaction: Transaction, staged: tuple[str, str] | None = None) -> None:
        self._transaction = transaction
        self._staged = staged
        self._edited: list[_Edited] = []

    def ranges(self, tree: str) -> Sequence[Range]:
        """The ranges of a tree, by last key. ``ROOT`` has none."""
        if tree == ROOT:
            return ()
        cache = self._transaction.cache
        found: tuple[Range, ...] | None = cache.get(tree)
        if found is None:
            row = self._transaction.one("SELECT ranges FROM tree WHERE id = ?", tree)
            assert row is not None, f"tree {tree} is not in the database"
            found = tuple(Range(last_key, bytes.fromhex(digest)) for last_key, digest in json.loads(row[0]))
            self._keep(tree, found)
        return found

    def entries(self, range_id: bytes, start: str) -> Iterator[Entry]:
        """The entries of a range from key *start* on, by key."""
        sql = f"SELECT {COLUMNS} FROM entry WHERE range = ? AND key >= ? ORDER BY key"
        return map(Entry._make, self._transaction.each(sql, range_id, start))

    def entry(self, range_id: bytes, key: str) -> Entry | None:
        """One entry of a range."""
        row = self._transaction.one(f"SELECT {COLUMNS} FROM entry WHERE range = ? AND key = ?", range_id, key)
        return None if row is None else Entry._make(row)

    def save_range(self, range_id: bytes, entries: Sequence[Entry | Edit]) -> None:
        """Keep a range, unless it is kept already; one that is all staged by the time that its tree is kept."""
        known = [each for each in entries if isinstance(each, Entry)]
        edited = _Edited(range_id, entries[0].key, entries[-1].key, len(entries) - len(known))
        if not known:
            self._edited.append(edited)
        elif not self._has(range_id):
            sql = f"INSERT INTO entry (range, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            self._transaction.run_many(sql, ((range_id, *each) for each in known))
            self._save(edited)

    def save_tree(self, tree: str, ranges: Sequence[Range]) -> None:
        """Keep a tree, unless it is kept already."""
        # By id, as they lie in the table: what is put behind all that is there fills its pages.
        for edited in sorted(self._edited):
            if not self._has(edited.id):
                self._save(edited)
        self._edited.clear()
        text = json.dumps([(each.last_key, each.id.hex()) for each in ranges])
        self._transaction.run("INSERT OR IGNORE INTO tree (id, ranges) VALUES (?, ?)", tree, text)
        self._keep(tree, tuple(ranges))

    def _has(self, range_id: bytes) -> bool:
        return self._transaction.one("SELECT 1 FROM entry WHERE range = ? LIMIT 1", range_id) is not None

    def _save(self, edited: _Edited) -> None:
        """What is staged goes from table to table."""
        if edited.amount == 0:
            return
        assert self._staged is not None, "edits are of a branch"
        sql = (  # one that is staged and equal to what is known stays as it was
            f"INSERT OR IGNORE INTO entry (range, {COLUMNS}) SELECT ?, {COLUMNS} FROM staging"
            " WHERE repository = ? AND branch = ? AND key BETWEEN ? AND ? AND identity IS NOT NULL"
        )
        found = self._transaction.run(sql, edited.id, *self._staged, edited.first_key, edited.last_key)
        assert found == edited.amount, "what is staged is what the edits name"

    def _keep(self, tree: str, ranges: tuple[Range, ...]) -> None:
        """Remember the ranges of a tree. It is true of them whether or not the transaction is committed."""
        cache = self._transaction.cache
        if sum(map(len, list(cache.values()))) + len(cache) + len(ranges) > CACHED_RANGES:
            cache.clear()
        cache[tree] = ranges
