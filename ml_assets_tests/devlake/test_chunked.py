"""The aws-chunked decoder: what clients send comes out whole, however it is cut; everything else is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import sys
import zlib
from collections.abc import Callable, Iterable
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.lib.devlake.chunked import LONGEST_LINE, ChunkedDecoder, checksum
from ml_assets.lib.devlake.s3_errors import S3Code, S3Error
from ml_assets.lib.devlake.sigv4 import EMPTY_SHA256, ChunkSignatures, Signed

SIGNED = Signed("20261120T000000Z", "20261120/us-east-1/s3/aws4_request", "0" * 64, b"key")


def encode_signed(chunks: Iterable[bytes]) -> bytes:
    """A signed body of *chunks*, the last of which is empty by itself."""
    previous, body = SIGNED.signature, b""
    for chunk in [*chunks, b""]:
        lines = ["AWS4-HMAC-SHA256-PAYLOAD", SIGNED.timestamp, SIGNED.scope, previous, EMPTY_SHA256]
        to_sign = "\n".join([*lines, hashlib.sha256(chunk).hexdigest()])
        previous = hmac.digest(SIGNED.signing_key, to_sign.encode(), "sha256").hex()
        body += b"%x;chunk-signature=%s\r\n" % (len(chunk), previous.encode()) + (chunk + b"\r\n")
    return body


def encode_trailer(chunks: Iterable[bytes], name: str, digest: bytes, end: bytes = b"\r\n\r\n") -> bytes:
    """An unsigned body of *chunks* with a checksum behind it."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return body + b"0\r\nx-amz-checksum-%s:%s" % (name.encode(), base64.b64encode(digest)) + end


def signed_decoder(length: int | None = None) -> ChunkedDecoder:
    """A decoder of what :func:`encode_signed` gives."""
    return ChunkedDecoder(signatures=ChunkSignatures(SIGNED), trailer=None, length=length)


def crc32_decoder(length: int | None = None) -> ChunkedDecoder:
    """A decoder of what :func:`encode_trailer` gives for crc32."""
    return ChunkedDecoder(signatures=None, trailer="crc32", length=length)


def crc32(data: bytes) -> bytes:
    """The CRC as a trailer carries it."""
    return zlib.crc32(data).to_bytes(4, "big")


def decode(decoder: ChunkedDecoder, pieces: Iterable[bytes]) -> tuple[bytes, S3Code | None]:
    """All the payload that came out, and the error that ended it."""
    payload = b""
    try:
        for piece in pieces:
            for data in decoder.feed(piece):
                payload += data
        decoder.close()
    except S3Error as error:
        return payload, error.code
    return payload, None


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """*data* in pieces, cut at the given places."""
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[start:stop] for start, stop in pairwise(places)]


CHUNKS = st.lists(st.binary(min_size=1, max_size=40), max_size=5)
CUTS = st.lists(st.integers(0, 10_000), max_size=30)


@given(CHUNKS, CUTS)
def test_signed_body_in_any_pieces(chunks: list[bytes], cuts: list[int]) -> None:
    """A signed body comes out whole, wherever the input is cut."""
    payload = b"".join(chunks)
    assert (payload, None) == decode(signed_decoder(len(payload)), cut(encode_signed(chunks), cuts))


@given(CHUNKS, CUTS)
def test_trailer_body_in_any_pieces(chunks: list[bytes], cuts: list[int]) -> None:
    """An unsigned body with a checksum comes out whole, wherever the input is cut."""
    payload = b"".join(chunks)
    body = encode_trailer(chunks, "crc32", crc32(payload))
    assert (payload, None) == decode(crc32_decoder(len(payload)), cut(body, cuts))


ALMOST = st.lists(
    st.one_of(
        st.sampled_from([b"0\r\n", b"\r\n", b"\n", b"3\r\nabc\r\n", b"x-amz-checksum-crc32:NSRBwg==\r\n", b"ffff\r\n"]),
        st.binary(max_size=6),
        CHUNKS.map(encode_signed),
    ),
    max_size=8,
).map(b"".join)


