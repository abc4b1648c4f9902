"""The store: durable before it answers, whatever is uploaded how."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import stat
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.lib.devlake import small_files
from ml_assets.lib.devlake.database import Database, Transaction
from ml_assets.lib.devlake.errors import Gone, Vanished
from ml_assets.lib.devlake.files import PIECE, Blob, BlobWriter, Files, blob_of
from ml_assets.lib.devlake.store import CHUNKS, Store
from ml_assets_tests.devlake.local import pieces


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    """An empty folder of files."""
    with closing(Files(tmp_path)) as made:
        yield made


@pytest.fixture
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database without rows."""
    with closing(Database(tmp_path_factory.mktemp("database") / "lake.db")) as made:
        yield made


@pytest.fixture
def store(files: Files, database: Database) -> Store:
    """An empty store."""
    return Store(files, database.look)


def on_disk(root: Path) -> list[Path]:
    """Every file of the folder."""
    return [path for path in root.rglob("*") if path.is_file()]


def test_synced_then_renamed_then_synced(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
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
    files.write(b"content")
    files.write(b"content")
    assert done == ["file", "folder", "rename", "folder", "file", "rename", "folder"]


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7])
def test_received_as_sent(store: Store, size: int) -> None:
    """What comes in pieces is stored as one, with the digests of the whole."""
    content = os.urandom(size)
    blob = asyncio.run(store.receive(pieces(content, 300_000)))
    md5, sha256 = hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()
    assert blob == Blob(sha256, size, md5, sha256)
    assert store.read(blob.address) == content


