"""The ``aws-chunked`` encoding of an S3 upload: payload bytes out of a stream of chunks, signed or with a trailer.

Pure: bytes are fed in, in any pieces, and payload comes out; nothing waits and nothing is opened. Memory is bounded by
what is fed at a time plus one line. How the input is cut never changes the answer.

::

    signed     SIZE;chunk-signature=S CRLF DATA CRLF …  0;chunk-signature=S CRLF CRLF
    unsigned   SIZE CRLF DATA CRLF …  0 CRLF [CRLF] x-amz-checksum-A:BASE64 CRLF CRLF

The empty line before the trailer is not in the specification, but some clients send it and lakeFS takes it.

Source: "Signature calculations: transferring payload in multiple chunks" and "Checking object integrity with trailing
checksums" of the Amazon S3 API reference.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib
import re
import zlib
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Final, Protocol

from ml_assets.lib.devlake.s3_errors import S3Code, S3Error
from ml_assets.lib.devlake.sigv4 import ChunkSignatures

LONGEST_LINE: Final = 4096
"""Bytes of a chunk's header or of a trailer, as in lakeFS."""

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")
_TRAILER_NAMES: Final = ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")


class Checksum(Protocol):
    """A checksum that is fed in pieces, as in :mod:`hashlib`."""

    def update(self, data: bytes, /) -> None:
        """Add *data*."""

    def digest(self) -> bytes:
        """The value so far, in network order."""


class Crc:
    """A CRC from a function ``(data, previous) -> value``, as in :func:`zlib.crc32`."""

    def __init__(self, function: Callable[[bytes, int], int], width: int) -> None:
        self._function, self._width, self._value = function, width, 0

    def update(self, data: bytes, /) -> None:
        """Add *data*."""
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        """The value so far, most significant byte first."""
        return self._value.to_bytes(self._width, "big")


def checksum(name: str) -> Checksum | None:
    """The checksum that the trailer ``x-amz-checksum-<name>`` carries.

    ``None`` for crc32c and crc64nvme without the ``awscrt`` package: they need C to be fast enough. Such an upload is
    still checked by its length.

    Raises:
        S3Error: ``InvalidRequest``: S3 knows no such checksum.
    """
    match name:
        case "sha1":
            return hashlib.sha1(usedforsecurity=False)
        case "sha256":
            return hashlib.sha256()
        case "crc32":
            return Crc(zlib.crc32, 4)
        case "crc32c" | "crc64nvme":
            try:
                crt = importlib.import_module("awscrt.checksums")
            except ImportError:
                return None
            return Crc(getattr(crt, name), 4 if name == "crc32c" else 8)
        case _:
            known = ", ".join(_TRAILER_NAMES)
            raise _malformed(f"x-amz-trailer must be x-amz-checksum- and one of {known}")


