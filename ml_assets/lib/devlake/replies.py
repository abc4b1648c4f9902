"""What the REST API answers with: the JSON of lakeFS's own schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from starlette.responses import Response

from ml_assets.lib.devlake.access import Repository
from ml_assets.lib.devlake.history import SECOND, Commit
from ml_assets.lib.devlake.page import Page
from ml_assets.lib.devlake.tree import Entry

MAX_PER_PAGE = 1000

T = TypeVar("T")


def reply(status: int, body: object = None) -> Response:
    """An answer with a JSON body, or with none."""
    if body is None:
        return Response(status_code=status)
    return Response(json.dumps(body, ensure_ascii=False, separators=(",", ":")), status, media_type="application/json")


def json_error(status: int, message: str) -> Response:
    """A refusal in the form of the API."""
    return reply(status, {"message": message})


def reply_page(page: Page[T], describe: Callable[[T], dict[str, Any]], offset: Callable[[T], str]) -> Response:
    """A page of a listing. *offset* says after which item the next page begins."""
    pagination = {
        "has_more": page.more,
        "max_per_page": MAX_PER_PAGE,
        "next_offset": offset(page.items[-1]) if page.more and page.items else "",
        "results": len(page.items),
    }
    return reply(200, {"pagination": pagination, "results": [describe(item) for item in page.items]})


def repository_json(repository: Repository) -> dict[str, Any]:
    """A repository."""
    return {
        "id": repository.name,
        "storage_id": "",
        "storage_namespace": repository.storage_namespace,
        "default_branch": repository.default_branch,
        "creation_date": repository.created,
        "read_only": repository.read_only,
    }


def ref_json(name: str, commit_id: str) -> dict[str, Any]:
    """A branch or a tag."""
    return {"id": name, "commit_id": commit_id}


def commit_json(commit: Commit) -> dict[str, Any]:
    """A commit."""
    return {
        "id": commit.id,
        "parents": list(commit.parents),
        "committer": commit.committer,
        "message": commit.message,
        "creation_date": commit.created_ns // SECOND,
        "meta_range_id": commit.tree,
        "metadata": {**commit.metadata, **commit.notes},
        "generation": commit.generation,
        "version": 1,
    }


def stats_json(entry: Entry, namespace: str, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """An object. *namespace* is its repository's; ``None`` leaves the metadata out."""
    stats = {
        "path": entry.key,
        "path_type": "object",
        "physical_address": physical_address(namespace, entry.address),
        "checksum": entry.etag,
        "size_bytes": entry.size,
        "mtime": entry.mtime,
        "content_type": entry.content_type,
    }
    return stats if metadata is None else {**stats, "metadata": metadata}


def prefix_json(path: str) -> dict[str, Any]:
    """A common prefix among objects."""
    return {"path": path, "path_type": "common_prefix", "physical_address": "", "checksum": "", "mtime": 0}


def physical_address(namespace: str, address: str) -> str:
    """Where an object of a repository is, in the words of the API."""
    return f"{namespace.rstrip('/')}/data/{address}"


def store_address(namespace: str, physical: str) -> str | None:
    """The inverse of :func:`physical_address`; ``None`` for an address of another origin."""
    start = physical_address(namespace, "")
    return physical.removeprefix(start) if physical.startswith(start) else None
