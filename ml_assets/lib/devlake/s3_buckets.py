"""Buckets through S3, which are repositories: listing them, listing what is in one, deleting many objects at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from starlette.responses import Response

from ml_assets.lib.devlake.errors import DevlakeError, InvalidPath, NotFound, ProtectedBranch
from ml_assets.lib.devlake.page import CommonPrefix, Window
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.s3_errors import S3Code, S3Error
from ml_assets.lib.devlake.s3_request import Call
from ml_assets.lib.devlake.s3_xml import XML, document, element, optional, parse, text, timestamp
from ml_assets.lib.devlake.tree import Entry

MAX_KEYS: Final = 1000

_UNSUPPORTED: Final = (
    *("accelerate", "acl", "analytics", "cors", "encryption", "intelligent-tiering", "lifecycle", "logging", "metrics"),
    *("object-lock", "ownershipControls", "policy", "publicAccessBlock", "replication", "requestPayment", "tagging"),
    "website",
)
_UNSUPPORTED_GET: Final = (*_UNSUPPORTED, "events", "inventory", "notification", "policyStatus", "versions")
_UNSUPPORTED_PUT: Final = (*_UNSUPPORTED, "versioning")


def list_buckets(lake: Lake, prefix: str) -> Response:
    """All repositories whose names start with *prefix*."""
    buckets, after, more = [], "", True
    while more:
        repositories, more = lake.repositories.list(prefix=prefix, after=after, amount=MAX_KEYS)
        for repository in repositories:
            created = text("CreationDate", timestamp(repository.created))
            buckets.append(element("Bucket", [created, text("Name", repository.name)]))
            after = repository.name
    owner = element("Owner", [text("DisplayName", ""), text("ID", "")])
    return _xml(element("ListAllMyBucketsResult", [element("Buckets", buckets), owner]))


def head_bucket(call: Call) -> Response:
    """That the repository exists."""
    call.refuse("acl")
    return Response(media_type=XML)


def put_bucket(call: Call) -> Response:
    """That the repository exists: the gateway makes none, it would not know where to store it."""
    call.refuse(*_UNSUPPORTED_PUT)
    raise S3Error(S3Code.BUCKET_ALREADY_EXISTS)


def get_bucket(call: Call) -> Response:
    """A listing, or one of the few sub-resources that lakeFS has."""
    call.refuse(*_UNSUPPORTED_GET)
    if call.asks_for("location"):
        return _xml(element("LocationConstraint", [], namespace=True))
    if call.asks_for("uploads"):
        raise S3Error(S3Code.NOT_IMPLEMENTED)
    if call.asks_for("versioning"):
        return _xml(element("VersioningConfiguration", [], namespace=True))
    version = call.parameter("list-type")
    if version not in ("", "1", "2"):
        raise S3Error(S3Code.BAD_REQUEST)
    return _list_objects_v2(call) if version == "2" else _list_objects_v1(call)


async def delete_objects(call: Call) -> Response:
    """Remove many objects, each batch of one branch in one transaction."""
    if not call.asks_for("delete"):
        raise S3Error(S3Code.NOT_SUPPORTED)
    call.check_repository()
    request = parse(await call.body.document(), "Delete", malformed=S3Code.BAD_REQUEST)
    keys = [row.get("Key", "") for row in request.below("Object")]
    if not 0 < len(keys) <= MAX_KEYS:
        raise S3Error(S3Code.MALFORMED_XML)
    refused = await asyncio.to_thread(_delete, call, keys)
    quiet = request.fields.get("Quiet") == "true"
    children = [element("Deleted", [text("Key", key)]) for key in keys if key not in refused and not quiet]
    children += [
        element("Error", [text("Code", code.code), text("Key", key), text("Message", f"error deleting object: {why}")])
        for key, (code, why) in refused.items()
    ]
    return _xml(element("DeleteResult", children, namespace=True))


class _Key(NamedTuple):
    """A key, prefix or marker: ref and path. ``path`` is ``None`` without a slash: it is about refs then."""

    ref: str
    path: str | None

    @classmethod
    def of(cls, key: str) -> Self:
        """Its parts.

        Raises:
            S3Error: It has no ref.
        """
        match = re.fullmatch("/?(?P<ref>[^/]+)(?:/(?P<path>.*))?", key, re.DOTALL)
        if match is None and key:
            raise S3Error(S3Code.BAD_REQUEST)
        return cls(match["ref"], match["path"]) if match else cls("", None)


@dataclass(frozen=True, slots=True)
class _Listing:
    """What a listing found: of branches, if ``ref`` is ``None``, else of objects of that ref."""

    ref: str | None
    items: Sequence[Entry | CommonPrefix]
    more: bool

    @property
    def last(self) -> str:
        """Where the next page begins."""
        last = self.items[-1][0] if self.items else ""
        return last if self.ref is None else f"{self.ref}/{last}"

    def prefixes(self) -> Iterator[str]:
        """The ``CommonPrefixes``."""
        ref = "" if self.ref is None else f"{self.ref}/"
        for item in self.items:
            if isinstance(item, CommonPrefix):
                yield element("CommonPrefixes", [text("Prefix", ref + item.path + ("" if ref else "/"))])

    def contents(self) -> Iterator[str]:
        """The ``Contents``."""
        for item in self.items:
            if isinstance(item, Entry):
                children = [
                    text("Key", f"{self.ref}/{item.key}"),
                    text("LastModified", timestamp(item.mtime)),
                    text("ETag", f'"{item.etag}"'),
                    text("Size", item.size),
                    text("StorageClass", "STANDARD"),
                ]
                yield element("Contents", children)


def _list_objects_v2(call: Call) -> Response:
    token = call.parameter("continuation-token")
    try:
        listing = _listing(call, token or call.parameter("start-after"))
    except DevlakeError as error:
        raise S3Error(S3Code.BAD_REQUEST) from error
    children = [
        *_common_fields(call, listing),
        text("KeyCount", len(listing.items)),
        text("MaxKeys", _max_keys(call)),
        *listing.prefixes(),
        optional("NextContinuationToken", listing.last if listing.more else ""),
        optional("ContinuationToken", token),
        *listing.contents(),
    ]
    return _xml(element("ListBucketResult", children))


def _list_objects_v1(call: Call) -> Response:
    marker = call.parameter("marker")
    try:
        listing = _listing(call, marker)
    except NotFound:
        listing = _Listing(_Key.of(call.parameter("prefix")).ref, [], more=False)
    except DevlakeError as error:
        raise S3Error(S3Code.BAD_REQUEST) from error
    # The next marker is only given with a delimiter: without one, the last key is the next marker.
    next_marker = listing.last if listing.more and call.parameter("delimiter") else ""
    children = [
        *_common_fields(call, listing),
        text("KeyCount", 0 if listing.ref is None else len(listing.items)),
        text("MaxKeys", _max_keys(call)),
        *listing.prefixes(),
        text("Marker", marker),
        optional("NextMarker", next_marker),
        *listing.contents(),
    ]
    return _xml(element("ListBucketResult", children))


def _common_fields(call: Call, listing: _Listing) -> list[str]:
    return [
        text("Name", call.repository.name),
        text("IsTruncated", listing.more),
        text("Prefix", call.parameter("prefix")),
        optional("Delimiter", call.parameter("delimiter")),
    ]


def _listing(call: Call, start: str) -> _Listing:
    """What comes after the key *start*: branches for a prefix without a slash, else objects."""
    prefix, amount = _Key.of(call.parameter("prefix")), _max_keys(call)
    # A page of none asks only whether there is anything.
    asked = amount if 0 < amount <= MAX_KEYS else MAX_KEYS if amount else 1
    items: Sequence[Entry | CommonPrefix]
    if prefix.path is None:
        branches, more = call.lake.branches.list(call.repository.name, prefix=prefix.ref, after=start, amount=asked)
        items = [CommonPrefix(branch.name) for branch in branches]
    else:
        after = _Key.of(start)
        if start and after.ref != prefix.ref:
            raise S3Error(S3Code.BAD_REQUEST)
        window = Window(prefix.path, after.path or "", call.parameter("delimiter"), asked)
        items, more = call.lake.objects.list(call.repository.name, prefix.ref, window)
    ref = None if prefix.path is None else prefix.ref
    return _Listing(ref, items, more) if amount else _Listing(ref, [], more=bool(items))


def _max_keys(call: Call) -> int:
    """What the client asked for; what makes no sense counts as nothing asked."""
    asked = call.parameter("max-keys")
    return int(asked) if re.fullmatch(r"[+-]?\d{1,18}", asked, re.ASCII) else MAX_KEYS


def _delete(call: Call, keys: Sequence[str]) -> dict[str, tuple[S3Code, str]]:
    """Remove *keys*. Returns those that could not be, each with the reason. One that is not there is removed."""
    refused: dict[str, tuple[S3Code, str]] = {}
    by_ref: dict[str, dict[str, str]] = {}
    for key in keys:
        try:
            ref, path = _Key.of(key)
        except S3Error:
            refused[key] = (S3Code.DELETING_KEY, "encoded path is malformed")
            continue
        if not ref:
            refused[key] = (S3Code.DELETING_KEY, "argument branch: required value: validation error")
        elif path:  # "main/" is what Spark deletes for a folder: lakeFS says it is gone
            by_ref.setdefault(ref, {})[path] = key
    for ref, key_of in by_ref.items():
        for path, reason in _delete_on(call, ref, list(key_of)).items():
            refused[key_of[path]] = reason
    return refused


def _delete_on(call: Call, ref: str, paths: Sequence[str]) -> dict[str, tuple[S3Code, str]]:
    try:
        call.lake.objects.delete_many(call.repository.name, ref, paths)
    except NotFound:
        return {}
    except ProtectedBranch:
        code = S3Code.WRITE_TO_PROTECTED_BRANCH
        return dict.fromkeys(paths, (code, code.message))
    except InvalidPath as error:
        if len(paths) == 1:
            return {paths[0]: (S3Code.DELETING_KEY, str(error))}
        # One bad path refuses them all: each by itself, so that the good ones go.
        return {bad: reason for path in paths for bad, reason in _delete_on(call, ref, [path]).items()}
    except DevlakeError as error:
        return dict.fromkeys(paths, (S3Code.DELETING_KEY, str(error)))
    return {}


def _xml(root: str) -> Response:
    return Response(document(root), media_type=XML)
