"""One port: tells the S3 API from the REST API, and lets nobody in without the key.

A request that carries a signature of AWS goes to the gateway, which verifies it. Everything else is REST, with Basic
authentication or a token from ``POST /auth/login``, or one of two pages for people (`web`). As in lakeFS, an API call
that does not exist is 404 even to strangers.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_assets.lib.devlake import web
from ml_assets.lib.devlake.credentials import Credentials
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.rest import json_error, rest_app, rest_route
from ml_assets.lib.devlake.s3 import Gateway
from ml_assets.lib.devlake.sigv4 import parse_query

USER: Final = "ml-assets"
"""The only user: the committer of every commit."""

TOKEN_LIFE_S: Final = 7 * 24 * 3600
LONGEST_LOGIN: Final = 65536
"""Bytes of the body of a login."""

_PRESIGNED: Final = frozenset({"X-Amz-Algorithm", "X-Amz-Credential", "AWSAccessKeyId"})
_API: Final = b"/api/v1/"
_LOGIN: Final = b"/api/v1/auth/login"


class App:
    """A lake on one port, as an ASGI application; and *others* beside it, by path, who let in whom they like."""

    def __init__(self, lake: Lake, credentials: Credentials, others: Mapping[str, ASGIApp] | None = None) -> None:
        self._others = others or {}
        self._credentials = credentials
        self._gateway: ASGIApp = Gateway(lake, credentials)
        self._rest: ASGIApp = rest_app(lake)
        self._web: ASGIApp = web.Web(lake)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        receive, send = _closing_unread(scope, receive, send)
        try:
            await self._choose(scope)(scope, receive, send)
        except ClientDisconnect:
            return  # there is nobody to answer, and what was half received has been dropped

    def _choose(self, scope: Scope) -> ASGIApp:
        headers, path = Headers(scope=scope), scope["raw_path"]
        if _is_signed_for_s3(headers, scope["query_string"]):
            return self._gateway
        if not path.startswith(_API):
            return self._choose_beside_the_api(scope["path"], headers)
        scope["devlake.route"] = route = rest_route(scope["method"], path)
        if route is None or path == _LOGIN:
            return self._login if route else self._rest
        if not route.public and not self._is_known(headers.get("authorization", "")):
            return json_error(401, "error authenticating request")
        scope["devlake.user"] = USER
        return self._rest

    def _choose_beside_the_api(self, path: str, headers: Headers) -> ASGIApp:
        if path in self._others:
            return self._others[path]
        if web.is_page(path):
            return self._web if self._is_known(headers.get("authorization", "")) else web.unauthorized()
        # No JSON: `lakectl doctor` takes that for an answer of the API, and does not say that the URL is wrong.
        return PlainTextResponse(
            "this is the API of a lake at /api/v1 and its S3 gateway, with pages for commits and objects only", 404
        )

    def _is_known(self, authorization: str) -> bool:
        kind, _, value = authorization.partition(" ")
        if kind.lower() == "basic":
            try:
                key, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
            except ValueError:
                return False
            return self._credentials.match(key, secret)
        return kind.lower() == "bearer" and self._is_token(value)

    async def _login(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give a token for the key and its secret."""
        try:
            body = json.loads(await _short_body(Request(scope, receive)))
            key, secret = body["access_key_id"], body["secret_access_key"]
        except (ValueError, KeyError, TypeError):
            key = secret = None
        response: Response
        if not isinstance(key, str) or not isinstance(secret, str):
            response = json_error(400, "request body has an error: access_key_id and secret_access_key must be strings")
        elif self._credentials.match(key, secret):
            expires = int(time.time()) + TOKEN_LIFE_S
            response = JSONResponse({"token": self._token(expires), "token_expiration": expires})
        else:
            response = json_error(401, "error authenticating request")
        await response(scope, receive, send)

    def _token(self, expires: int) -> str:
        """A JSON web token. Made from the secret and nothing else, it holds across restarts of the server."""
        header, claims = {"alg": "HS256", "typ": "JWT"}, {"sub": USER, "exp": expires}
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        return f"{signed}.{self._token_signature(signed)}"

    def _is_token(self, token: str) -> bool:
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(self._token_signature(signed).encode(), signature.encode()):
            return False
        claims = signed.partition(".")[2]
        expires = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]
        return bool(time.time() < expires)

    def _token_signature(self, signed: str) -> str:
        secret = self._credentials.secret_access_key.get_secret_value()
        # A key of its own: what a token is signed with must not sign anything else.
        key = hashlib.sha256(f"token\0{secret}".encode()).digest()
        return _base64url(hmac.digest(key, signed.encode(), "sha256"))


def _is_signed_for_s3(headers: Headers, query: bytes) -> bool:
    if headers.get("authorization", "").startswith(("AWS4", "AWS ")):
        return True
    return any(name in _PRESIGNED for name, _ in parse_query(query))


async def _short_body(request: Request) -> bytes:
    """The body, up to where it is longer than a login can be: it is read before anybody is known."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LONGEST_LOGIN:
            break
    return bytes(body[:LONGEST_LOGIN])


def _closing_unread(scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Close the connection after an answer to a client that still waits to be asked for its body.

    Whether it sends the body then is its own choice (``Expect: 100-continue``): on a connection that stays open, its
    next request could be taken for that body.
    """
    if Headers(scope=scope).get("expect", "").lower() != "100-continue":
        return receive, send
    asked = False

    async def asking() -> Message:
        nonlocal asked
        asked = True
        return await receive()

    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start" and not asked:
            message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
        await send(message)

    return asking, closing


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
