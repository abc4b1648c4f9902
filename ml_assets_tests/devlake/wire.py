"""A client that sends exactly what a test says: REST with the key, S3 signed in each of the ways that clients sign."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit

from ml_assets.lib.devlake.server import Endpoint

Mode = Literal["hash", "unsigned", "chunked", "trailer", "presign"]
Pairs = Mapping[str, str] | Iterable[tuple[str, str]]

EMPTY: Final = hashlib.sha256().hexdigest()
CHUNK: Final = 65536


@dataclass(frozen=True)
class Answer:
    """What came back. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an S3 error, or ``""``."""
        _, found, rest = self.body.decode(errors="replace").partition("<Code>")
        return rest.partition("</Code>")[0] if found else ""


class Wire:
    """One connection to a lake."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.host = urlsplit(endpoint.url).netloc
        self.key, self.secret = endpoint.access_key_id, endpoint.secret_access_key.get_secret_value()
        self._connection = http.client.HTTPConnection(self.host, timeout=60)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def send(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Exactly this request. A closed connection is opened again, but no request is sent twice."""
        sent = {name: value.encode() for name, value in (headers or {}).items()}
        if body or method in ("POST", "PUT"):
            sent.setdefault("Content-Length", str(len(body)).encode())
        self._connection.putrequest(method, target, skip_host="host" in sent, skip_accept_encoding=True)
        for name, value in sent.items():
            self._connection.putheader(name, value)
        self._connection.endheaders(body or None)
        response = self._connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def rest(
        self,
        method: str,
        path: str,
        *,
        query: Pairs = (),
        json_body: object = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        anonymous: bool = False,
    ) -> Answer:
        """A call of the REST API; *path* is below ``/api/v1`` and encoded already."""
        sent = dict(headers or {})
        if not anonymous:
            pair = base64.b64encode(f"{self.key}:{self.secret}".encode()).decode()
            sent.setdefault("Authorization", f"Basic {pair}")
        if json_body is not None:
            body = json.dumps(json_body).encode()
            sent.setdefault("Content-Type", "application/json")
        return self.send(method, f"/api/v1{path}{_question_mark(query)}", body, sent)

    def s3(
        self,
        method: str,
        path: str,
        *,
        query: Pairs = (),
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        mode: Mode = "hash",
        skew: int = 0,
        corrupt: bool = False,
        key: str | None = None,
    ) -> Answer:
        """A call of the S3 API.

        Args:
            path: Not encoded yet.
            mode: What is signed of the payload, or ``presign`` for a signature in the query.
            skew: Seconds by which the clock of the client is ahead.
            corrupt: Send a wrong signature.
            key: Another access key id.
        """
        now = datetime.now(UTC) + timedelta(seconds=skew)
        signer = _Signer(key or self.key, self.secret, now.strftime("%Y%m%dT%H%M%SZ"))
        target, pairs = quote(path, safe="/-_.~"), dict(query)
        sent = {"host": self.host} | {name.lower(): value for name, value in (headers or {}).items()}
        if mode == "presign":
            pairs = signer.presigned(method, target, pairs, self.host)
            return self.send(method, target + _question_mark(pairs), body, sent)
        payload = _payload_hash(mode, body)
        sent |= {"x-amz-content-sha256": payload, "x-amz-date": signer.time}
        if mode in ("chunked", "trailer"):
            sent |= {"x-amz-decoded-content-length": str(len(body)), "content-encoding": "aws-chunked"}
        if mode == "trailer":
            sent["x-amz-trailer"] = "x-amz-checksum-crc32"
        signature = signer.sign_request(method, target, pairs, sent, payload)
        sent["authorization"] = signer.authorization(sent, "0" * 64 if corrupt else signature)
        if mode == "chunked":
            body = signer.chunked(body, signature)
        if mode == "trailer":
            body = _with_trailer(body)
        return self.send(method, target + _question_mark(pairs), body, sent)


@dataclass(frozen=True)
class _Signer:
    """Signature version 4, written a second time, so that client and server do not share a mistake."""

    key: str
    secret: str
    time: str

    @property
    def scope(self) -> str:
        return f"{self.time[:8]}/us-east-1/s3/aws4_request"

    def presigned(self, method: str, target: str, query: Mapping[str, str], host: str) -> dict[str, str]:
        signed = {
            **query,
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self.key}/{self.scope}",
            "X-Amz-Date": self.time,
            "X-Amz-Expires": "600",
            "X-Amz-SignedHeaders": "host",
        }
        signature = self.sign_request(method, target, signed, {"host": host}, "UNSIGNED-PAYLOAD")
        return {**signed, "X-Amz-Signature": signature}

    def sign(self, text: str) -> str:
        key = b"AWS4" + self.secret.encode()
        for part in (*self.scope.split("/"), text):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key.hex()

    def sign_request(
        self, method: str, target: str, query: Mapping[str, str], headers: Mapping[str, str], payload: str
    ) -> str:
        names = sorted(headers)
        lines = [method, target, _encoded(sorted(query.items()))]
        lines += [f"{name}:{' '.join(headers[name].split())}" for name in names]
        canonical = "\n".join([*lines, "", ";".join(names), payload])
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        return self.sign(f"AWS4-HMAC-SHA256\n{self.time}\n{self.scope}\n{digest}")

    def authorization(self, headers: Iterable[str], signature: str) -> str:
        names = ";".join(sorted(headers))
        return f"AWS4-HMAC-SHA256 Credential={self.key}/{self.scope}, SignedHeaders={names}, Signature={signature}"

    def chunked(self, body: bytes, previous: str) -> bytes:
        encoded = b""
        for start in [*range(0, len(body), CHUNK), len(body)]:
            chunk = body[start : start + CHUNK]
            digest = hashlib.sha256(chunk).hexdigest()
            previous = self.sign(f"AWS4-HMAC-SHA256-PAYLOAD\n{self.time}\n{self.scope}\n{previous}\n{EMPTY}\n{digest}")
            encoded += f"{len(chunk):x};chunk-signature={previous}\r\n".encode() + chunk + b"\r\n"
        return encoded


def _payload_hash(mode: Mode, body: bytes) -> str:
    if mode == "hash":
        return hashlib.sha256(body).hexdigest()
    streaming = {"chunked": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "trailer": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}
    return streaming.get(mode, "UNSIGNED-PAYLOAD")


def _with_trailer(body: bytes) -> bytes:
    chunks = (body[start : start + CHUNK] for start in range(0, len(body), CHUNK))
    encoded = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big"))
    return encoded + b"0\r\nx-amz-checksum-crc32:" + crc + b"\r\n\r\n"


def _encoded(pairs: Pairs) -> str:
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in items)


def _question_mark(pairs: Pairs) -> str:
    encoded = _encoded(pairs)
    return f"?{encoded}" if encoded else ""
