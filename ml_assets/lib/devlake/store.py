"""The bytes of the lake: files named by the SHA-256 of their content.

The order is the promise: bytes are written under a temporary name, synced, renamed into place, and the folder is
synced; only then does a caller get the address and write a database row with it. A crash leaves at most a file that no
row names, never a row without its file. Files are never changed, so equal content is stored once and copies cost
nothing.

A multipart upload is not copied together: its address ends in ``.parts`` and names a small file that lists the parts.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from ml_assets.lib.devlake.errors import Gone, Vanished

OBJECTS: Final = "objects"
TEMPORARY: Final = "temporary"
"""Folders of a store."""

PIECE: Final = 1 << 20
"""Bytes that are hashed, written or read at a time."""

LEFTOVER_S: Final = 24 * 3600
"""Age in seconds from which on nobody writes to a temporary file any more."""

SYNCING: Final = 8
"""Files that are synced at the same time: the disk makes them durable together."""

JOINED: Final = ".parts"

LONGEST_LIST: Final = 1 << 27
"""Bytes of a list of parts: more than a million."""

_ADDRESS: Final = re.compile(rf"[0-9a-f]{{64}}({re.escape(JOINED)})?")


class Blob(NamedTuple):
    """Bytes that are safely stored.

    Attributes:
        address: Where: ``<sha256>`` or ``<sha256 of the list>.parts``.
        size: In bytes.
        md5: Hex MD5 of the bytes; of a joined blob the MD5 of its parts' MD5s, as S3 counts it.
        sha256: Hex SHA-256 of the bytes; of a joined blob that of its list.
    """

    address: str
    size: int
    md5: str
    sha256: str


class StoredFile(NamedTuple):
    """A file of the store: its name, size in bytes, and when it was written, in seconds since the epoch."""

    name: str
    size: int
    mtime: float


class BlobWriter:
    """Writes one blob. Leaving the ``with`` block without :meth:`finish` leaves nothing behind.

    The block may be left while a thread still writes (a request is cancelled): that write then ends or fails, and never
    reaches a file that was opened since under the same descriptor.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.temporary = store.temporary()
        self._file = self.temporary.open("xb", buffering=0)
        self._lock = threading.Lock()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append *data*."""
        self._md5.update(data)
        self.write_besides_md5(data)

    def write_besides_md5(self, data: bytes | memoryview) -> None:
        """Append *data*, while the caller runs :meth:`update_md5` on it in another thread."""
        self._sha256.update(data)
        left = memoryview(data)
        with self._lock:
            while left:
                left = left[self._file.write(left) :]
        self._size += len(data)

    def update_md5(self, data: bytes | memoryview) -> None:
        """The half of :meth:`write` that costs as much as all the rest."""
        self._md5.update(data)

    def finish(self) -> Blob:
        """Make the bytes durable and give their address."""
        self.sync()
        blob = self.blob()
        sync_folder(self._store.place(self.temporary, blob.sha256))
        return blob

    def sync(self) -> None:
        """Make the bytes durable under their temporary name. No more are taken."""
        with self._lock:
            os.fsync(self._file.fileno())
            self._file.close()

    def blob(self) -> Blob:
        """What was written, and the address it gets."""
        digest = self._sha256.hexdigest()
        return Blob(digest, self._size, self._md5.hexdigest(), digest)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._file.close()
        self.temporary.unlink(missing_ok=True)


class Store:
    """A folder of blobs. Safe for many threads and processes at once."""

    def __init__(self, root: Path) -> None:
        self._objects = root / OBJECTS
        self._temporaries = root / TEMPORARY
        self._durable: set[Path] = set()
        self._syncing = ThreadPoolExecutor(SYNCING, "devlake-sync")
        for folder in (self._objects, self._temporaries):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (root, root.parent):  # a file is as durable as the folders that lead to it
            sync_folder(folder)
        self.drop_leftovers(time.time() - LEFTOVER_S)

    def writer(self) -> BlobWriter:
        """Start a blob of unknown length."""
        return BlobWriter(self)

    def write(self, data: bytes) -> Blob:
        """Store *data* in one go."""
        with self.writer() as writer:
            writer.write(data)
            return writer.finish()

    def write_many(self, contents: Sequence[bytes]) -> list[Blob]:
        """Store each of *contents*, as :meth:`write` does, all synced at the same time: all or an error."""
        if len(contents) == 1:
            return [self.write(contents[0])]
        with ExitStack() as stack:
            writers = [stack.enter_context(self.writer()) for _ in contents]
            for writer, content in zip(writers, contents, strict=True):
                writer.write(content)
            deque(self._syncing.map(BlobWriter.sync, writers), maxlen=0)
            blobs = [writer.blob() for writer in writers]
            folders = {self.place(writer.temporary, blob.sha256) for writer, blob in zip(writers, blobs, strict=True)}
            deque(self._syncing.map(sync_folder, folders), maxlen=0)
            return blobs

    async def receive(self, chunks: AsyncIterable[bytes]) -> Blob:
        """Store what *chunks* gives, without holding more than two pieces in memory.

        MD5 (which S3 and lakeFS need) is the slowest part, so it runs in its own thread beside SHA-256 and the disk,
        and the next piece is received meanwhile. If *chunks* raises, nothing is stored.
        """
        received = await self.gather(chunks, PIECE)
        return received if isinstance(received, Blob) else await asyncio.to_thread(self.write, received)

    async def gather(self, chunks: AsyncIterable[bytes], most: int) -> bytes | Blob:
        """What *chunks* gives, in memory if it is at most *most* bytes, else stored like :meth:`receive`."""
        pending = bytearray()
        stream = aiter(chunks)
        async for chunk in stream:
            pending += chunk
            if len(pending) > most:
                return await self._receive(pending, stream)
        return bytes(pending)

    async def _receive(self, pending: bytearray, stream: AsyncIterator[bytes]) -> Blob:
        with await asyncio.to_thread(self.writer) as writer:
            busy = asyncio.ensure_future(_append(writer, pending))
            try:
                pending = bytearray()
                async for chunk in stream:
                    pending += chunk
                    if len(pending) >= PIECE:
                        await busy
                        busy, pending = asyncio.ensure_future(_append(writer, pending)), bytearray()
            finally:
                await busy
            await _append(writer, pending)
            return await asyncio.to_thread(writer.finish)

    def join(self, parts: Sequence[Blob]) -> Blob:
        """One blob of the bytes of *parts*, in order, without copying them."""
        md5 = hashlib.md5(b"".join(bytes.fromhex(part.md5) for part in parts), usedforsecurity=False).hexdigest()
        if not parts:
            return self.write(b"")._replace(md5=md5)
        if len(parts) == 1:
            return parts[0]._replace(md5=md5)
        pieces = [piece for part in parts for piece in self._pieces(part)]
        listing = self.write(json.dumps(pieces).encode())
        return Blob(listing.address + JOINED, sum(part.size for part in parts), md5, listing.sha256)

    def read(self, address: str, offset: int = 0, length: int | None = None) -> bytes:
        """The bytes from *offset*, at most *length* of them (all, if ``None``).

        Raises:
            Gone: The bytes are missing.
        """
        return b"".join(self.chunks(address, offset, length))

    def chunks(self, address: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Like :meth:`read`, in pieces.

        Raises:
            Gone: The bytes are missing.
        """
        left = length
        for part, size in self.parts(address):
            if size is not None and offset >= size:
                offset -= size
                continue
            for chunk in self._chunks(part, offset, left):
                yield chunk
                left = None if left is None else left - len(chunk)
            offset = 0
            if left == 0:
                return

    def close(self) -> None:
        """End the threads of the store."""
        self._syncing.shutdown()

    def size(self, address: str) -> int | None:
        """How many bytes there are at *address*; ``None`` if there are none, or not all of them."""
        try:
            parts = self.parts(address)
            sizes = [self._path(part).stat().st_size for part, _ in parts]
        except (Gone, FileNotFoundError):
            return None
        whole = all(size in (found, None) for found, (_, size) in zip(sizes, parts, strict=True))
        return sum(sizes) if whole else None

    def check_held(self, address: str) -> None:
        """Refuse to write a row for bytes that garbage collection has removed.

        To be asked in the transaction that writes it. Files are removed in transactions, too: see :mod:`gc`.

        Raises:
            Vanished: They are not there.
        """
        if self.size(address) is None:
            raise Vanished

    def parts(self, address: str) -> list[tuple[str, int | None]]:
        """The files whose bytes, one after the other, are those at *address*, with their sizes.

        Bytes that are in one file are not looked at: the size is ``None``.

        Raises:
            Gone: The list of parts is missing.
        """
        if not address.endswith(JOINED):
            return [(address, None)]
        try:
            listing = b"".join(self._chunks(address, 0, LONGEST_LIST))
            return [(str(part), int(size)) for part, size in json.loads(listing)]
        except (ValueError, TypeError):  # clients may name any bytes so, and bytes may rot
            raise Gone(f"what is at {address} is not a list of parts") from None

    def files(self, address: str) -> list[str]:
        """The names of the files that hold the bytes at *address*.

        Raises:
            Gone: The list of its parts is missing.
        """
        name = address.removesuffix(JOINED)
        return [name] if name == address else [name, *(part for part, _ in self.parts(address))]

    def temporary(self) -> Path:
        """A name that nobody else uses."""
        return self._temporaries / secrets.token_hex(16)

    def place(self, temporary: Path, digest: str) -> Path:
        """Move a synced file to its address. It is durable once the folder that is returned is synced."""
        path = self._path(digest)
        if path.parent not in self._durable:
            path.parent.mkdir(exist_ok=True)
            sync_folder(self._objects)
            self._durable.add(path.parent)
        try:
            temporary.rename(path)
        except FileNotFoundError:
            if temporary.exists():
                raise
            raise Vanished from None  # it took longer than the grace period of garbage collection
        return path.parent

    def stored(self) -> Iterator[StoredFile]:
        """Every file of the store, folder by folder."""
        for folder in sorted(self._objects.glob("[0-9a-f][0-9a-f]")):
            with os.scandir(folder) as files:
                for file in filter(_is_stored, files):
                    with contextlib.suppress(FileNotFoundError):
                        found = file.stat()
                        yield StoredFile(file.name, found.st_size, found.st_mtime)

    def adopt(self, name: str, other: Store) -> None:
        """Give a file of another store a second name in this one. It is durable after :meth:`sync`.

        Raises:
            OSError: It is on another disk, or the disk knows no second names.
        """
        path = self._path(name)
        path.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(other._path(name))

    def sync(self) -> None:
        """Make the names of all files durable."""
        for folder in (*self._objects.iterdir(), self._objects):
            sync_folder(folder)

    def remove(self, name: str, before: float) -> bool:
        """Remove a file, unless it is missing or was written at *before* (seconds since the epoch) or later."""
        path = self._path(name)
        try:
            if path.stat().st_mtime >= before:
                return False
            path.unlink()
        except FileNotFoundError:
            return False
        return True

    def drop_leftovers(self, before: float, *, dry_run: bool = False) -> int:
        """Remove temporary files that nobody has written to since *before* (seconds since the epoch). Returns bytes."""
        dropped = 0
        for leftover in self._temporaries.iterdir():
            with contextlib.suppress(FileNotFoundError):
                found = leftover.stat()
                if found.st_mtime < before:
                    if not dry_run:
                        leftover.unlink()
                    dropped += found.st_size
        return dropped

    def _path(self, address: str) -> Path:
        if not _ADDRESS.fullmatch(address):  # clients may name one, and a name can be a path to elsewhere
            raise Gone(f"{address} is not an address of this store")
        name = address.removesuffix(JOINED)
        return self._objects / name[:2] / name

    def _pieces(self, part: Blob) -> list[tuple[str, int]]:
        return [(address, part.size if size is None else size) for address, size in self.parts(part.address)]

    def _chunks(self, address: str, offset: int, length: int | None) -> Iterator[bytes]:
        try:
            file = self._path(address).open("rb", buffering=0)
        except FileNotFoundError:
            raise Gone(f"the bytes of object {address} are missing from the store") from None
        with file:
            file.seek(offset)
            left = length
            while left is None or left > 0:
                chunk = file.read(PIECE if left is None else min(PIECE, left))
                if not chunk:
                    return
                yield chunk
                left = None if left is None else left - len(chunk)


def _is_stored(file: os.DirEntry[str]) -> bool:
    return _ADDRESS.fullmatch(file.name) is not None


async def _append(writer: BlobWriter, data: bytearray) -> None:
    view = memoryview(data)
    await asyncio.gather(asyncio.to_thread(writer.update_md5, view), asyncio.to_thread(writer.write_besides_md5, view))


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
