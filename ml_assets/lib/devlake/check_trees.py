"""Every tree and range that a commit needs is there, hashes to its id, and is sorted and cut as it should be."""

from __future__ import annotations

import json
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Final

from ml_assets.lib.devlake.database import Transaction
from ml_assets.lib.devlake.findings import Findings
from ml_assets.lib.devlake.nodes import COLUMNS
from ml_assets.lib.devlake.tree import Entry, Range, ends_range, identify, range_id, tree_id

TABLES: Final = """
CREATE TABLE checks.range (id BLOB PRIMARY KEY, first_key TEXT, last_key TEXT) WITHOUT ROWID;
CREATE TABLE checks.needed (id BLOB PRIMARY KEY) WITHOUT ROWID;
"""
"""Ranges that are there, and those that trees of commits need."""


def check(transaction: Transaction, findings: Findings) -> None:
    """Look at all entries and trees."""
    rows = transaction.each(f"SELECT range, {COLUMNS} FROM entry ORDER BY range, key")
    for digest, group in groupby(rows, itemgetter(0)):
        entries = [Entry(*row[1:]) for row in group]
        findings.entries += len(entries)
        _check_range(findings, digest, entries)
        values = digest, entries[0].key, entries[-1].key
        transaction.run("INSERT INTO checks.range VALUES (?, ?, ?)", *values)
    for tree, text in transaction.each("SELECT id, ranges FROM tree WHERE id IN (SELECT tree FROM history)"):
        findings.trees += 1
        try:
            ranges = [Range(key, bytes.fromhex(digest)) for key, digest in json.loads(text)]
        except (ValueError, TypeError):
            findings.problem(f"tree {tree} cannot be read")
        else:
            _check_tree(transaction, findings, tree, ranges)


def _check_range(findings: Findings, digest: bytes, entries: list[Entry]) -> None:
    if range_id(entries) != digest:
        findings.problem(f"range {digest.hex()} is not what its id says")
    for each in entries:
        if each.identity != identify(each.size, each.etag, each.metadata_json, each.content_type):
            findings.problem(f"object {each.key} in range {digest.hex()} is not what its identity says")
    if any(ends_range(each.key) for each in entries[:-1]):
        findings.problem(f"range {digest.hex()} goes on after a key that ends one")


def _check_tree(transaction: Transaction, findings: Findings, tree: str, ranges: list[Range]) -> None:
    if tree_id(ranges) != tree:
        findings.problem(f"tree {tree} is not what its id says")
    first_keys: list[str] = []
    for last_key, digest in ranges:
        row = transaction.one("SELECT first_key, last_key FROM checks.range WHERE id = ?", digest)
        if row is None:
            findings.problem(f"tree {tree} names range {digest.hex()}, which does not exist")
        elif row[1] != last_key:
            findings.problem(f"tree {tree} names range {digest.hex()} by another last key than it has")
        first_keys.append(row[0] if row is not None else last_key)
        transaction.run("INSERT OR IGNORE INTO checks.needed VALUES (?)", digest)
    for before, (index, _) in pairwise(enumerate(ranges)):
        if ranges[before[0]].last_key >= first_keys[index]:
            findings.problem(f"tree {tree} is not sorted at range {index}")
    if any(not ends_range(each.last_key) for each in ranges[:-1]):
        findings.problem(f"tree {tree} is cut at a key that ends no range")
