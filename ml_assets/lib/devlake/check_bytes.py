"""Every object has its bytes, with the right size and hash."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from typing import Final

from ml_assets.lib.devlake import small_files
from ml_assets.lib.devlake.database import Transaction
from ml_assets.lib.devlake.errors import Gone
from ml_assets.lib.devlake.files import JOINED, StoredFile
from ml_assets.lib.devlake.findings import Findings
from ml_assets.lib.devlake.store import Store

TABLES: Final = """
CREATE TABLE checks.file (name TEXT PRIMARY KEY, size INTEGER, rot TEXT) WITHOUT ROWID;
CREATE TABLE checks.named (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE checks.address (address TEXT, size INTEGER, PRIMARY KEY (address, size)) WITHOUT ROWID;
CREATE TABLE checks.broken (
    address TEXT, size INTEGER, problem TEXT, collected INTEGER, PRIMARY KEY (address, size)) WITHOUT ROWID;
CREATE TABLE checks.head (id BLOB PRIMARY KEY) WITHOUT ROWID;
"""
"""Files that are there, and what is wrong with them; those that anything names; addresses that anything names; those
that do not have the bytes they should have; ranges that the heads of branches need."""

_ADDRESSES: Final = (
    "SELECT address, size FROM entry WHERE range IN (SELECT id FROM checks.needed) "
    "UNION SELECT address, size FROM staging WHERE address IS NOT NULL UNION SELECT address, size FROM part"
)
_COLLECTED: Final = "garbage collection has removed its bytes"


def gather(transaction: Transaction) -> None:
    """Note all addresses. The ranges that are needed are known by now."""
    transaction.run(f"INSERT INTO checks.address {_ADDRESSES}")


def check(transaction: Transaction, store: Store, findings: Findings, *, hashes: bool) -> None:
    """Look at all files and addresses.

    Large files take long, so they come first: the database is not asked yet, and no snapshot of it grows old meanwhile.
    """
    for file in store.files.stored():
        _look(transaction, file, store.files.chunks(file.name) if hashes else None, findings)
    for file in small_files.stored(transaction):  # which are read first: if there are both, this is what is read
        content = small_files.get(transaction, file.name) or b""
        _look(transaction, file, iter([content]) if hashes else None, findings)
    for address, size in transaction.each("SELECT address, size FROM checks.address"):
        _check_address(transaction, store, address, size)
    if transaction.one("SELECT 1 FROM checks.broken") is not None:
        _name_objects(transaction, findings)
    sql = "SELECT count(*), coalesce(sum(size), 0) FROM checks.file WHERE name NOT IN (SELECT name FROM checks.named)"
    row = transaction.one(sql)
    assert row is not None
    findings.garbage, findings.garbage_bytes = row


def _look(transaction: Transaction, file: StoredFile, content: Iterator[bytes] | None, findings: Findings) -> None:
    """Note a file, and what is wrong with its *content*, if that is to be looked at."""
    findings.files += 1
    findings.bytes += file.size
    rot = None if content is None else _rot(file.name, content)
    transaction.run("INSERT OR REPLACE INTO checks.file VALUES (?, ?, ?)", file.name, file.size, rot)


def _rot(name: str, content: Iterator[bytes]) -> str | None:
    """What is wrong with the content of a file."""
    digest = hashlib.sha256()
    try:
        for chunk in content:
            digest.update(chunk)
    except OSError as error:
        return f"file {name} cannot be read: {error.strerror}"
    return None if digest.hexdigest() == name else f"file {name} does not hold the bytes that were written"


def _check_address(transaction: Transaction, store: Store, address: str, size: int) -> None:
    expected: list[tuple[str, int | None]] = [(address.removesuffix(JOINED), None)]
    problem = None
    try:
        parts = store.parts(address)
    except Gone as error:
        problem = str(error)
    else:
        expected = [(address, size)] if parts == [(address, None)] else expected + parts
        total = sum(part_size for _, part_size in expected if part_size is not None)
        problem = None if total == size else f"its parts have {total} bytes, and it should have {size}"
    for name, part_size in expected:
        transaction.run("INSERT OR IGNORE INTO checks.named VALUES (?)", name)
        problem = problem or _problem_of_file(transaction, name, part_size)
    if problem is not None:
        collected = any(_is_collected(transaction, name) for name, _ in expected)
        transaction.run("INSERT INTO checks.broken VALUES (?, ?, ?, ?)", address, size, problem, collected)


def _problem_of_file(transaction: Transaction, name: str, size: int | None) -> str | None:
    row = transaction.one("SELECT size, rot FROM checks.file WHERE name = ?", name)
    if row is None:
        return f"file {name} is missing"
    if size is not None and row[0] != size:
        return f"file {name} has {row[0]} bytes instead of {size}"
    rot: str | None = row[1]
    return rot


def _is_collected(transaction: Transaction, name: str) -> bool:
    """Whether garbage collection has removed this file, and it has not come back."""
    sql = "SELECT 1 FROM collected WHERE name = ? AND name NOT IN (SELECT name FROM checks.file)"
    return transaction.one(sql, name) is not None


def _name_objects(transaction: Transaction, findings: Findings) -> None:
    """Say which objects have broken addresses. Collected bytes are a problem only where people read now."""
    broken = "JOIN checks.broken b ON b.address = x.address AND b.size = x.size"
    sql = f"SELECT repository, branch, key, problem FROM staging x {broken}"
    for repository, branch, key, problem in transaction.each(sql):
        findings.problem(f"object {key} staged on branch {repository}/{branch}: {problem}")
    for upload, number, problem in transaction.each(f"SELECT upload, number, problem FROM part x {broken}"):
        findings.problem(f"part {number} of upload {upload}: {problem}")
    _find_heads(transaction)
    places: dict[bytes, str] = {}
    sql = (
        f"SELECT range, key, problem, collected, range IN (SELECT id FROM checks.head) FROM entry x {broken} "
        "WHERE range IN (SELECT id FROM checks.needed)"
    )
    for range_id, key, problem, collected, on_a_branch in transaction.each(sql):
        if collected and not on_a_branch:
            findings.collected += 1
            continue
        if range_id not in places:
            places = {range_id: _place(transaction, range_id)}
        findings.problem(f"object {key} in {places[range_id]}: {_COLLECTED if collected else problem}")


def _find_heads(transaction: Transaction) -> None:
    sql = (
        "SELECT DISTINCT t.ranges FROM branch b JOIN history h ON h.repository = b.repository AND h.id = b.commit_id "
        "JOIN tree t ON t.id = h.tree"
    )
    for (ranges,) in transaction.each(sql):
        with contextlib.suppress(ValueError, TypeError):  # a tree that cannot be read has been named
            ids = [(bytes.fromhex(digest),) for _, digest in json.loads(ranges)]
            transaction.run_many("INSERT OR IGNORE INTO checks.head VALUES (?)", ids)


def _place(transaction: Transaction, range_id: bytes) -> str:
    """A branch whose head has this range, else the latest commit that has."""
    sql = (
        "SELECT h.repository, h.id, b.name FROM tree t JOIN history h ON h.tree = t.id "
        "LEFT JOIN branch b ON b.repository = h.repository AND b.commit_id = h.id "
        "WHERE instr(t.ranges, ?) ORDER BY b.name IS NULL, h.created_ns DESC LIMIT 1"
    )
    row = transaction.one(sql, range_id.hex())
    assert row is not None, "a range that is needed has a commit that needs it"
    repository, commit, branch = row
    return f"commit {repository}/{commit}" if branch is None else f"branch {repository}/{branch}"
