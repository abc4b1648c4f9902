"""A tree of entries in two levels: a tree is a list of ranges, a range is a sorted run of entries.

Where a range ends depends on the last key alone (one key in 256, by its hash). So a tree is a function of its contents:
equal entries give an equal id, in whatever order they came. Trees and ranges never change; a new tree shares with its
predecessor every range that holds no changed key, and whatever compares two trees skips the ranges they share.

Pure: nothing here knows where ranges are kept (:class:`Nodes`). The idea is that of Prolly trees (Noms) and of the
ranges and metaranges of lakeFS; two levels carry about ten million entries.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import islice
from typing import Final, NamedTuple, Protocol

from ml_assets.lib.devlake.errors import MergeConflict

ROOT: Final = ""
"""The tree of a repository's first commit. It is empty, yet not equal to a tree that was emptied, as in lakeFS."""

MEAN_RANGE: Final = 256

BATCH: Final = 4096
"""Edits that are in memory at a time, where there are very many."""

FIRST_SURROGATE: Final = 0xD800
AFTER_SURROGATES: Final = 0xE000
"""Between these are code points that are no characters: no key holds one."""


class Entry(NamedTuple):
    """An object at a path.

    Attributes:
        key: The path.
        identity: What makes two objects at one path equal: see :func:`identify`.
        size: In bytes.
        etag: Hex MD5, unquoted.
        address: Where the store keeps the bytes.
        mtime: Seconds since the epoch.
        content_type: As the client gave it.
        metadata_json: The user's metadata, a JSON object with sorted keys.
    """

    key: str
    identity: bytes
    size: int
    etag: str
    address: str
    mtime: int
    content_type: str
    metadata_json: str

    @property
    def metadata(self) -> dict[str, str]:
        """The user's metadata."""
        metadata: dict[str, str] = json.loads(self.metadata_json)
        return metadata


class Edit(NamedTuple):
    """What a key becomes, by its identity alone: whoever keeps the ranges has the rest. ``None`` removes the key."""

    key: str
    identity: bytes | None


class Range(NamedTuple):
    """A sorted run of entries, and the last key in it."""

    last_key: str
    id: bytes


class Change(NamedTuple):
    """A key whose entry differs between two trees; ``None`` where there is none."""

    key: str
    left: Entry | None
    right: Entry | None


class Proposal(NamedTuple):
    """A key that the source changed since the base, to other than what the destination has."""

    key: str
    base: Entry | None
    source: Entry | None
    destination: Entry | None

    @property
    def conflict(self) -> bool:
        """Whether the destination changed it too."""
        return _identity(self.base) != _identity(self.destination)


class Strategy(Enum):
    """What a merge does with a conflict."""

    REFUSE = ""
    DEST_WINS = "dest-wins"
    SOURCE_WINS = "source-wins"


class Nodes(Protocol):
    """Where trees and ranges are kept."""

    def ranges(self, tree: str) -> Sequence[Range]:
        """The ranges of a tree, by last key. ``ROOT`` has none."""

    def entries(self, range_id: bytes, start: str) -> Iterator[Entry]:
        """The entries of a range from key *start* on, by key."""

    def entry(self, range_id: bytes, key: str) -> Entry | None:
        """One entry of a range."""

    def save_range(self, range_id: bytes, entries: Sequence[Entry | Edit]) -> None:
        """Keep a range, unless it is kept already. A tree that is kept after it will have it."""

    def save_tree(self, tree: str, ranges: Sequence[Range]) -> None:
        """Keep a tree, unless it is kept already."""


def identify(size: int, etag: str, metadata_json: str, content_type: str) -> bytes:
    """Digest of what makes two objects equal. Neither path, address nor time belong to it."""
    return hashlib.sha256(json.dumps([size, etag, metadata_json, content_type]).encode()).digest()


def entry(
    key: str, *, size: int, etag: str, address: str, mtime: int, content_type: str, metadata: Mapping[str, str]
) -> Entry:
    """An entry, with its identity."""
    metadata_json = json.dumps(dict(metadata), sort_keys=True)
    identity = identify(size, etag, metadata_json, content_type)
    return Entry(key, identity, size, etag, address, mtime, content_type, metadata_json)


def ends_range(key: str) -> bool:
    """Whether a range ends at *key*, if it is there."""
    return zlib.crc32(key.encode()) % MEAN_RANGE == 0


def range_id(entries: Iterable[Entry | Edit]) -> bytes:
    """The id of a range: what its keys and their identities hash to."""
    parts: list[bytes] = []
    for each in entries:
        key, identity = each.key.encode(), each.identity
        assert identity is not None, "a range holds no removals"
        parts += (len(key).to_bytes(4, "big"), key, identity)
    return hashlib.sha256(b"".join(parts)).digest()


def tree_id(ranges: Iterable[Range]) -> str:
    """The id of a tree: what the ids of its ranges hash to."""
    digest = hashlib.sha256()
    for each in ranges:
        digest.update(each.id)
    return digest.hexdigest()


def prefix_end(prefix: str) -> str | None:
    """The end of the keys that start with *prefix*: they are all smaller; ``None`` if there is no end."""
    for index in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[index])
        if code < sys.maxunicode:
            following = AFTER_SURROGATES if code + 1 == FIRST_SURROGATE else code + 1
            return prefix[:index] + chr(following)
    return None


def get(nodes: Nodes, tree: str, key: str) -> Entry | None:
    """The entry at *key*."""
    ranges = nodes.ranges(tree)
    index = bisect_left(ranges, key, key=_last_key)
    return nodes.entry(ranges[index].id, key) if index < len(ranges) else None


