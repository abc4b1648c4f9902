"""AWS Signature Version 4: who signed a request, and did it arrive as it was signed.

Pure: what was received and the present time go in, a verdict comes out. Signatures in the ``Authorization`` header, in
the query of a presigned URL, and of the chunks of a body. What is refused, and in which order, is as in lakeFS.

Source: "Signature Version 4 signing process" and "Authenticating requests" of the Amazon S3 API reference.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from ml_assets.lib.devlake.s3_errors import S3Code, S3Error

ALGORITHM: Final = "AWS4-HMAC-SHA256"
CLOCK_SKEW: Final = timedelta(minutes=15)
LONGEST_PRESIGN: Final = timedelta(days=7)
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
EMPTY_SHA256: Final = hashlib.sha256().hexdigest()

_NAMES = r"[\w;!#$%&'*+.^`|~-]+"
_SCOPE = r"(?P<key>[^/\s,]+)/(?P<date>\d{8})/(?P<region>[\w-]+)/(?P<service>[\w-]+)/aws4_request"
_CREDENTIAL: Final = re.compile(_SCOPE, re.ASCII)
_AUTHORIZATION: Final = re.compile(
    rf"{ALGORITHM} Credential={_SCOPE},\s*"
    rf"SignedHeaders=(?P<headers>{_NAMES}),\s*Signature=(?P<signature>[0-9a-f]{{64}})",
    re.ASCII,
)
_TIMESTAMP: Final = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_PRESIGN_FIELDS: Final = ("X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Expires")


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived.

    Attributes:
        method: The HTTP method, in capitals.
        path: The path, percent-encoded, without the query.
        query: Decoded names and values, in the order of the URL.
        headers: Names in lower case and values, in the order of arrival.
    """

    method: str
    path: bytes
    query: Sequence[tuple[str, str]]
    headers: Sequence[tuple[bytes, bytes]]

    def header(self, name: str) -> str:
        """The first value under *name*, or ``""``."""
        wanted = name.encode()
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), "")

    def parameter(self, name: str) -> str | None:
        """The first value of a query parameter."""
        return next((value for key, value in self.query if key == name), None)


@dataclass(frozen=True, slots=True)
class Signed:
    """A request whose signature has been verified; enough to verify those of its chunks.

    Attributes:
        timestamp: When it was signed, as it was sent.
        scope: ``<date>/<region>/<service>/aws4_request``.
        signature: Of the request, in hex.
        signing_key: Derived from the secret for this scope.
    """

    timestamp: str
    scope: str
    signature: str
    signing_key: bytes = field(repr=False)


def parse_query(query: bytes) -> list[tuple[str, str]]:
    """Decoded names and values of a URL's query, in order; bytes that are not UTF-8 survive a round trip."""
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="surrogateescape")


def verify(request: Received, secret_of: Callable[[str], str | None], *, now: datetime) -> Signed:
    """Return only if *request* was signed with the secret of the key it names, and lately.

    Args:
        request: What arrived.
        secret_of: The secret of an access key id, ``None`` if there is no such key.
        now: The present time, with a time zone.

    Raises:
        S3Error: ``MissingFields`` for no or a malformed signature, ``AccessDenied`` for an unknown key, an expired
            presigned URL or a time in the future, ``SignatureDoesNotMatch``, ``RequestTimeTooSkewed``.
    """
    claim = _header_claim(request) if request.header("authorization") else _presign_claim(request)
    secret = secret_of(claim.access_key_id)
    if secret is None:
        raise S3Error(S3Code.ACCESS_DENIED)
    timestamp, signed_at = _time_of(request, claim)
    canonical = _canonical_request(request, claim.signed_headers)
    to_sign = "\n".join([ALGORITHM, timestamp, claim.scope, hashlib.sha256(canonical).hexdigest()])
    signing_key = _signing_key(secret, claim.scope)
    if not hmac.compare_digest(_hmac(signing_key, to_sign).hex().encode(), claim.signature.encode(errors="replace")):
        raise S3Error(S3Code.SIGNATURE_DOES_NOT_MATCH)
    check_time(signed_at, claim.expires, now)
    return Signed(timestamp, claim.scope, claim.signature, signing_key)


