"""Single objects through S3: read, write, copy, delete."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from email.utils import formatdate
from itertools import chain

from starlette.responses import Response, StreamingResponse

from ml_assets.lib.devlake.errors import DevlakeError, NotFound, ObjectNotFound
from ml_assets.lib.devlake.files import PIECE
from ml_assets.lib.devlake.s3_errors import S3Code, S3Error
from ml_assets.lib.devlake.s3_metadata import metadata_headers, received_metadata
from ml_assets.lib.devlake.s3_request import DEFAULT_TYPE, Call, Target, requested_range
from ml_assets.lib.devlake.s3_xml import XML, copy_result, document, element
from ml_assets.lib.devlake.small_files import SMALL
from ml_assets.lib.devlake.tree import Entry


def get_object(call: Call) -> Response:
    """The bytes of an object, or of a range of it."""
    call.refuse("torrent", "acl", "retention", "legal-hold", "lambdaArn")
    if call.asks_for("versioning"):
        return Response(document(element("VersioningConfiguration", [])), media_type=XML)
    if call.asks_for("tagging"):
        return Response(document(element("Tagging", [element("TagSet", [])], namespace=True)), media_type=XML)
    return give(call, find(call))


def give(call: Call, entry: Entry) -> Response:
    """The bytes of *entry*, or of the range of it that is asked for."""
    span = requested_range(call.header("range"), entry.size)
    status, headers = _head(entry, span)
    start, stop = span or (0, entry.size)
    pieces = call.lake.store.chunks(entry.address, start, stop - start)
    # The first piece before the answer begins: if the bytes are missing, there is still time to say so.
    first = next(pieces, b"") if stop > start else b""
    if stop - start <= PIECE:
        return Response(b"".join(chain([first], pieces)), status, headers)
    return StreamingResponse(chain([first], pieces), status, headers)


def head_object(call: Call) -> Response:
    """What `get_object` says about an object, without its bytes."""
    entry = find(call)
    status, headers = _head(entry, requested_range(call.header("range"), entry.size))
    return Response(status_code=status, headers=headers)


async def put_object(call: Call) -> Response:
    """Write an object, from the body or as a copy of another."""
    source = call.copy_source()
    call.refuse("torrent", "acl")
    if source is not None:
        return await asyncio.to_thread(_copy, call, source)
    call.refuse("tagging")
    if_absent = call.absence_asked()
    if int(call.header("content-length") or SMALL + 1) > SMALL:
        await asyncio.to_thread(_check_write, call, if_absent)
    metadata = received_metadata(call.received)
    kind = call.header("content-type") or DEFAULT_TYPE
    target = call.target
    entry = await call.lake.objects.upload(
        target.repository,
        target.ref,
        target.path,
        call.body.pieces(),
        content_type=lambda: kind,
        metadata=metadata,
        verify=call.body.check,
        if_absent=if_absent,
    )
    return Response(headers={"etag": f'"{entry.etag}"'})


def delete_object(call: Call) -> Response:
    """Remove an object. What is not there is removed already."""
    call.refuse("tagging", "acl", "torrent")
    call.check_repository()
    with suppress(NotFound):  # of the branch, too, as in lakeFS
        call.lake.objects.delete(call.target.repository, call.target.ref, call.target.path)
    return Response(status_code=204)


def _check_write(call: Call, if_absent: bool) -> None:
    """Refuse what would be refused after a large body has been received. Staging asks again, in its transaction."""
    call.check_branch()
    target = call.target
    if if_absent:
        try:
            call.lake.objects.stat(target.repository, target.ref, target.path)
        except ObjectNotFound:
            pass
        else:
            raise S3Error(S3Code.PRECONDITION_FAILED)
    call.lake.objects.check_writable(target.repository, target.ref, target.path)


def _copy(call: Call, source: Target) -> Response:
    call.check_branch()
    replace = call.header("x-amz-metadata-directive") == "REPLACE"
    try:
        entry = call.lake.objects.copy(
            call.target.repository,
            call.target.ref,
            call.target.path,
            source_repository=source.repository,
            source_ref=source.ref,
            source_path=source.path,
            metadata=received_metadata(call.received) if replace else None,
        )
    except NotFound as error:
        raise S3Error(S3Code.NO_SUCH_KEY) from error
    except DevlakeError as error:
        # Also for a protected branch: lakeFS has one answer for whatever is wrong with the destination.
        raise S3Error(S3Code.INVALID_COPY, str(error)) from error
    return Response(copy_result(entry.mtime, entry.etag), media_type=XML)


def find(call: Call) -> Entry:
    """The object that is asked for.

    Raises:
        NotFound: There is none.
    """
    return call.lake.objects.stat(call.target.repository, call.target.ref, call.target.path)


def _head(entry: Entry, span: tuple[int, int] | None) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer that gives *span* of *entry*."""
    start, stop = span or (0, entry.size)
    headers = metadata_headers(entry.metadata) | {
        "accept-ranges": "bytes",
        "content-length": str(stop - start),
        "content-type": _header_safe(entry.content_type),
        "etag": f'"{entry.etag}"',
        "last-modified": formatdate(entry.mtime, usegmt=True),
    }
    if span is None:
        return 200, headers
    return 206, headers | {"content-range": f"bytes {start}-{stop - 1}/{entry.size}"}


def _header_safe(content_type: str) -> str:
    """*content_type*, or none at all where it came in through JSON and cannot be a header."""
    return content_type if re.fullmatch(r"[\t\x20-\x7e\xa0-\xff]*", content_type) else ""