def test_byte_by_byte(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the pieces are, few of them are held: each takes more memory than its byte."""
    amounts: list[int] = []
    update = BlobWriter.update_md5

    def watched(writer: BlobWriter, data: bytes) -> None:
        amounts.append(len(data))
        update(writer, data)

    monkeypatch.setattr(BlobWriter, "update_md5", watched)
    content = bytes(number % 251 for number in range(5 * CHUNKS))
    for receive in (store.receive, store.receive_large):
        blob = asyncio.run(receive(pieces(content, 1)))
        assert isinstance(blob, Blob)
        assert store.read(blob.address) == content
    assert max(amounts) == CHUNKS + 1


def test_a_broken_upload_leaves_nothing(store: Store, tmp_path: Path) -> None:
    """If the client goes away, there is neither object nor temporary file, however far it came."""

    async def broken(size: int) -> AsyncIterator[bytes]:
        yield bytes(size)
        raise ConnectionError

    for size in (10, 3 * PIECE):
        with pytest.raises(ConnectionError):
            asyncio.run(store.receive(broken(size)))
    assert on_disk(tmp_path) == []


def test_a_slow_disk_holds_the_client_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is taken from the client than may be held, and all of it is written in its order in the end."""
    piece, taken, slow = os.urandom(1 << 17), 0, threading.Event()
    write, seen = BlobWriter.write_besides_md5, [0]

    def slowly(writer: BlobWriter, data: bytes) -> None:
        slow.wait(60)
        write(writer, data)

    async def stream() -> AsyncIterator[bytes]:
        nonlocal taken
        for number in range(64):
            taken += len(piece)
            yield piece[number:] + piece[:number]

    async def receive() -> Blob:
        receiving = asyncio.ensure_future(store.receive(stream()))
        while taken <= PIECE or seen[-5:] != [taken] * 5:
            seen.append(taken)
            await asyncio.sleep(0.02)
        slow.set()
        return await receiving

    monkeypatch.setattr(BlobWriter, "write_besides_md5", slowly)
    blob = asyncio.run(receive())
    assert seen[-1] <= 3 << 20 < taken
    assert store.read(blob.address) == b"".join(piece[number:] + piece[:number] for number in range(64))


def test_a_write_that_fails_on_the_way(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written after it is of no use, and nobody writes any more when the error is known."""
    write, writes = BlobWriter.write_besides_md5, itertools.count()

    def fails(writer: BlobWriter, data: bytes) -> None:
        if next(writes) == 2:
            raise OSError(28, "No space left on device")
        write(writer, data)

    monkeypatch.setattr(BlobWriter, "write_besides_md5", fails)
    with pytest.raises(OSError, match="No space"):
        asyncio.run(store.receive(pieces(os.urandom(9 * PIECE), 100_000)))
    assert next(writes) < 10
    assert on_disk(tmp_path) == []


def test_a_file_that_is_replaced_is_closed(files: Files) -> None:
    """Its bytes are freed by somebody for whom nobody waits, but they are."""
    files.write(b"content")
    before = psutil.Process().num_fds()
    for _ in range(20):
        files.write(b"content")
    files.close()
    assert psutil.Process().num_fds() == before


def test_a_full_disk_leaves_nothing(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk refuses to sync, there is no object."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write(b"content")
    assert on_disk(tmp_path) == []


def test_equal_content_is_kept_once(files: Files, tmp_path: Path) -> None:
    """Two uploads of the same bytes share a file."""
    assert files.write(b"same") == files.write(b"same")
    assert len(on_disk(tmp_path)) == 1


@given(
    parts=st.lists(st.binary(max_size=9), max_size=5),
    offset=st.integers(0, 50),
    length=st.one_of(st.none(), st.integers(0, 50)),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # what others have stored is in nobody's way
def test_parts_read_as_one(store: Store, parts: list[bytes], offset: int, length: int | None) -> None:
    """Joined parts read as their concatenation, from anywhere, and have S3's digest of digests."""
    blobs = [store.files.write(part) for part in parts]
    joined = store.join(blobs)
    whole = b"".join(parts)
    assert joined.size == len(whole)
    assert joined.md5 == hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
    assert store.read(joined.address, offset, length) == whole[offset:][:length]
    again = store.join([joined, joined])
    assert store.read(again.address) == whole + whole


@given(content=st.binary(max_size=9), offset=st.integers(0, 12), length=st.one_of(st.none(), st.integers(0, 12)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_small_file_reads_as_a_large_one(
    store: Store, database: Database, content: bytes, offset: int, length: int | None
) -> None:
    """From anywhere, any length of it; and its size is known."""
    address = keep(database, content)
    assert store.read(address, offset, length) == content[offset:][:length]
    assert store.size(address) == len(content)


def keep(database: Database, content: bytes, seconds: int = 0) -> str:
    """Keep *content* as a row. Returns its address."""
    address = blob_of(content).address
    database.write(lambda transaction: small_files.put(transaction, address, content, seconds))
    return address


def test_a_list_may_be_small_and_its_parts_too(store: Store, database: Database) -> None:
    """Clients may link any bytes as a list of parts, whatever way they were uploaded."""
    parts = [[keep(database, b"one"), 3], [store.files.write(b"two").address, 3]]
    address = f"{keep(database, json.dumps(parts).encode())}.parts"
    assert store.read(address, 1, 4) == b"netw"
    assert store.size(address) == 6
    wrong = f"{keep(database, json.dumps([[parts[0][0], 4]]).encode())}.parts"
    assert store.size(wrong) is None


def test_a_transaction_sees_what_it_keeps(store: Store, database: Database) -> None:
    """Others do not, until it is done."""
    address = blob_of(b"x").address

    def work(transaction: Transaction) -> None:
        with pytest.raises(Vanished):
            store.check_held(transaction, address)
        small_files.put(transaction, address, b"x", 0)
        store.check_held(transaction, address)
        assert store.size(address) is None

    database.write(work)
    assert store.size(address) == 1


def test_missing_bytes_are_gone(store: Store) -> None:
    """An object whose file is missing is 410, not an empty object."""
    with pytest.raises(Gone):
        store.read("0" * 64)
    assert store.size("0" * 64) is None


def test_leftovers_are_removed_when_they_are_old(tmp_path: Path) -> None:
    """What a dead writer left is removed a day later; what a living one writes is not touched."""
    files = Files(tmp_path)
    old, new = files.temporary(), files.temporary()
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    Files(tmp_path)
    assert on_disk(tmp_path) == [new]


def test_a_late_write_reaches_no_other_file(files: Files, tmp_path: Path) -> None:
    """A thread that goes on writing after its upload was given up fails, also if its descriptor is used again."""
    with files.writer() as given_up:
        given_up.write(b"a")
    with files.writer() as other:
        with pytest.raises(ValueError, match="closed file"):
            given_up.write(b"b")
        other.write(b"c")
        blob = other.finish()
    assert b"".join(files.chunks(blob.address)) == b"c"
    assert len(on_disk(tmp_path)) == 1
