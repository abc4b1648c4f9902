"""The S3 gateway: verifies a request, finds its operation, and gives every refusal its XML.

A repository is a bucket, ``<ref>/<path>`` is a key, addresses are path style. What is not here is refused as lakeFS
refuses it. Clients differ from each other more than from the documentation: each oddity is explained where it is.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ml_assets.lib.devlake import s3_buckets, s3_multipart, s3_objects, sigv2, sigv4
from ml_assets.lib.devlake.credentials import Credentials
from ml_assets.lib.devlake.errors import (
    BranchNotFound,
    DevlakeError,
    Gone,
    Invalid,
    NotFound,
    PreconditionFailed,
    ProtectedBranch,
    ReadOnlyRepository,
    RepositoryNotFound,
    StorageFull,
    Unsupported,
    UploadNotFound,
    Vanished,
)
from ml_assets.lib.devlake.failures import refusal
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.s3_errors import S3Code, S3Error
from ml_assets.lib.devlake.s3_request import Body, Call, Target
from ml_assets.lib.devlake.s3_xml import XML, document, element, optional, text
from ml_assets.lib.devlake.sigv4 import Received, Signed, parse_query
from ml_assets.lib.devlake.small_files import SMALL

REGION: Final = "us-east-1"

Operation = Callable[[Callable[[], Call]], Awaitable[Response]]
"""Answers the call that it has made for it. Making one asks the lake, mostly in a thread."""


def blocking(handler: Callable[[Call], Response]) -> Operation:
    """An operation without a payload, as a whole in one thread."""

    async def operation(call: Callable[[], Call]) -> Response:
        return await asyncio.to_thread(lambda: handler(call()))

    return operation


async def get_object(call: Callable[[], Call]) -> Response:
    """Give an object: a small one at once, which is cheaper than handing it to a thread."""
    made = call()
    if made.received.query or "~" in made.target.ref:  # there is more to look at than a few rows
        return await asyncio.to_thread(s3_objects.get_object, made)
    entry = s3_objects.find(made)
    if entry.size > SMALL:
        return await asyncio.to_thread(s3_objects.give, made, entry)
    return s3_objects.give(made, entry)


def streaming(handler: Callable[[Call], Awaitable[Response]]) -> Operation:
    """An operation that receives a payload."""

    async def operation(call: Callable[[], Call]) -> Response:
        return await handler(await asyncio.to_thread(call))

    return operation


def _not_found(_call: Call) -> Response:
    return Response(status_code=404)


def _not_supported(_call: Call) -> Response:
    raise S3Error(S3Code.NOT_SUPPORTED)


def _post_object(call: Call) -> Response:
    """There are no forms to be posted."""
    call.refuse("select", "restore")
    call.check_repository()
    return Response(status_code=405)


NOT_FOUND: Final = blocking(_not_found)
BUCKET: Final[Mapping[str, Operation]] = {
    "GET": blocking(s3_buckets.get_bucket),
    "HEAD": blocking(s3_buckets.head_bucket),
    "PUT": blocking(s3_buckets.put_bucket),
    "POST": streaming(s3_buckets.delete_objects),
    "DELETE": blocking(_not_supported),
}
OBJECT: Final[Mapping[str, Operation]] = {
    "GET": get_object,
    "HEAD": blocking(s3_objects.head_object),
    "PUT": streaming(s3_objects.put_object),
    "POST": blocking(_post_object),
    "DELETE": blocking(s3_objects.delete_object),
}
START_UPLOAD: Final = blocking(s3_multipart.start_upload)
UPLOAD: Final[Mapping[str, Operation]] = {
    "GET": blocking(s3_multipart.list_parts),
    "HEAD": blocking(s3_objects.head_object),
    "PUT": streaming(s3_multipart.put_part),
    "POST": streaming(s3_multipart.complete_upload),
    "DELETE": blocking(s3_multipart.abort_upload),
}

_CODES: Final[tuple[tuple[type[DevlakeError], S3Code], ...]] = (
    (RepositoryNotFound, S3Code.NO_SUCH_BUCKET),
    (BranchNotFound, S3Code.NO_SUCH_BUCKET),
    (UploadNotFound, S3Code.NO_SUCH_UPLOAD),
    (NotFound, S3Code.NO_SUCH_KEY),
    (Gone, S3Code.NO_SUCH_VERSION),
    (ProtectedBranch, S3Code.WRITE_TO_PROTECTED_BRANCH),
    (ReadOnlyRepository, S3Code.READ_ONLY_REPOSITORY),
    (PreconditionFailed, S3Code.PRECONDITION_FAILED),
    (Unsupported, S3Code.NOT_IMPLEMENTED),
    (Vanished, S3Code.SERVICE_UNAVAILABLE),
    (StorageFull, S3Code.STORAGE_FULL),
    (Invalid, S3Code.BAD_REQUEST),
)
"""What the lake refuses, as S3 says it: the first that fits."""


class Gateway:
    """The S3 API of a lake, as an ASGI application."""

    def __init__(self, lake: Lake, credentials: Credentials) -> None:
        self._lake = lake
        self._credentials = credentials

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        received = Received(scope["method"], scope["raw_path"], parse_query(scope["query_string"]), scope["headers"])
        try:
            response = await self._answer(received, Request(scope, receive))
        except S3Error as error:
            response = _refusal(error, received)
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - whatever happens, the client gets an answer
            response = _refusal(_translated(refusal(error, f"{received.method} {scope['path']!r}")), received)
        await response(scope, receive, send)

    def _verify(self, received: Received) -> Signed | None:
        if sigv2.is_meant(received):
            sigv2.verify(received, self._credentials.secret_of, now=datetime.now(UTC))
            return None
        return sigv4.verify(received, self._credentials.secret_of, now=datetime.now(UTC))

    async def _answer(self, received: Received, request: Request) -> Response:
        signed = self._verify(received)
        target = Target.of(received.path)
        if not target.repository:
            if received.method == "GET":
                prefix = received.parameter("prefix") or ""
                return await asyncio.to_thread(s3_buckets.list_buckets, self._lake, prefix)
            return Response(status_code=404)

        def call() -> Call:
            try:
                repository = self._lake.repositories.get(target.repository)
            except RepositoryNotFound as error:
                raise _no_repository(received, target) from error
            return Call(self._lake, received, target, Body(received, signed, request.stream()), repository)

        return await _operation(received, target)(call)


def _operation(received: Received, target: Target) -> Operation:
    """What the request asks for."""
    if not target.ref and not target.path:
        return BUCKET.get(received.method, NOT_FOUND)
    if not target.ref or not target.path:
        return NOT_FOUND  # "repo/main" and "repo/main/": PyArrow's folder markers run into this on lakeFS, too
    if received.method == "POST" and received.parameter("uploads") is not None:
        return START_UPLOAD
    table = OBJECT if received.parameter("uploadId") is None else UPLOAD
    return table.get(received.method, NOT_FOUND)


def _no_repository(received: Received, target: Target) -> S3Error:
    """What lakeFS says to those who ask for a repository that is not there."""
    if target.repository == "api":
        return S3Error(S3Code.WRONG_ENDPOINT)
    if received.method == "PUT" and not target.ref:
        return S3Error(S3Code.NOT_IMPLEMENTED, "a repository is made through the API of lakeFS, not through S3")
    return S3Error(S3Code.NO_SUCH_BUCKET)


def _translated(error: DevlakeError) -> S3Error:
    code = next((code for kind, code in _CODES if isinstance(error, kind)), S3Code.INTERNAL_ERROR)
    return S3Error(code, str(error) if code is S3Code.BAD_REQUEST else None)


def _refusal(error: S3Error, received: Received) -> Response:
    """The error as XML."""
    try:
        target = Target.of(received.path)
    except S3Error:
        target = Target("", "", "")
    children = [
        text("Code", error.code.code),
        text("Message", str(error)),
        optional("Key", target.path),
        optional("BucketName", target.repository),
        text("Resource", f"{target.ref}@{target.repository}" if target.ref else target.repository),
        text("Region", REGION),
        text("RequestId", secrets.token_hex(8)),
        text("HostId", secrets.token_hex(8)),
    ]
    return Response(document(element("Error", children)), error.code.status, media_type=XML)