def scan(nodes: Nodes, tree: str, start: str = "") -> Iterator[Entry]:
    """The entries from key *start* on, by key. Reads as far as it is asked."""
    return _scan(nodes, nodes.ranges(tree), start)


def apply(nodes: Nodes, tree: str, edits: Iterable[Entry | Edit]) -> str:
    """The tree after *edits*, which come by key.

    Costs as much as the ranges that hold a changed key. An entry that is replaced by an equal one is kept as it is.
    """
    ranges = nodes.ranges(tree)
    coming = _Edits(edits)
    result: list[Range] = []
    unfinished: list[Entry | Edit] = []
    for index, old in enumerate(ranges):
        own = coming.until(old.last_key)
        is_open = index == len(ranges) - 1 and not ends_range(old.last_key)
        if not own and not unfinished and not (is_open and coming.more):
            result.append(old)
            continue
        unfinished += _edited(nodes.entries(old.id, ""), own)
        unfinished = _save_finished(nodes, unfinished, result)
    while coming.more:  # behind all that was there, and perhaps very many
        unfinished += [edit for edit in coming.next(BATCH) if edit.identity is not None]
        unfinished = _save_finished(nodes, unfinished, result)
    if unfinished:
        result.append(_save_range(nodes, unfinished))
    return _save_tree(nodes, result)


def diff(nodes: Nodes, left: str, right: str, start: str = "") -> Iterator[Change]:
    """What differs from key *start* on, by key. Reads only ranges that the two do not share, as far as it is asked."""
    lefts, rights = nodes.ranges(left), nodes.ranges(right)
    shared = {each.id for each in lefts} & {each.id for each in rights}
    before = _scan(nodes, [each for each in lefts if each.id not in shared], start)
    after = _scan(nodes, [each for each in rights if each.id not in shared], start)
    old, new = next(before, None), next(after, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old.key < new.key):
            assert old is not None
            yield Change(old.key, old, None)
            old = next(before, None)
        elif old is None or new.key < old.key:
            yield Change(new.key, None, new)
            new = next(after, None)
        else:
            if old.identity != new.identity:
                yield Change(old.key, old, new)
            old, new = next(before, None), next(after, None)


def propose(nodes: Nodes, *, base: str, source: str, destination: str, start: str = "") -> Iterator[Proposal]:
    """What a merge of *source* into *destination* would change, from key *start* on, by key."""
    theirs = diff(nodes, base, destination, start)
    their = next(theirs, None)
    for our in diff(nodes, base, source, start):
        while their is not None and their.key < our.key:
            their = next(theirs, None)
        present = their.right if their is not None and their.key == our.key else our.left
        if _identity(present) != _identity(our.right):
            yield Proposal(our.key, our.left, our.right, present)


def merge(nodes: Nodes, *, base: str, source: str, destination: str, strategy: Strategy) -> str:
    """The tree of *destination* with what *source* changed since *base*.

    Raises:
        MergeConflict: Both changed a key differently, and *strategy* is to refuse.
    """
    edits: list[Entry | Edit] = []
    for proposal in propose(nodes, base=base, source=source, destination=destination):
        if proposal.conflict and strategy is Strategy.REFUSE:
            raise MergeConflict
        if not proposal.conflict or strategy is Strategy.SOURCE_WINS:
            edits.append(proposal.source or Edit(proposal.key, None))
    return apply(nodes, destination, edits)


class _Edits:
    """Edits by key, taken bit by bit: a first commit has more of them than should be in memory."""

    def __init__(self, edits: Iterable[Entry | Edit]) -> None:
        self._rest = iter(edits)
        self._next = next(self._rest, None)

    @property
    def more(self) -> bool:
        """Whether there are any left."""
        return self._next is not None

    def until(self, last_key: str) -> list[Entry | Edit]:
        """Those up to *last_key*."""
        found: list[Entry | Edit] = []
        while self._next is not None and self._next.key <= last_key:
            found.append(self._next)
            self._next = next(self._rest, None)
        return found

    def next(self, amount: int) -> list[Entry | Edit]:
        """The next *amount*."""
        assert self._next is not None, "there are more"
        found = [self._next, *islice(self._rest, amount - 1)]
        self._next = next(self._rest, None)
        return found


def _last_key(each: Range) -> str:
    return each.last_key


def _identity(value: Entry | None) -> bytes | None:
    return None if value is None else value.identity


def _scan(nodes: Nodes, ranges: Sequence[Range], start: str) -> Iterator[Entry]:
    for each in ranges[bisect_left(ranges, start, key=_last_key) :]:
        yield from nodes.entries(each.id, start)


def _edited(entries: Iterator[Entry], edits: Sequence[Entry | Edit]) -> list[Entry | Edit]:
    result: dict[str, Entry | Edit] = {old.key: old for old in entries}
    for edit in edits:
        old = result.get(edit.key)
        if edit.identity is None:
            result.pop(edit.key, None)
        elif old is None or old.identity != edit.identity:
            result[edit.key] = edit
    return [result[key] for key in sorted(result)]


def _save_finished(nodes: Nodes, entries: list[Entry | Edit], result: list[Range]) -> list[Entry | Edit]:
    """Save the ranges that have their last key. Returns the entries after them."""
    begin = 0
    for index, each in enumerate(entries):
        if ends_range(each.key):
            result.append(_save_range(nodes, entries[begin : index + 1]))
            begin = index + 1
    return entries[begin:]


def _save_range(nodes: Nodes, entries: Sequence[Entry | Edit]) -> Range:
    digest = range_id(entries)
    nodes.save_range(digest, entries)
    return Range(entries[-1].key, digest)


def _save_tree(nodes: Nodes, ranges: Sequence[Range]) -> str:
    digest = tree_id(ranges)
    nodes.save_tree(digest, ranges)
    return digest