@given(ALMOST, CUTS, st.sampled_from([signed_decoder, crc32_decoder]), st.one_of(st.none(), st.integers(0, 50)))
def test_any_input_has_one_answer(
    body: bytes, cuts: list[int], make: Callable[[int | None], ChunkedDecoder], length: int | None
) -> None:
    """Any bytes at all are either decoded or refused, and how they are cut changes neither payload nor error."""
    assert decode(make(length), [body]) == decode(make(length), cut(body, cuts))


@given(CHUNKS.filter(any), st.integers(0), st.integers(0, 7))
def test_a_flipped_bit_never_passes_a_signature(chunks: list[bytes], place: int, bit: int) -> None:
    """A signed body with one bit changed either fails, or gives the same payload."""
    body = bytearray(encode_signed(chunks))
    body[place % len(body)] ^= 1 << bit
    payload, error = decode(signed_decoder(), [bytes(body)])
    assert error is not None or payload == b"".join(chunks)


@pytest.mark.parametrize("size", [1, 7, LONGEST_LINE, 1 << 20])
def test_every_truncation_is_incomplete(size: int) -> None:
    """A body that ends early is never taken for a whole one."""
    body = encode_trailer([b"x" * 30, b"y"], "crc32", crc32(b"x" * 30 + b"y"))
    for end in range(len(body) - 1):
        pieces = [body[start : min(start + size, end)] for start in range(0, end, size)]
        assert decode(crc32_decoder(), pieces)[1] is S3Code.INCOMPLETE_BODY


@pytest.mark.parametrize(
    "body",
    [
        encode_trailer([b"abc"], "crc32", crc32(b"abc"), end=b"\n\r\n\r\n"),
        encode_trailer([b"abc"], "crc32", crc32(b"abc")).replace(b"0\r\nx", b"0\r\n\r\nx"),
        encode_trailer([b"abc"], "crc32", crc32(b"abc")).replace(b"crc32:", b"crc32: "),
    ],
)
def test_what_lakefs_tolerates(body: bytes) -> None:
    """Line ends and blanks around the trailer that some clients send are taken."""
    assert decode(crc32_decoder(), [body]) == (b"abc", None)


LONG = b"0" * (LONGEST_LINE + 1)


@pytest.mark.parametrize(
    ("decoder", "body", "code"),
    [
        (crc32_decoder(), b"g\r\n", S3Code.INVALID_CHUNKS),
        (crc32_decoder(), b"-1\r\n", S3Code.INVALID_CHUNKS),
        (crc32_decoder(), b"\r\n", S3Code.INVALID_CHUNKS),
        (crc32_decoder(), b"10000000000000000\r\n", S3Code.INVALID_CHUNKS),
        (crc32_decoder(), LONG, S3Code.INVALID_CHUNKS),
        (crc32_decoder(), b"3\r\nabcd\r\n", S3Code.INVALID_CHUNKS),
        (crc32_decoder(), b"0\r\n\r\n\r\n", S3Code.INVALID_CHUNKS),
        (crc32_decoder(), b"0\r\nx-amz-checksum-sha1:AA==\r\n\r\n", S3Code.INVALID_CHUNKS),
        (crc32_decoder(), encode_trailer([], "crc32", crc32(b"")) + b"more", S3Code.INVALID_CHUNKS),
        (crc32_decoder(), encode_trailer([], "crc32", crc32(b"")) + b"more\r\n", S3Code.INVALID_CHUNKS),
        (crc32_decoder(), encode_trailer([b"abc"], "crc32", crc32(b"abd")), S3Code.BAD_DIGEST),
        (crc32_decoder(), encode_signed([b"abc"]), S3Code.INVALID_CHUNKS),
        (crc32_decoder(2), encode_trailer([b"abc"], "crc32", crc32(b"abc")), S3Code.INCOMPLETE_BODY),
        (crc32_decoder(4), encode_trailer([b"abc"], "crc32", crc32(b"abc")), S3Code.INCOMPLETE_BODY),
        (signed_decoder(), b"3\r\nabc\r\n0\r\n\r\n", S3Code.INVALID_CHUNKS),
        (signed_decoder(), encode_signed([b"abc"]).replace(b"abc", b"abd"), S3Code.SIGNATURE_DOES_NOT_MATCH),
        (signed_decoder(), encode_signed([])[:-4] + b"\r\nx-amz-checksum-crc32:AA==\r\n", S3Code.INVALID_CHUNKS),
    ],
)
def test_what_is_refused(decoder: ChunkedDecoder, body: bytes, code: S3Code) -> None:
    """Malformed, tampered and dishonest bodies are refused, each with its error."""
    assert code is decode(decoder, [body])[1]


