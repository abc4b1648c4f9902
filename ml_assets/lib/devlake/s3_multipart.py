"""Multipart uploads through S3, with the habits of lakeFS's local block store.

Those habits: the entity tag is computed from the parts that the client lists, without looking at what was uploaded,
while the object is made of all parts that were uploaded, in order of their numbers. A protected branch is found out on
completion. Parts cannot be listed.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from typing import Final

from starlette.responses import Response

from ml_assets.lib.devlake.errors import NotFound, UploadNotFound
from ml_assets.lib.devlake.files import Blob
from ml_assets.lib.devlake.s3_errors import S3Code, S3Error
from ml_assets.lib.devlake.s3_metadata import received_metadata
from ml_assets.lib.devlake.s3_request import DEFAULT_TYPE, Call, Target, requested_range
from ml_assets.lib.devlake.s3_xml import XML, copy_result, document, element, parse, text

_NUMBER: Final = re.compile(r"[+-]?\d{1,9}", re.ASCII)


def start_upload(call: Call) -> Response:
    """Begin an upload."""
    call.check_branch()
    target = call.target
    upload = call.lake.uploads.create(
        target.repository,
        target.ref,
        target.path,
        content_type=call.header("content-type") or DEFAULT_TYPE,
        metadata=received_metadata(call.received),
    )
    children = [text("Bucket", target.repository), text("Key", target.key), text("UploadId", upload)]
    return Response(document(element("InitiateMultipartUploadResult", children)), media_type=XML)


async def put_part(call: Call) -> Response:
    """Add a part, from the body or as a copy of an object or of a range of one."""
    source = call.copy_source()
    await asyncio.to_thread(call.check_branch)
    number = _part_number(call)
    upload = await asyncio.to_thread(_open_upload, call)
    if source is None:
        blob = await call.body.store(call.lake)
    else:
        blob = await asyncio.to_thread(_copied, call, source)
    await asyncio.to_thread(call.lake.uploads.put_part, call.target.repository, upload, number, blob)
    if source is None:
        return Response(headers={"etag": f'"{blob.md5}"'})
    return Response(copy_result(int(time.time()), blob.md5), media_type=XML)


async def complete_upload(call: Call) -> Response:
    """Make the object of the parts."""
    call.check_repository()
    if_absent = call.absence_asked()
    listing = parse(await call.body.document(), "CompleteMultipartUpload")
    tags = [row.get("ETag", "").strip('"') for row in listing.below("Part")]
    target, etag = call.target, _listed_etag(tags)
    upload = await asyncio.to_thread(_open_upload, call)
    await asyncio.to_thread(call.lake.uploads.complete, target.repository, upload, etag=etag, if_absent=if_absent)
    children = [
        text("Location", f"http://{call.header('host')}/{target.repository}/{target.key}"),
        text("Bucket", target.repository),
        text("Key", target.key),
        text("ETag", f'"{etag}-{len(tags)}"'),
    ]
    return Response(document(element("CompleteMultipartUploadResult", children)), media_type=XML)


def abort_upload(call: Call) -> Response:
    """Forget an upload and its parts."""
    call.check_repository()
    try:
        call.lake.uploads.abort(call.target.repository, _open_upload(call))
    except UploadNotFound as error:
        raise S3Error(S3Code.NO_SUCH_KEY) from error
    return Response(status_code=204)


def list_parts(_call: Call) -> Response:
    """Refused."""
    raise S3Error(S3Code.NOT_IMPLEMENTED, "lakeFS lists the parts of an upload only on other block stores")


def _part_number(call: Call) -> int:
    number = call.parameter("partNumber")
    if not _NUMBER.fullmatch(number):
        raise S3Error(S3Code.INVALID_ARGUMENT, "partNumber must be an integer")
    return int(number)


def _open_upload(call: Call) -> str:
    """The id of the upload that the request names, if it is one to this key.

    Raises:
        UploadNotFound: There is none.
    """
    upload = call.parameter("uploadId")
    begun = call.lake.uploads.get(call.target.repository, upload)
    if (begun.branch, begun.path) != (call.target.ref, call.target.path):
        raise UploadNotFound
    return upload


def _listed_etag(tags: list[str]) -> str:
    """The entity tag of an object whose parts have these: the MD5 of their MD5s. What is no MD5 does not count."""
    digests = b"".join(bytes.fromhex(tag) for tag in tags if re.fullmatch("[0-9a-fA-F]{32}", tag))
    return hashlib.md5(digests, usedforsecurity=False).hexdigest()


def _copied(call: Call, source: Target) -> Blob:
    """The bytes of *source* as a blob of their own, with an MD5 of their own."""
    try:
        entry = call.lake.objects.stat(source.repository, source.ref, source.path)
    except NotFound as error:
        raise S3Error(S3Code.INVALID_ARGUMENT, "there is no such copy source") from error
    try:
        span = requested_range(call.header("x-amz-copy-source-range"), entry.size)
    except S3Error:
        span = None  # lakeFS copies the whole object then
    start, stop = span or (0, entry.size)
    with call.lake.store.files.writer() as writer:
        for piece in call.lake.store.chunks(entry.address, start, stop - start):
            writer.write(piece)
        return writer.finish()
