"""AWS Signature Version 2 in the ``Authorization`` header: who signed a request. Old S3 clients still sign so.

Pure, as `sigv4` is. It signs less than version 4: no body, and of the query and the headers only what S3 acts upon.

Source: "Signing and authenticating REST requests" in the appendix of the Amazon S3 developer guide.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from ml_assets.lib.devlake.s3_errors import S3Code, S3Error
from ml_assets.lib.devlake.sigv4 import Received, check_time

SCHEME: Final = "AWS "
"""How the header begins."""

_AUTHORIZATION: Final = re.compile(r"AWS (?P<key>[^:\s]+):(?P<signature>[A-Za-z0-9+/=]+)")
_ANSWERED: Final = ("cache-control", "content-disposition", "content-encoding", "content-language", "content-type")
_SIGNED_PARAMETERS: Final = frozenset(
    [
        *("accelerate", "acl", "analytics", "cors", "defaultObjectAcl", "delete", "inventory", "lifecycle", "location"),
        *("logging", "metrics", "notification", "object-lock", "partNumber", "policy", "replication", "requestPayment"),
        *("restore", "select", "select-type", "storageClass", "tagging", "torrent", "uploadId", "uploads", "versionId"),
        *("versioning", "versions", "website", "response-expires", *(f"response-{header}" for header in _ANSWERED)),
    ]
)


def is_meant(request: Received) -> bool:
    """Whether *request* says that it is signed so."""
    return request.header("authorization").startswith(SCHEME)


def verify(request: Received, secret_of: Callable[[str], str | None], *, now: datetime) -> None:
    """Return only if *request* was signed with the secret of the key it names, and lately.

    Args:
        request: What arrived.
        secret_of: The secret of an access key id, ``None`` if there is no such key.
        now: The present time, with a time zone.

    Raises:
        S3Error: ``MissingFields`` for a malformed signature or no time, ``AccessDenied`` for an unknown key or a time
            in the future, ``SignatureDoesNotMatch``, ``RequestTimeTooSkewed``.
    """
    match = _AUTHORIZATION.fullmatch(request.header("authorization").strip())
    if match is None:
        raise S3Error(S3Code.MISSING_FIELDS)
    try:
        signature = base64.b64decode(match["signature"], validate=True)
    except binascii.Error:
        raise S3Error(S3Code.MISSING_FIELDS) from None
    secret = secret_of(match["key"])
    if secret is None:
        raise S3Error(S3Code.ACCESS_DENIED)
    signed_at = _time_of(request)
    # boto3 asks for a bucket without its slash, and signs it with one.
    paths = [request.path] if request.path.count(b"/") > 1 else [request.path, request.path + b"/"]
    digests = [hmac.digest(secret.encode(), _to_sign(request, path), "sha1") for path in paths]
    if not any(hmac.compare_digest(digest, signature) for digest in digests):
        raise S3Error(S3Code.SIGNATURE_DOES_NOT_MATCH)
    check_time(signed_at, None, now)


def _time_of(request: Received) -> datetime:
    sent = request.header("x-amz-date") or request.header("date")
    if not sent:
        raise S3Error(S3Code.MISSING_FIELDS)
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(sent)
        except (ValueError, OverflowError):
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    raise S3Error(S3Code.MALFORMED_DATE)


def _to_sign(request: Received, path: bytes) -> bytes:
    amazon = sorted({name for name, _ in request.headers if name.startswith(b"x-amz-")})
    date = b"" if b"x-amz-date" in amazon else _values(request, b"date")
    lines = [request.method.encode(), _values(request, b"content-md5"), _values(request, b"content-type"), date]
    lines += [name + b":" + _values(request, name) for name in amazon]
    return b"\n".join([*lines, path + _signed_query(request)])


def _values(request: Received, name: bytes) -> bytes:
    return b",".join(value.strip() for key, value in request.headers if key == name)


def _signed_query(request: Received) -> bytes:
    """The parameters that name a part of the resource or change the answer, with their values as they are meant."""
    named = sorted((name, value) for name, value in request.query if name in _SIGNED_PARAMETERS)
    text = "&".join(f"{name}={value}" if value else name for name, value in named)
    return f"?{text}".encode(errors="surrogateescape") if named else b""