class ChunkSignatures:
    """The signatures of a body's chunks, each of which signs the one before: see :meth:`check`."""

    def __init__(self, signed: Signed) -> None:
        self._signed = signed
        self._previous = signed.signature

    def check(self, signature: str, chunk_sha256: str) -> None:
        """Accept the next chunk, with its SHA-256 in hex, if its *signature* is right.

        Raises:
            S3Error: ``SignatureDoesNotMatch``.
        """
        signed = self._signed
        to_sign = "\n".join(
            [f"{ALGORITHM}-PAYLOAD", signed.timestamp, signed.scope, self._previous, EMPTY_SHA256, chunk_sha256]
        )
        expected = _hmac(signed.signing_key, to_sign).hex()
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise S3Error(S3Code.SIGNATURE_DOES_NOT_MATCH)
        self._previous = expected


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a request says about its signature: not believed yet. ``expires`` is ``None`` unless it is presigned."""

    access_key_id: str
    scope: str
    signed_headers: str
    signature: str
    expires: timedelta | None


def _header_claim(request: Received) -> _Claim:
    match = _AUTHORIZATION.fullmatch(request.header("authorization").strip())
    if match is None:
        raise S3Error(S3Code.MISSING_FIELDS)
    return _Claim(match["key"], _scope(match), match["headers"], match["signature"], expires=None)


def _presign_claim(request: Received) -> _Claim:
    algorithm = request.parameter("X-Amz-Algorithm")
    if algorithm is None or any(request.parameter(name) is None for name in _PRESIGN_FIELDS):
        raise S3Error(S3Code.MISSING_FIELDS)
    if algorithm.upper() != ALGORITHM:
        raise S3Error(S3Code.PRESIGN_MALFORMED, f"X-Amz-Algorithm must be {ALGORITHM}")
    credential, signature, _, signed_headers, expires = (request.parameter(name) or "" for name in _PRESIGN_FIELDS)
    match = _CREDENTIAL.fullmatch(credential)
    if match is None:
        raise S3Error(S3Code.PRESIGN_MALFORMED, "X-Amz-Credential must be <key>/<date>/<region>/<service>/aws4_request")
    if not re.fullmatch(_NAMES, signed_headers, re.ASCII):
        raise S3Error(S3Code.PRESIGN_MALFORMED, "X-Amz-SignedHeaders must be names of headers, separated by ';'")
    longest = LONGEST_PRESIGN // timedelta(seconds=1)
    if not re.fullmatch(r"\d{1,9}", expires, re.ASCII) or int(expires) > longest:
        raise S3Error(S3Code.PRESIGN_MALFORMED, f"X-Amz-Expires must be a number of seconds, at most {longest}")
    return _Claim(match["key"], _scope(match), signed_headers, signature, timedelta(seconds=int(expires)))


def _scope(match: re.Match[str]) -> str:
    return f"{match['date']}/{match['region']}/{match['service']}/aws4_request"


def _time_of(request: Received, claim: _Claim) -> tuple[str, datetime]:
    """When the request was signed: as it was sent, and as a time."""
    timestamp = request.parameter("X-Amz-Date") or request.header("x-amz-date") or request.header("date")
    if not timestamp:
        raise S3Error(S3Code.MISSING_DATE)
    if not _TIMESTAMP.fullmatch(timestamp):
        raise S3Error(S3Code.MALFORMED_DATE)
    try:
        signed_at = datetime.fromisoformat(timestamp)
    except ValueError:
        raise S3Error(S3Code.MALFORMED_DATE) from None
    if not claim.scope.startswith(timestamp[:8]):
        raise S3Error(S3Code.CREDENTIAL_DATE)
    return timestamp, signed_at


def check_time(signed_at: datetime, expires: timedelta | None, now: datetime) -> None:
    """Refuse what was signed too long ago, or is not valid yet; *expires* is ``None`` unless it is presigned.

    Raises:
        S3Error: ``AccessDenied`` for an expired presigned URL or a time in the future, ``RequestTimeTooSkewed``.
    """
    if signed_at - now > CLOCK_SKEW:
        raise S3Error(S3Code.NOT_YET_VALID)
    if now - signed_at > CLOCK_SKEW:
        raise S3Error(S3Code.REQUEST_TIME_TOO_SKEWED)
    if expires is not None and now > signed_at + expires:
        raise S3Error(S3Code.PRESIGN_EXPIRED)


def _canonical_request(request: Received, signed_headers: str) -> bytes:
    query = sorted((_encode(name), _encode(value)) for name, value in request.query if name != "X-Amz-Signature")
    lines = [
        request.method.encode(),
        # Clients differ in what they leave unencoded, but all of them sign the one form in which little is.
        quote(unquote_to_bytes(request.path), safe="/-_.~").encode(),
        "&".join(f"{name}={value}" for name, value in query).encode(),
    ]
    for name in signed_headers.split(";"):
        values = [value for key, value in request.headers if key == name.lower().encode()]
        lines.append(name.encode() + b":" + b",".join(b" ".join(value.split()) for value in values))
    lines += [b"", signed_headers.encode(), (request.header("x-amz-content-sha256") or UNSIGNED).encode("latin-1")]
    return b"\n".join(lines)


def _encode(text: str) -> str:
    return quote(text, safe="-_.~", errors="surrogateescape")


@lru_cache(maxsize=8)
def _signing_key(secret: str, scope: str) -> bytes:
    """What signs all requests of a day: four of the five HMACs that a request would cost."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, message: str) -> bytes:
    return hmac.digest(key, message.encode(), "sha256")
