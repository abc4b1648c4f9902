"""Forms: any bytes are read or refused, however they are cut, and within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.lib.devlake.errors import Invalid
from ml_assets.lib.devlake.form import FormPart

TYPE = "multipart/form-data; boundary=b"
MUCH = 1 << 16
WANTED = b'--b\r\nContent-Disposition: form-data; name="content"\r\nContent-Type: a/b\r\n\r\nbytes\r\n--b--\r\n'

PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [b"--b\r\n", b"--b--\r\n", b"\r\n", b"\r\n--b", b"--b", b"\n", b"\r", b": ", b"X-A: b\r\n", b"\0"]
        ),
        st.just(b'Content-Disposition: form-data; name="content"\r\n'),
        st.sampled_from(
            [b"Content-Type: a/b\r\n", b"Content-Disposition: ;;;=\r\n", b"Content-Disposition: form-data; n"]
        ),
        st.binary(max_size=6),
    ),
    max_size=12,
).map(b"".join)


def read(pieces: Sequence[bytes], content_type: str = TYPE) -> tuple[bytes, str] | str:
    """The bytes and the type of the part ``content``, or why there are none."""

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def read_all() -> tuple[bytes, str]:
        part = FormPart(content_type, "content")
        found = b"".join([data async for data in part.chunks(body())])
        return found, part.content_type

    try:
        return asyncio.run(read_all())
    except Invalid as error:
        return str(error)


def test_the_part_that_is_wanted() -> None:
    """Its bytes and its type."""
    assert read([WANTED]) == (b"bytes", "a/b")
    assert read([WANTED[:50], WANTED[50:]]) == (b"bytes", "a/b")


@given(st.one_of(PIECES, PIECES.map(lambda body: b"--b\r\n" + body), PIECES.map(lambda body: WANTED[:-9] + body)))
def test_any_bytes(body: bytes) -> None:
    """They are read or refused, and it does not matter how they are cut."""
    whole = read([body])
    bytewise = read([bytes([byte]) for byte in body])
    assert isinstance(whole, str) == isinstance(bytewise, str)
    if not isinstance(whole, str):
        assert whole == bytewise


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=80))
def test_any_boundary(boundary: str) -> None:
    """It is refused, or taken as what parts the bytes."""
    found = read([WANTED], f"multipart/form-data; boundary={boundary}")
    assert isinstance(found, str) or found == (b"bytes", "a/b")


@pytest.mark.parametrize("line", [b"X-A: " + b"a" * MUCH + b"\r\n", b"X-A: b\r\n" * MUCH, b"a" * MUCH * 2])
def test_long_headers_are_refused(line: bytes) -> None:
    """Headers of a part are kept in memory, so there may not be too much of them."""
    assert "exceed" in read([b"--b\r\n", line])
