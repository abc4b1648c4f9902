"""The store: durable before it answers, whatever is uploaded how."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.lib.devlake.errors import Gone
from ml_assets.lib.devlake.store import PIECE, Blob, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path)


def files(root: Path) -> list[Path]:
    """Every file of the store."""
    return [path for path in root.rglob("*") if path.is_file()]


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    """*content* as a network would give it."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


def test_synced_then_renamed_then_synced(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synced under its temporary name, renamed, and its folder synced: only then it has an address.

    The first file of a folder also syncs the folder above, which names the new one.
    """
    done: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def watched_fsync(descriptor: int) -> None:
        fsync(descriptor)
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    def watched_rename(path: Path, target: Path) -> Path:
        done.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "rename", watched_rename)
    store.write(b"content")
    store.write(b"content")
    assert done == ["file", "folder", "rename", "folder", "file", "rename", "folder"]


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7])
def test_received_as_sent(store: Store, size: int) -> None:
    """What comes in pieces is stored as one, with the digests of the whole."""
    content = os.urandom(size)
    blob = asyncio.run(store.receive(pieces(content, 300_000)))
    md5, sha256 = hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()
    assert blob == Blob(sha256, size, md5, sha256)
    assert store.read(blob.address) == content


def test_a_broken_upload_leaves_nothing(store: Store, tmp_path: Path) -> None:
    """If the client goes away, there is neither object nor temporary file, however far it came."""

    async def broken(size: int) -> AsyncIterator[bytes]:
        yield bytes(size)
        raise ConnectionError

    for size in (10, 3 * PIECE):
        with pytest.raises(ConnectionError):
            asyncio.run(store.receive(broken(size)))
    assert files(tmp_path) == []


def test_a_full_disk_leaves_nothing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk refuses to sync, there is no object."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.write(b"content")
    assert files(tmp_path) == []


def test_equal_content_is_kept_once(store: Store, tmp_path: Path) -> None:
    """Two uploads of the same bytes share a file."""
    assert store.write(b"same") == store.write(b"same")
    assert len(files(tmp_path)) == 1


@given(
    parts=st.lists(st.binary(max_size=9), max_size=5),
    offset=st.integers(0, 50),
    length=st.one_of(st.none(), st.integers(0, 50)),
)
def test_parts_read_as_one(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], offset: int, length: int | None
) -> None:
    """Joined parts read as their concatenation, from anywhere, and have S3's digest of digests."""
    store = Store(tmp_path_factory.getbasetemp() / "parts")
    blobs = [store.write(part) for part in parts]
    joined = store.join(blobs)
    whole = b"".join(parts)
    assert joined.size == len(whole)
    assert joined.md5 == hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
    assert store.read(joined.address, offset, length) == whole[offset:][:length]
    again = store.join([joined, joined])
    assert store.read(again.address) == whole + whole


def test_missing_bytes_are_gone(store: Store) -> None:
    """An object whose file is missing is 410, not an empty object."""
    with pytest.raises(Gone):
        store.read("0" * 64)
    assert store.size("0" * 64) is None


def test_leftovers_are_removed_when_they_are_old(tmp_path: Path) -> None:
    """What a dead writer left is removed a day later; what a living one writes is not touched."""
    store = Store(tmp_path)
    old, new = store.temporary(), store.temporary()
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    Store(tmp_path)
    assert files(tmp_path) == [new]


def test_a_late_write_reaches_no_other_file(store: Store, tmp_path: Path) -> None:
    """A thread that goes on writing after its upload was given up fails, also if its descriptor is used again."""
    with store.writer() as given_up:
        given_up.write(b"a")
    with store.writer() as other:
        with pytest.raises(ValueError, match="closed file"):
            given_up.write(b"b")
        other.write(b"c")
        blob = other.finish()
    assert store.read(blob.address) == b"c"
    assert len(files(tmp_path)) == 1
