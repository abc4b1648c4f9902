"""REST calls about objects."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from email.utils import formatdate
from typing import Final

from starlette.responses import Response, StreamingResponse

from ml_assets.lib.devlake.call import (
    Call,
    is_flag,
    is_integer,
    is_metadata,
    is_text,
    is_texts,
    is_time,
    matches,
)
from ml_assets.lib.devlake.errors import DevlakeError, Forbidden, Invalid, InvalidPath, NotFound, Unsupported
from ml_assets.lib.devlake.files import PIECE
from ml_assets.lib.devlake.form import FormPart
from ml_assets.lib.devlake.objects import MAX_DELETED
from ml_assets.lib.devlake.page import CommonPrefix
from ml_assets.lib.devlake.ranges import BadRange, ByteRange, UnsatisfiableRange, parse_range
from ml_assets.lib.devlake.replies import (
    json_error,
    physical_address,
    prefix_json,
    reply,
    reply_page,
    stats_json,
    store_address,
)
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.routes import Route
from ml_assets.lib.devlake.small_files import SMALL
from ml_assets.lib.devlake.tree import Entry

DEFAULT_TYPE: Final = "application/octet-stream"
METADATA_HEADERS: Final = {"x-lakefs-meta-": "", "x-lakefs-internal-": "::lakefs::"}
"""Which headers are user metadata, and what stands before their keys: the second is what ``lakectl local`` notes."""

_RANGE: Final = re.compile(r"bytes=(?:\d*+-\d*+,?+ ?+)++", re.ASCII)
_COPY: Final = {"src_path": is_text, "src_ref": is_text, "shallow": is_flag, "force": is_flag}
_VISIBLE: Final = matches(r"[ -~]*")  # it comes back in a header
_LINK: Final = {
    "physical_address": is_text,
    "checksum": _VISIBLE,
    "size_bytes": is_integer,
    "mtime": is_time,
    "metadata": is_metadata,
    "content_type": _VISIBLE,
    "force": is_flag,
}


async def _upload(lake: Lake, call: Call) -> Response:
    repository, branch, path = call.argument("repository"), call.argument("branch"), call.required("path")
    force = call.flag("force")
    if call.headers.get("if-match") or call.headers.get("if-none-match", "") not in {"", "*"}:
        raise Unsupported("Not Implemented")
    if int(call.headers.get("content-length", SMALL + 1)) > SMALL:  # refuse it before it is sent
        await asyncio.to_thread(lake.objects.check_writable, repository, branch, path, force=force)
    declared = call.headers.get("content-type") or DEFAULT_TYPE
    form = FormPart(declared, "content") if _is_form(declared) else None

    def content_type() -> str:
        return declared if form is None else form.content_type

    entry = await lake.objects.upload(
        repository,
        branch,
        path,
        call.chunks() if form is None else form.chunks(call.chunks()),
        content_type=lambda: content_type() or DEFAULT_TYPE,
        metadata=_user_metadata(call.headers),
        if_absent=bool(call.headers.get("if-none-match")),
        force=force,
    )
    namespace = lake.repositories.get(repository).storage_namespace  # a point read: cheaper than a thread
    return reply(201, stats_json(entry._replace(content_type=content_type()), namespace, entry.metadata))


def _is_form(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


def _read(lake: Lake, call: Call) -> Response:
    _check_range(call)
    entry = _entry(lake, call)
    etag = f'"{entry.etag}"'
    if call.headers.get("if-none-match") == etag:
        return Response(status_code=304)
    _refuse_presign(call)
    headers = _headers(entry)
    headers["Content-Disposition"] = "attachment"
    try:
        part = _part(call, entry)
    except (BadRange, UnsatisfiableRange) as error:
        refusal = json_error(416, "Requested Range Not Satisfiable")
        refusal.headers["ETag"] = etag
        if isinstance(error, UnsatisfiableRange):
            refusal.headers["Content-Range"] = f"bytes */{entry.size}"
        return refusal
    status = 200
    if part is not None:
        status = 206
        headers["Content-Range"] = part.header(entry.size)
    start, length = part or ByteRange(0, entry.size)
    if length <= PIECE:
        return Response(lake.store.read(entry.address, start, length), status, headers)
    headers["Content-Length"] = str(length)
    chunks = lake.store.chunks(entry.address, start, length)
    first = next(chunks)  # missing bytes are an error of this answer, not of its middle
    return StreamingResponse(_threaded(first, chunks), status, headers)


def _head(lake: Lake, call: Call) -> Response:
    _check_range(call)
    entry = _entry(lake, call)
    headers = _headers(entry)
    try:
        part = _part(call, entry)
    except (BadRange, UnsatisfiableRange):
        return Response(status_code=416, headers=headers)
    if part is None:
        return Response(status_code=200, headers={**headers, "Content-Length": str(entry.size)})
    headers["Content-Range"] = part.header(entry.size)
    return Response(status_code=206, headers={**headers, "Content-Length": str(part.length)})


def _stat(lake: Lake, call: Call) -> Response:
    wanted = call.flag("user_metadata", default=True)
    entry = _entry(lake, call)
    _refuse_presign(call)
    namespace = lake.repositories.get(call.argument("repository")).storage_namespace
    return reply(200, stats_json(entry, namespace, entry.metadata if wanted else {}))


def _list(lake: Lake, call: Call) -> Response:
    repository = call.argument("repository")
    wanted = call.flag("user_metadata", default=True)
    _refuse_presign(call)
    page = lake.objects.list(repository, call.argument("ref"), call.window())
    namespace = lake.repositories.get(repository).storage_namespace

    def describe(item: Entry | CommonPrefix) -> dict[str, object]:
        if isinstance(item, CommonPrefix):
            return prefix_json(item.path)
        return stats_json(item, namespace, item.metadata if wanted and item.metadata_json != "{}" else None)

    return reply_page(page, describe, lambda item: item[0])


def _delete(lake: Lake, call: Call) -> Response:
    call.flag("no_tombstone")
    path = call.required("path")
    lake.objects.delete(call.argument("repository"), call.argument("branch"), path, force=call.flag("force"))
    return reply(204)


def _delete_many(lake: Lake, call: Call) -> Response:
    paths = call.body({"paths": is_texts}, "paths")["paths"]
    if len(paths) > MAX_DELETED:
        raise Invalid(f"request size exceeded, max paths is set to {MAX_DELETED}")
    force = call.flag("force")
    try:
        lake.objects.delete_many(call.argument("repository"), call.argument("branch"), paths, force=force)
    except (NotFound, Forbidden, Invalid) as refusal:
        return reply(200, {"errors": _delete_errors(refusal, paths)})
    return reply(200, {"errors": []})


def _delete_errors(refusal: DevlakeError, paths: list[str]) -> list[dict[str, object]]:
    """One error per path, except where lakeFS reports none: nothing there to delete, or an empty path (for Spark)."""
    if isinstance(refusal, NotFound) or (isinstance(refusal, InvalidPath) and "" in paths):
        return []
    status = refusal.status if isinstance(refusal, Forbidden) else 500
    return [{"path": path, "status_code": status, "message": str(refusal)} for path in paths]


def _copy(lake: Lake, call: Call) -> Response:
    path = call.required("dest_path")
    body = call.body(_COPY, "src_path")
    if body.get("shallow"):
        raise Unsupported("Not Implemented")
    repository, branch = call.argument("repository"), call.argument("branch")
    entry = lake.objects.copy(
        repository,
        branch,
        path,
        source_ref=body.get("src_ref") or branch,
        source_path=body["src_path"],
        force=body.get("force", False),
    )
    return reply(201, stats_json(entry, lake.repositories.get(repository).storage_namespace, entry.metadata))


def _link(lake: Lake, call: Call) -> Response:
    path = call.required("path")
    body = call.body(_LINK, "physical_address", "checksum", "size_bytes")
    repository = call.argument("repository")
    namespace = lake.repositories.get(repository).storage_namespace
    address = store_address(namespace, body["physical_address"])
    if address is None:
        raise Invalid("physical address is not valid: this server links only what is stored in the repository")
    entry = lake.objects.link(
        repository,
        call.argument("branch"),
        path,
        address,
        size=int(body["size_bytes"]),
        etag=body["checksum"],
        mtime=int(body["mtime"]) if "mtime" in body else None,
        content_type=body.get("content_type") or DEFAULT_TYPE,
        metadata=body.get("metadata", {}),
        force=body.get("force", False),
    )
    return reply(201, stats_json(entry, namespace, entry.metadata))


def _set_metadata(lake: Lake, call: Call) -> Response:
    path = call.required("path")
    body = call.body({"set": is_metadata}, "set")
    lake.objects.set_metadata(call.argument("repository"), call.argument("branch"), path, body["set"])
    return reply(204)


def _underlying(lake: Lake, call: Call) -> Response:
    _entry(lake, call)
    return reply(200, {"storage_class": None})


def _new_address(lake: Lake, call: Call) -> Response:
    call.required("path")
    namespace = lake.repositories.get(call.argument("repository")).storage_namespace
    _refuse_presign(call)
    return reply(200, {"physical_address": physical_address(namespace, "staged"), "presigned_url": None})


def _stage_allowed(_lake: Lake, call: Call) -> Response:
    call.required("path")
    return reply(204)


def _entry(lake: Lake, call: Call) -> Entry:
    return lake.objects.stat(call.argument("repository"), call.argument("ref"), call.required("path"))


def _headers(entry: Entry) -> dict[str, str]:
    return {
        "ETag": f'"{entry.etag}"',
        "Last-Modified": formatdate(entry.mtime, usegmt=True),
        "Accept-Ranges": "bytes",
        "Content-Type": entry.content_type.encode().decode("latin-1"),  # headers are bytes: those the client sent
        "Cache-Control": "no-store, must-revalidate",
        "Expires": "0",
        "X-Content-Type-Options": "nosniff",
    }


def _check_range(call: Call) -> None:
    header = call.headers.get("range")
    if header is not None and not _RANGE.fullmatch(header):
        raise Invalid('parameter "Range" in header has an error: string doesn\'t match the regular expression')


def _part(call: Call, entry: Entry) -> ByteRange | None:
    header = call.headers.get("range")
    return None if header is None else parse_range(header, entry.size)


def _refuse_presign(call: Call) -> None:
    if call.flag("presign"):
        raise Invalid("local adapter presigned URL: operation not supported")


def _user_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        prefix + name.removeprefix(header): headers[name]
        for header, prefix in METADATA_HEADERS.items()
        for name in headers
        if name.startswith(header)
    }


async def _threaded(first: bytes, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """*first* and *chunks*, of which the next is read while one is sent."""
    chunk: bytes | None = first
    while chunk is not None:
        following = asyncio.ensure_future(asyncio.to_thread(next, chunks, None))
        yield chunk
        chunk = await following


_REPOSITORY: Final = "/repositories/{repository}"
_OF_REF: Final = f"{_REPOSITORY}/refs/{{ref}}/objects"
_OF_BRANCH: Final = f"{_REPOSITORY}/branches/{{branch}}/objects"

ROUTES: Final = (
    Route("GET", _OF_REF, _read),
    Route("HEAD", _OF_REF, _head),
    Route("GET", f"{_OF_REF}/stat", _stat, quick=True),
    Route("GET", f"{_OF_REF}/ls", _list),
    Route("GET", f"{_OF_REF}/underlyingProperties", _underlying),
    Route("POST", _OF_BRANCH, stream=_upload),
    Route("PUT", _OF_BRANCH, _link),
    Route("DELETE", _OF_BRANCH, _delete),
    Route("POST", f"{_OF_BRANCH}/delete", _delete_many),
    Route("POST", f"{_OF_BRANCH}/copy", _copy),
    Route("PUT", f"{_OF_BRANCH}/stat/user_metadata", _set_metadata),
    Route("GET", f"{_OF_BRANCH}/stage_allowed", _stage_allowed),
    Route("GET", f"{_REPOSITORY}/branches/{{branch}}/staging/backing", _new_address),
)