class _State(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    DONE = auto()


class ChunkedDecoder:
    """Decodes one body: feed it with :meth:`feed`, then :meth:`close` it.

    Args:
        signatures: Verifies the chunks; ``None`` for an unsigned body, whose chunks must carry no signature.
        trailer: Name of the checksum in the trailer, without ``x-amz-checksum-``; ``None`` for a body without one.
        length: How many bytes of payload the headers promise, if they do.

    Raises:
        S3Error: *trailer* is no known checksum.
    """

    def __init__(self, *, signatures: ChunkSignatures | None, trailer: str | None, length: int | None) -> None:
        self._signatures, self._trailer, self._length = signatures, trailer, length
        self._checksum = checksum(trailer) if trailer is not None else None
        self._state = _State.SIZE
        self._line = bytearray()
        self._left = 0
        self._received = 0
        self._chunk_signature = ""
        self._chunk_hash = hashlib.sha256()
        self._blank_before_trailer = False
        self._trailer_seen = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The payload within *data*, in order. Exhaust it before feeding more; after an error, stop.

        Raises:
            S3Error: The encoding is malformed, a chunk's signature is wrong, or there is more than was promised.
        """
        position = 0
        while position < len(data):
            if self._state is _State.DATA:
                piece = data[position : position + self._left]
                position += len(piece)
                yield self._take(piece)
            else:
                position = self._read_line(data, position)

    def close(self) -> None:
        """The input has ended: accept it as whole.

        Raises:
            S3Error: ``IncompleteBody``, or there is something behind it.
        """
        if self._state is not _State.DONE:
            raise S3Error(S3Code.INCOMPLETE_BODY, "The body ends before its last chunk is complete.")
        if self._line.strip():
            raise _malformed("there are bytes behind the last chunk")

    def _take(self, piece: bytes) -> bytes:
        self._left -= len(piece)
        if self._signatures is not None:
            self._chunk_hash.update(piece)
        if self._checksum is not None:
            self._checksum.update(piece)
        if self._left == 0:
            self._state = _State.DATA_END
        return piece

    def _read_line(self, data: bytes, position: int) -> int:
        """Add to the line from *position* on, act on it if it is whole, and return the position behind."""
        end = data.find(b"\n", position)
        behind = len(data) if end < 0 else end + 1
        # A longer line is refused without looking for its end, so the piece that holds the end does not matter.
        self._line += data[position : min(behind, position + LONGEST_LINE + 1)]
        if len(self._line) > LONGEST_LINE:
            raise _malformed("a line of the chunked body is too long")
        if end >= 0:
            line = bytes(self._line)
            self._line.clear()
            self._act_on(line)
        return behind

    def _act_on(self, line: bytes) -> None:
        match self._state:
            case _State.SIZE:
                self._begin_chunk(line)
            case _State.DATA_END:
                if line != b"\r\n":
                    raise _malformed("a chunk is longer than it says")
                self._end_chunk()
                self._state = _State.SIZE
            case _State.TRAILER:
                self._read_trailer(line.strip())
            case _:
                if line.strip():
                    raise _malformed("there are bytes behind the last chunk")

    def _begin_chunk(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line.removesuffix(b"\r\n"))
        if match is None:
            raise _malformed("the header of a chunk is malformed")
        if (match[2] is None) != (self._signatures is None):
            raise _malformed("a chunk has no signature" if self._signatures else "an unsigned chunk has a signature")
        self._chunk_signature = (match[2] or b"").decode()
        self._left = int(match[1], 16)
        self._received += self._left
        self._check_length(whole=self._left == 0)
        self._state = _State.DATA if self._left else _State.TRAILER
        if self._left == 0:
            self._end_chunk()

    def _end_chunk(self) -> None:
        if self._signatures is not None:
            self._signatures.check(self._chunk_signature, self._chunk_hash.hexdigest())
            self._chunk_hash = hashlib.sha256()

    def _check_length(self, *, whole: bool) -> None:
        if self._length is None:
            return
        if self._received > self._length or (whole and self._received < self._length):
            raise S3Error(S3Code.INCOMPLETE_BODY, f"The body is not {self._length} bytes long, as its headers say.")

    def _read_trailer(self, line: bytes) -> None:
        if line:
            self._check_trailer(line)
        elif self._trailer is None or self._trailer_seen:
            self._state = _State.DONE
        elif self._blank_before_trailer:
            raise _malformed("the trailer is missing")
        else:
            self._blank_before_trailer = True

    def _check_trailer(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        expected = f"x-amz-checksum-{self._trailer}".encode()
        if self._trailer is None or self._trailer_seen or name.strip().lower() != expected:
            raise _malformed("there is a trailer that the headers do not announce")
        self._trailer_seen = True
        if self._checksum is None:
            return
        if not hmac.compare_digest(base64.b64encode(self._checksum.digest()), value.strip()):
            raise S3Error(S3Code.BAD_DIGEST, f"The trailing {self._trailer} is not that of the bytes received.")


def _malformed(problem: str) -> S3Error:
    return S3Error(S3Code.INVALID_CHUNKS, f"The aws-chunked encoding of the body is malformed: {problem}.")
