"""Files named by the SHA-256 of their content.

The order is the promise: bytes are written under a temporary name, synced, renamed into place, and the folder is
synced; only then does a caller get the address and write a database row with it. A crash leaves at most a file that no
row names, never a row without its file. Files are never changed, so equal content is stored once and copies cost
nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from ml_assets.lib.devlake.errors import Gone, Vanished

OBJECTS: Final = "objects"
TEMPORARY: Final = "temporary"
"""Folders of a lake."""

PIECE: Final = 1 << 20
"""Bytes that are hashed, written or read at a time."""

LEFTOVER_S: Final = 24 * 3600
"""Age in seconds from which on nobody writes to a temporary file any more."""

THREADS: Final = 8
"""That hash, write and sync files. What is synced at the same time the disk makes durable together."""

JOINED: Final = ".parts"
"""How the address of a blob ends that is a list of other files."""

_ADDRESS: Final = re.compile(rf"([0-9a-f]{{64}})(?:{re.escape(JOINED)})?")


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


def blob_of(content: bytes) -> Blob:
    """What *content* is as a blob, whether it is stored yet or not."""
    digest = hashlib.sha256(content).hexdigest()
    return Blob(digest, len(content), hashlib.md5(content, usedforsecurity=False).hexdigest(), digest)


class StoredFile(NamedTuple):
    """Stored content: its name, size in bytes, and when it was written, in seconds since the epoch."""

    name: str
    size: int
    mtime: float


def name_of(address: str) -> str:
    """The name under which the content at *address* is stored; of a joined blob, that of its list.

    Raises:
        Gone: It is no address. Clients may name one, and a name can be a path to elsewhere.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise Gone(f"{address} is not an address of this store")
    return found[1]


class BlobWriter:
    """Writes one blob. Leaving the ``with`` block without :meth:`finish` leaves nothing behind.

    The block may be left while a thread still writes (a request is cancelled): that write then ends or fails, and never
    reaches a file that was opened since under the same descriptor.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self.temporary = files.temporary()
        self._file = self.temporary.open("xb", buffering=0)
        self._lock = threading.Lock()  # of the file; MD5 is taken by one thread, all else by another
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append *data*."""
        self.update_md5(data)
        self.write_besides_md5(data)

    def write_besides_md5(self, data: bytes) -> None:
        """Append *data*, while somebody else runs :meth:`update_md5` on it."""
        self._sha256.update(data)
        left = memoryview(data)
        with self._lock:
            while left:
                left = left[self._file.write(left) :]
            _begin_to_sync(self._file.fileno(), self._size, len(data))
        self._size += len(data)

    def update_md5(self, data: bytes) -> None:
        """The half of :meth:`write` that costs as much as all the rest."""
        self._md5.update(data)

    def finish(self) -> Blob:
        """Make the bytes durable and give their address."""
        self.sync()
        blob = self.blob()
        sync_folder(self._files.place(self.temporary, blob.sha256))
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


class Files:
    """The files of a lake. Safe for many threads and processes at once."""

    def __init__(self, root: Path) -> None:
        self._objects = root / OBJECTS
        self._temporaries = root / TEMPORARY
        self._durable: set[Path] = set()
        self.threads = ThreadPoolExecutor(THREADS, "devlake-files")
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
        with ExitStack() as stack:
            writers = [stack.enter_context(self.writer()) for _ in contents]
            for writer, content in zip(writers, contents, strict=True):
                writer.write(content)
            deque(self.threads.map(BlobWriter.sync, writers), maxlen=0)
            blobs = [writer.blob() for writer in writers]
            folders = {self.place(writer.temporary, blob.sha256) for writer, blob in zip(writers, blobs, strict=True)}
            deque(self.threads.map(sync_folder, folders), maxlen=0)
            return blobs

    def chunks(self, name: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes of a file from *offset*, at most *length* of them (all, if ``None``), in pieces.

        Raises:
            Gone: The file is missing.
        """
        try:
            file = self._path(name).open("rb", buffering=0)
        except FileNotFoundError:
            raise Gone(f"the bytes of object {name} are missing from the store") from None
        with file:
            file.seek(offset)
            left = length
            while left is None or left > 0:
                chunk = file.read(PIECE if left is None else min(PIECE, left))
                if not chunk:
                    return
                yield chunk
                left = None if left is None else left - len(chunk)

    def size(self, name: str) -> int | None:
        """How many bytes a file has; ``None`` if it is missing."""
        try:
            return self._path(name).stat().st_size
        except (Gone, FileNotFoundError):
            return None

    def close(self) -> None:
        """End the threads."""
        self.threads.shutdown()

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
        with self._freed_later(path):
            try:
                temporary.rename(path)
            except FileNotFoundError:
                if temporary.exists():
                    raise
                raise Vanished from None  # it took longer than the grace period of garbage collection
        return path.parent

    @contextlib.contextmanager
    def _freed_later(self, path: Path) -> Iterator[None]:
        """Whoever replaces the file at *path*, if there is one, does not wait until the disk has freed its bytes."""
        try:
            old = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            yield
            return
        try:
            yield
        finally:
            self.threads.submit(os.close, old)

    def stored(self) -> Iterator[StoredFile]:
        """Every file, folder by folder."""
        for folder in sorted(self._objects.glob("[0-9a-f][0-9a-f]")):
            with os.scandir(folder) as files:
                for file in filter(_is_stored, files):
                    with contextlib.suppress(FileNotFoundError):
                        found = file.stat()
                        yield StoredFile(file.name, found.st_size, found.st_mtime)

    def adopt(self, name: str, other: Files) -> None:
        """Give a file of another lake a second name in this one. It is durable after :meth:`sync`.

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
        name = name_of(address)
        return self._objects / name[:2] / name


def _is_stored(file: os.DirEntry[str]) -> bool:
    return _ADDRESS.fullmatch(file.name) is not None


def _begin_to_sync(descriptor: int, offset: int, length: int) -> None:
    """Let the disk begin with what was just written, so that there is less to wait for when it is synced.

    Linux takes the advice that it is not needed as the order to write it back, and forgets only what is written.
    """
    if sys.platform == "linux":
        os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_DONTNEED)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