def test_an_endless_chunk_header_stops_early() -> None:
    """A promise of more than was announced is refused before the bytes are taken."""
    assert decode(crc32_decoder(10), [b"ffffffffffffffff\r\n" + b"x" * 100]) == (b"", S3Code.INCOMPLETE_BODY)


def test_memory_is_bounded() -> None:
    """The decoder hands payload on at once and keeps nothing of it."""
    decoder = signed_decoder()
    assert list(decoder.feed(b"100000;chunk-signature=" + b"0" * 64 + b"\r\n")) == []
    for _ in range(16):
        assert list(decoder.feed(b"x" * 65536)) == [b"x" * 65536]
    assert not decoder._line


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_hashes_in_the_trailer(name: str) -> None:
    """SHA-1 and SHA-256 are verified."""
    good, bad = (hashlib.new(name, data).digest() for data in (b"abc", b"abd"))
    for digest, code in ((good, None), (bad, S3Code.BAD_DIGEST)):
        decoder = ChunkedDecoder(signatures=None, trailer=name, length=3)
        assert code is decode(decoder, [encode_trailer([b"abc"], name, digest)])[1]


def crc(data: bytes, previous: int, *, polynomial: int, width: int) -> int:
    """A reflected CRC, bit by bit."""
    mask = (1 << width) - 1
    value = previous ^ mask
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (polynomial if value & 1 else 0)
    return value ^ mask


def crc32c(data: bytes, previous: int = 0) -> int:
    """CRC-32C, Castagnoli."""
    return crc(data, previous, polynomial=0x82F63B78, width=32)


def crc64nvme(data: bytes, previous: int = 0) -> int:
    """CRC-64/NVME."""
    return crc(data, previous, polynomial=0x9A6C9329AC4BC9B5, width=64)


def test_crcs_with_awscrt(monkeypatch: pytest.MonkeyPatch) -> None:
    """With awscrt, crc32c and crc64nvme are verified; the catalogue's check values hold."""
    monkeypatch.setitem(sys.modules, "awscrt", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "awscrt.checksums", SimpleNamespace(crc32c=crc32c, crc64nvme=crc64nvme))
    for name, value in (("crc32c", "e3069283"), ("crc64nvme", "ae8b14860a799888")):
        verified = checksum(name)
        assert verified is not None
        verified.update(b"1234")
        verified.update(b"56789")
        assert value == verified.digest().hex()
        decoder = ChunkedDecoder(signatures=None, trailer=name, length=None)
        assert S3Code.BAD_DIGEST is decode(decoder, [encode_trailer([b"12345678"], name, bytes.fromhex(value))])[1]


def test_crcs_without_awscrt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without awscrt, crc64nvme uploads are taken, and their length is still checked."""
    monkeypatch.setitem(sys.modules, "awscrt", None)
    monkeypatch.setitem(sys.modules, "awscrt.checksums", None)
    body = encode_trailer([b"abc"], "crc64nvme", b"any" * 3)
    for length, code in ((3, None), (4, S3Code.INCOMPLETE_BODY)):
        assert code is decode(ChunkedDecoder(signatures=None, trailer="crc64nvme", length=length), [body])[1]


def test_an_unknown_checksum_is_refused() -> None:
    """A trailer that S3 does not have is refused before the body is read."""
    with pytest.raises(S3Error) as refused:
        ChunkedDecoder(signatures=None, trailer="md5", length=None)
    assert refused.value.code is S3Code.INVALID_CHUNKS
