"""One request to the S3 gateway: what it is about, what it says, and its payload, verified as it was signed."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import unquote_plus, unquote_to_bytes

from ml_assets.lib.devlake.chunked import ChunkedDecoder
from ml_assets.lib.devlake.files import Blob
from ml_assets.lib.devlake.repo import Lake, Repository
from ml_assets.lib.devlake.s3_errors import S3Code, S3Error
from ml_assets.lib.devlake.sigv4 import UNSIGNED, ChunkSignatures, Received, Signed

LONGEST_DOCUMENT: Final = 8 << 20
"""Bytes of an XML document that is read into memory: 10,000 parts or 1,000 keys need less."""

DEFAULT_TYPE: Final = "application/octet-stream"
"""Content type of an object that came without one."""

_PARTS_OF_A_TARGET: Final = 3
_RANGE: Final = re.compile(r"bytes=\s*+(\d{0,18})\s*+-\s*+(\d{0,18})\s*+", re.ASCII)
_CHECKSUM_PREFIX: Final = "x-amz-checksum-"


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about. Parts that the URL does not have are empty.

    Attributes:
        repository: The bucket.
        ref: A branch, tag, commit or expression: the key up to its first slash.
        path: Of the object: the rest of the key.
    """

    repository: str
    ref: str
    path: str

    @classmethod
    def of(cls, raw_path: bytes) -> Self:
        """The target of a URL's percent-encoded path.

        Raises:
            S3Error: It is not UTF-8.
        """
        try:
            path = unquote_to_bytes(raw_path).decode()
        except UnicodeDecodeError:
            raise S3Error(S3Code.BAD_REQUEST, "the path is not UTF-8") from None
        repository, ref, rest = [*path.removeprefix("/").split("/", 2), "", ""][:3]
        return cls(repository, ref, rest)

    @property
    def key(self) -> str:
        """The S3 key: ref and path."""
        return f"{self.ref}/{self.path}"


