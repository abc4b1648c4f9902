"""User metadata in S3 headers: ``x-amz-meta-<key>``, kept under ``X-Amz-Meta-<key>``, as lakeFS does.

Header values are ASCII; other text travels in the encoded words of RFC 2047, which clients of S3 send and expect.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Final

from ml_assets.lib.devlake.s3_errors import S3Code, S3Error
from ml_assets.lib.devlake.sigv4 import Received

LARGEST: Final = 2048
"""Bytes of all keys and values together, as in S3."""

_HEADER: Final = "x-amz-meta-"
_KEPT: Final = "X-Amz-Meta-"
_KEY: Final = re.compile(r"[\w.#!$%&'*+^`|~-]+", re.ASCII)
_PLAIN: Final = re.compile(r"[\t\x20-\x7e]*")
_LITERAL: Final = re.compile(r"[!-<>@-^`-~]")
"""What stands for itself in an encoded word."""

_WORD: Final = "=?utf-8?q?{}?="
_LONGEST_CONTENT: Final = 75 - len(_WORD.format(""))


def received_metadata(received: Received) -> dict[str, str]:
    """The user metadata that a request carries.

    Raises:
        S3Error: ``MetadataTooLarge``, or ``InvalidArgument`` for an encoded word that cannot be decoded.
    """
    metadata, size = {}, 0
    for name, value in received.headers:
        header = name.decode("latin-1")
        key = header.removeprefix(_HEADER)
        if key == header:
            continue
        decoded = _decode(value)
        size += len(key) + len(decoded.encode(errors="surrogateescape"))
        if _KEY.fullmatch(key):
            metadata[_KEPT + key] = decoded
    if size > LARGEST:
        raise S3Error(S3Code.METADATA_TOO_LARGE)
    return metadata


def metadata_headers(metadata: Mapping[str, str]) -> dict[str, str]:
    """The headers that give *metadata* back. What came in through REST has other names, and S3 does not show it."""
    headers, missing = {}, 0
    for name, value in metadata.items():
        key = name.removeprefix(_KEPT)
        if key == name:
            continue
        if _KEY.fullmatch(key):
            headers[f"{_HEADER}{key.lower()}"] = value if _PLAIN.fullmatch(value) else _encode(value)
        else:
            missing += 1
    return headers | ({"x-amz-missing-meta": str(missing)} if missing else {})


def _decode(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    if "=?" not in text:
        return text
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, UnicodeError, binascii.Error) as error:
        raise S3Error(S3Code.INVALID_ARGUMENT, "a user metadata header is not what RFC 2047 allows") from error


def _encode(value: str) -> str:
    """Encoded words, each as long as RFC 2047 lets it be: no character is split between two."""
    contents = [""]
    for character in value:
        encoded = _quoted(character)
        if len(contents[-1]) + len(encoded) > _LONGEST_CONTENT:
            contents.append("")
        contents[-1] += encoded
    return " ".join(map(_WORD.format, contents))


def _quoted(character: str) -> str:
    if character == " ":
        return "_"
    if _LITERAL.fullmatch(character):
        return character
    return "".join(f"={byte:02X}" for byte in character.encode(errors="replace"))
