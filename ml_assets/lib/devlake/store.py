"""The bytes of the lake, by address.

Content is kept under its SHA-256, as a file (`files`) or, if it is small, as a row of the database (`small_files`); for
everybody else both are the *files* of the store. They never change, so equal content is stored once (at most twice: in
either place) and copies cost nothing.

A multipart upload is not copied together: its address ends in ``.parts`` and names a file that lists the parts.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ml_assets.lib.devlake import small_files
from ml_assets.lib.devlake.database import Transaction
from ml_assets.lib.devlake.errors import Gone, Vanished
from ml_assets.lib.devlake.files import JOINED, PIECE, Blob, BlobWriter, Files, name_of
from ml_assets.lib.devlake.sequential import SequentialExecutor
from ml_assets.lib.devlake.small_files import SMALL

HANDED: Final = 1 << 19
"""Bytes of a large upload that are hashed and written at a time."""

AHEAD: Final = 2
"""So many times that is under way while more is received."""

CHUNKS: Final = 1024
"""In which what is received is held at most: a client may send it byte by byte, and each takes forty."""

LONGEST_LIST: Final = 1 << 27
"""Bytes of a list of parts: more than a million."""


@dataclass(frozen=True, slots=True)
class Store:
    """The content of a lake. Safe for many threads at once.

    Attributes:
        files: The large ones.
        look: Gives what to read the small ones from.
    """

    files: Files
    look: Callable[[], Transaction]

    def within(self, transaction: Transaction) -> Store:
        """The store as *transaction* sees it."""
        return Store(self.files, lambda: transaction)

    async def receive(self, chunks: AsyncIterable[bytes]) -> Blob:
        """Store what *chunks* gives as a file, without holding more than 3 MiB in memory.

        MD5 (which S3 and lakeFS need) is the slowest part, so it runs in its own thread beside SHA-256 and the disk,
        and more is received meanwhile. If *chunks* raises, nothing is stored.
        """
        received = await self._gather(chunks, PIECE)
        return received if isinstance(received, Blob) else await asyncio.to_thread(self.files.write, received)

    async def receive_large(self, chunks: AsyncIterable[bytes]) -> bytes | Blob:
        """Like :meth:`receive`, but what is small is given back, to be kept with the row that names it."""
        return await self._gather(chunks, SMALL)

    async def _gather(self, chunks: AsyncIterable[bytes], most: int) -> bytes | Blob:
        """What *chunks* gives, in memory if it is at most *most* bytes, else stored."""
        pending = _Pending()
        stream = aiter(chunks)
        async for chunk in stream:
            pending.add(chunk)
            if pending.exceeds(most):
                return await self._write(pending, stream)
        return b"".join(pending.chunks)

    async def _write(self, pending: _Pending, stream: AsyncIterator[bytes]) -> Blob:
        with await asyncio.to_thread(self.files.writer) as writer:
            writing = _Writing(writer, self.files)
            try:
                await writing.put(pending.take())
                async for chunk in stream:
                    pending.add(chunk)
                    if pending.exceeds(HANDED):
                        await writing.put(pending.take())
                await writing.put(pending.take())
                await writing.finish()
            finally:
                await writing.settle()
            return await asyncio.to_thread(writer.finish)

    def join(self, parts: Sequence[Blob]) -> Blob:
        """One blob of the bytes of *parts*, in order, without copying them."""
        md5 = hashlib.md5(b"".join(bytes.fromhex(part.md5) for part in parts), usedforsecurity=False).hexdigest()
        if not parts:
            return self.files.write(b"")._replace(md5=md5)
        if len(parts) == 1:
            return parts[0]._replace(md5=md5)
        pieces = [piece for part in parts for piece in self._pieces(part)]
        listing = self.files.write(json.dumps(pieces).encode())
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

    def size(self, address: str) -> int | None:
        """How many bytes there are at *address*; ``None`` if there are none, or not all of them."""
        total = 0
        try:
            for name, expected in self.parts(address):
                size = self._size(name)
                if size is None or expected not in (size, None):
                    return None
                total += size
        except Gone:
            return None
        return total

    def check_held(self, transaction: Transaction, address: str) -> None:
        """Refuse to write a row for bytes that garbage collection has removed.

        To be asked in the transaction that writes it. Files are removed in transactions, too: see :mod:`gc`.

        Raises:
            Vanished: They are not there.
        """
        if self.within(transaction).size(address) is None:
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

    def _pieces(self, part: Blob) -> list[tuple[str, int]]:
        return [(address, part.size if size is None else size) for address, size in self.parts(part.address)]

    def _size(self, name: str) -> int | None:
        size = small_files.size(self.look(), name_of(name))
        return self.files.size(name) if size is None else size

    def _chunks(self, name: str, offset: int, length: int | None) -> Iterator[bytes]:
        content = small_files.get(self.look(), name_of(name))
        if content is None:
            return self.files.chunks(name, offset, length)
        return iter([content[offset:][:length]])


class _Pending:
    """What has come and is not written yet."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.size = 0

    def add(self, chunk: bytes) -> None:
        self.chunks.append(chunk)
        self.size += len(chunk)

    def exceeds(self, most: int) -> bool:
        """Whether it is more than *most* bytes, or takes much more memory than its bytes."""
        return self.size > most or len(self.chunks) > CHUNKS

    def take(self) -> bytes:
        """All of it. Nothing is left."""
        taken = b"".join(self.chunks)
        self.chunks, self.size = [], 0
        return taken


class _Writing:
    """What is handed to a writer, while the next is received."""

    def __init__(self, writer: BlobWriter, files: Files) -> None:
        acts = writer.update_md5, writer.write_besides_md5
        self._both = [SequentialExecutor(files.threads, act) for act in acts]
        self._under_way: deque[asyncio.Future[None]] = deque()

    async def put(self, data: bytes) -> None:
        """Hand over *data*, when not much else is under way.

        Raises:
            OSError: Something that was handed over before could not be written.
        """
        while len(self._under_way) > (AHEAD - 1) * len(self._both):
            await self._under_way.popleft()
        self._under_way += [asyncio.wrap_future(each.submit(data)) for each in self._both]

    async def finish(self) -> None:
        """Wait until all is written.

        Raises:
            OSError: Something could not be written.
        """
        while self._under_way:
            await self._under_way.popleft()

    async def settle(self) -> None:
        """Wait until nobody is writing any more, with whatever outcome."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