class Body:
    """The payload of a request: read it once, by :meth:`store`, :meth:`document`, or :meth:`pieces` and :meth:`check`.

    Args:
        received: The request.
        signed: Its signature; ``None`` for one of version 2, which signs no payload.
        pieces: What comes after its head.

    Raises:
        S3Error: The headers announce a payload in a form that lakeFS does not take.
    """

    def __init__(self, received: Received, signed: Signed | None, pieces: AsyncIterable[bytes]) -> None:
        self._pieces = pieces
        self._sha256: str | None = None
        self._decoder: ChunkedDecoder | None = None
        payload = received.header("x-amz-content-sha256") or UNSIGNED
        match payload.upper():
            case "UNSIGNED-PAYLOAD":
                pass
            case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" if signed is not None:
                self._decoder = ChunkedDecoder(
                    signatures=ChunkSignatures(signed), trailer=None, length=_decoded_length(received)
                )
            case "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
                self._decoder = ChunkedDecoder(
                    signatures=None, trailer=_trailer(received), length=_decoded_length(received)
                )
            case _ if re.fullmatch("[0-9a-fA-F]{64}", payload):
                self._sha256 = payload.lower()
            case _:
                raise S3Error(
                    S3Code.NOT_IMPLEMENTED,
                    f"lakeFS takes no payload of the form {payload}: send it unsigned, or without a trailing checksum",
                )

    async def store(self, lake: Lake) -> Blob:
        """Store the payload, in pieces.

        Raises:
            S3Error: It is not what was signed or announced. At most bytes that nothing names stay behind.
        """
        blob = await lake.store.receive(self.pieces())
        self.check(blob.sha256)
        return blob

    async def document(self) -> bytes:
        """The payload in memory.

        Raises:
            S3Error: It is not what was signed or announced, or too long for a document.
        """
        content = bytearray()
        async for piece in self.pieces():
            content += piece
            if len(content) > LONGEST_DOCUMENT:
                raise S3Error(S3Code.BAD_REQUEST, f"the document is longer than {LONGEST_DOCUMENT} bytes")
        self.check(hashlib.sha256(content).hexdigest())
        return bytes(content)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The payload as it comes in, decoded. :meth:`check` it at its end."""
        async for piece in self._pieces:
            if self._decoder is None:
                yield piece
                continue
            for data in self._decoder.feed(piece):
                yield data
        if self._decoder is not None:
            self._decoder.close()

    def check(self, sha256: str) -> None:
        """Refuse a payload with this digest if another one was signed.

        Raises:
            S3Error: Another one was.
        """
        if self._sha256 is not None and not hmac.compare_digest(self._sha256, sha256):
            raise S3Error(S3Code.CONTENT_SHA256_MISMATCH)


@dataclass(slots=True)
class Call:
    """A verified request on its way through an operation."""

    lake: Lake
    received: Received
    target: Target
    body: Body
    repository: Repository

    def header(self, name: str) -> str:
        """The value of a header, or ``""``."""
        return self.received.header(name)

    def parameter(self, name: str) -> str:
        """The value of a query parameter, or ``""``."""
        return self.received.parameter(name) or ""

    def asks_for(self, *names: str) -> bool:
        """Whether any of these query parameters is there, even without a value: a sub-resource."""
        return any(self.received.parameter(name) is not None for name in names)

    def refuse(self, *names: str) -> None:
        """Refuse sub-resources that lakeFS does not have.

        Raises:
            S3Error: The request asks for one of *names*.
        """
        if self.asks_for(*names):
            raise S3Error(S3Code.NOT_SUPPORTED)

    def copy_source(self) -> Target | None:
        """The object that a copy is made of; ``None`` if the request is none.

        Raises:
            S3Error: ``InvalidArgument``: it names none.
        """
        header = self.header("x-amz-copy-source")
        if not header:
            return None
        parts = unquote_plus(header.encode("latin-1").decode(errors="replace")).lstrip("/").split("/", 2)
        if len(parts) < _PARTS_OF_A_TARGET:
            raise S3Error(S3Code.INVALID_ARGUMENT, "Copy Source must mention the source bucket and key")
        return Target(*parts)

    def absence_asked(self) -> bool:
        """Whether the object may only be written if it is not there.

        Raises:
            S3Error: ``NotImplemented``: lakeFS knows no other condition.
        """
        condition = self.header("if-none-match")
        if self.header("if-match") or condition not in ("", "*"):
            raise S3Error(S3Code.NOT_IMPLEMENTED)
        return condition == "*"

    def check_repository(self) -> None:
        """Refuse a write to a read-only repository: the gateway has no way to force one.

        Raises:
            S3Error: ``ErrReadOnlyRepository``.
        """
        if self.repository.read_only:
            raise S3Error(S3Code.READ_ONLY_REPOSITORY)

    def check_branch(self) -> None:
        """Refuse a write to a read-only repository or to no branch, before a body is received.

        Raises:
            S3Error: ``ErrReadOnlyRepository``.
            BranchNotFound: The ref is no branch.
        """
        self.check_repository()
        self.lake.branches.get(self.target.repository, self.target.ref)


def requested_range(header: str, size: int) -> tuple[int, int] | None:
    """First byte and the one behind the last; ``None`` for all of them, also where *header* makes no sense.

    Raises:
        S3Error: ``InvalidRange``: the range is well formed, and outside of the object.
    """
    match = _RANGE.fullmatch(header)
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start, stop = max(0, size - int(match[2])), size
    else:
        start, stop = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= size:
        raise S3Error(S3Code.INVALID_RANGE)
    return start, stop


def _decoded_length(received: Received) -> int | None:
    length = received.header("x-amz-decoded-content-length")
    if not length:
        return None
    if not re.fullmatch(r"\d{1,18}", length, re.ASCII):
        raise S3Error(S3Code.INVALID_ARGUMENT, "x-amz-decoded-content-length must be a number")
    return int(length)


def _trailer(received: Received) -> str:
    """The name of the checksum that the headers announce."""
    trailer = received.header("x-amz-trailer").strip().lower()
    return trailer.removeprefix(_CHECKSUM_PREFIX) if trailer.startswith(_CHECKSUM_PREFIX) else ""
