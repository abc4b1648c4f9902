"""Commits: their ids, their log, and where two of them meet."""

from __future__ import annotations

import hashlib
import heapq
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ml_assets.lib.devlake.database import Row, Transaction
from ml_assets.lib.devlake.errors import CommitNotFound

SECOND: Final = 1_000_000_000
_ID: Final = re.compile(r"[0-9a-f]{64}")
_COLUMNS: Final = "id, committer, message, tree, created_ns, parents, metadata, notes, generation"


class Commit(NamedTuple):
    """A commit.

    Attributes:
        id: :func:`commit_id` of the other fields but the generation.
        committer: The user's id; empty for the first commit of a repository.
        message: May be empty.
        tree: The id of its tree (``meta_range_id`` in the API); ``tree.ROOT`` for the first commit.
        created_ns: Nanoseconds since the epoch.
        parents: The destination first, if it is a merge.
        metadata: Flat. The id covers it.
        notes: Shown beside the metadata; the id does not cover them. See :func:`note`.
        generation: 1 for the first commit, else one more than the largest of those it was made from.
    """

    id: str
    committer: str
    message: str
    tree: str
    created_ns: int
    parents: tuple[str, ...]
    metadata: dict[str, str]
    notes: dict[str, str]
    generation: int


class Words(NamedTuple):
    """What is said about a commit by whoever makes it."""

    committer: str
    message: str
    metadata: Mapping[str, str]


def commit_id(
    *, committer: str, message: str, tree: str, seconds: int, metadata: Mapping[str, str], parents: Sequence[str]
) -> str:
    """The id that lakeFS gives to a commit (``pkg/ident`` and ``pkg/graveler/model.go`` there).

    SHA-256 over the fields, each with a type byte and its length. The generation does not count, and neither do
    fractions of a second: the same change in the same second on the same parent is the same commit.
    """
    ancestry = b"\x03" + _integer(len(parents)) + b"".join(_string(parent) for parent in parents)
    pairs = b"".join(_string(key) + _string(metadata[key]) for key in sorted(metadata))
    return hashlib.sha256(
        _string("commit:v1")
        + _string(committer)
        + _string(message)
        + _string(tree)
        + _integer(seconds)
        + (b"\x04" + _integer(len(metadata)) + pairs)
        + (b"\x05" + _bytes(hashlib.sha256(ancestry).digest()))
    ).hexdigest()


def save(
    transaction: Transaction,
    repository: str,
    words: Words,
    *,
    tree: str,
    parents: Sequence[Commit],
    seconds: int | None = None,
    squashed: Commit | None = None,
) -> Commit:
    """Add a commit, unless the very same one is there.

    Args:
        seconds: Since the epoch; replaces the present time.
        squashed: Counts for the generation as a parent does, but is none.
    """
    committer, message, metadata = words
    created_ns = time.time_ns() if seconds is None else seconds * SECOND
    ids = tuple(parent.id for parent in parents)
    identity = commit_id(
        committer=committer,
        message=message,
        tree=tree,
        seconds=created_ns // SECOND,
        metadata=metadata,
        parents=ids,
    )
    ancestors = [*parents, squashed] if squashed else parents
    generation = 1 + max((ancestor.generation for ancestor in ancestors), default=0)
    sql = f"INSERT OR IGNORE INTO history (repository, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, '{{}}', ?)"
    text = json.dumps(ids), json.dumps(dict(metadata), sort_keys=True)
    transaction.run(sql, repository, identity, committer, message, tree, created_ns, *text, generation)
    return load(transaction, repository, identity)


def note(transaction: Transaction, repository: str, commit: Commit, notes: Mapping[str, str]) -> None:
    """Show *notes* beside the metadata of a commit from now on.

    For one case: lakeFS shows what it adds to the metadata of a cherry-pick on the picked commit too (its cache shares
    the map), and clients that compare answers see the same here. The commit itself does not change.
    """
    sql = "UPDATE history SET notes = ? WHERE repository = ? AND id = ?"
    transaction.run(sql, json.dumps(dict(notes)), repository, commit.id)


def load(transaction: Transaction, repository: str, identity: str) -> Commit:
    """The commit of this full id.

    Raises:
        CommitNotFound: There is none.
    """
    row = transaction.one(f"SELECT {_COLUMNS} FROM history WHERE repository = ? AND id = ?", repository, identity)
    if row is None:
        raise CommitNotFound
    return _commit(row)


def exists(transaction: Transaction, repository: str, identity: str) -> bool:
    """Whether there is a commit of this full id."""
    if not _ID.fullmatch(identity):
        return False
    return transaction.one("SELECT 1 FROM history WHERE repository = ? AND id = ?", repository, identity) is not None


def ids_with_prefix(transaction: Transaction, repository: str, prefix: str) -> list[str]:
    """At most two ids that start with *prefix*, so that one can see whether it is unique."""
    sql = "SELECT id FROM history WHERE repository = ? AND id >= ? AND id < ? ORDER BY id LIMIT 2"
    return [identity for (identity,) in transaction.each(sql, repository, prefix, prefix + "g")]


def log(
    transaction: Transaction, repository: str, start: Commit, *, first_parent: bool = False, since_ns: int | None = None
) -> Iterator[Commit]:
    """*start* and its ancestors, latest first (not topologically); ties by id, descending.

    Commits before *since_ns* are left out, with what can only be reached through them.
    """
    queue: list[tuple[int, int, Commit]] = []
    seen: set[str] = set()

    def enqueue(commit: Commit) -> None:
        seen.add(commit.id)
        if since_ns is None or commit.created_ns >= since_ns:
            heapq.heappush(queue, (-commit.created_ns, -int(commit.id, 16), commit))

    enqueue(start)
    while queue:
        commit = heapq.heappop(queue)[2]
        yield commit
        for parent in commit.parents[:1] if first_parent else commit.parents:
            if parent not in seen:
                enqueue(load(transaction, repository, parent))


def merge_base(transaction: Transaction, repository: str, left: Commit, right: Commit) -> Commit | None:
    """The first commit that is reached from both sides, walking by generation, then time, both descending.

    One of several is picked where histories cross, the same that lakeFS picks (``merge_base_finder.go`` there).
    """
    if left.id == right.id:
        return left
    reached = {left.id: 1, right.id: 2}
    queue = [(-commit.generation, -commit.created_ns, number, commit) for number, commit in enumerate((left, right))]
    heapq.heapify(queue)
    number = len(queue)
    while queue:
        commit = heapq.heappop(queue)[3]
        for identity in commit.parents:
            parent = load(transaction, repository, identity)
            if identity not in reached:
                number += 1
                heapq.heappush(queue, (-parent.generation, -parent.created_ns, number, parent))
            reached[identity] = reached.get(identity, 0) | reached[commit.id]
            if reached[identity] == 3:  # noqa: PLR2004 - both flags
                return parent
    return None


def _commit(row: Row) -> Commit:
    identity, committer, message, tree, created_ns, parents, metadata, notes, generation = row
    texts = json.loads(metadata) if metadata != "{}" else {}, json.loads(notes) if notes != "{}" else {}
    return Commit(identity, committer, message, tree, created_ns, tuple(json.loads(parents)), *texts, generation)


def _integer(value: int) -> bytes:
    return b"\x02\x08" + value.to_bytes(8, "big", signed=True)


def _string(value: str) -> bytes:
    text = value.encode()
    return b"\x01" + _integer(len(text)) + text


def _bytes(value: bytes) -> bytes:
    return b"\x00" + _integer(len(value)) + value
