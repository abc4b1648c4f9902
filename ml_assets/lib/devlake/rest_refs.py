"""REST calls about branches, tags, commits, merges and differences."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from ml_assets.lib.devlake.branches import Reset
from ml_assets.lib.devlake.call import (
    Call,
    an_object,
    is_flag,
    is_integer,
    is_metadata,
    is_text,
    is_time,
    one_of,
)
from ml_assets.lib.devlake.diffs import Difference
from ml_assets.lib.devlake.errors import CommitNotFound, Invalid, MergeConflict, RefNotFound, Unsupported
from ml_assets.lib.devlake.merges import Overrides
from ml_assets.lib.devlake.page import CommonPrefix
from ml_assets.lib.devlake.replies import commit_json, ref_json, reply, reply_page
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.routes import Route
from ml_assets.lib.devlake.tree import Strategy

_BRANCH_CREATION: Final = {"name": is_text, "source": is_text, "hidden": is_flag, "force": is_flag}
_RESET: Final = {"type": one_of(*(kind.value for kind in Reset)), "path": is_text, "force": is_flag}
_TAG_CREATION: Final = {"id": is_text, "ref": is_text, "force": is_flag}
_COMMIT: Final = {
    "message": is_text,
    "metadata": is_metadata,
    "date": is_time,
    "allow_empty": is_flag,
    "force": is_flag,
}
_OVERRIDES: Final = an_object({"message": is_text, "metadata": is_metadata})
_REVERT: Final = {
    "ref": is_text,
    "parent_number": is_integer,
    "commit_overrides": _OVERRIDES,
    "allow_empty": is_flag,
    "force": is_flag,
}
_CHERRY_PICK: Final = {"ref": is_text, "parent_number": is_integer, "commit_overrides": _OVERRIDES, "force": is_flag}
_MERGE: Final = {
    "message": is_text,
    "metadata": is_metadata,
    "strategy": is_text,
    "allow_empty": is_flag,
    "squash_merge": is_flag,
    "force": is_flag,
}


def _list_branches(lake: Lake, call: Call) -> Response:
    page = lake.branches.list(call.argument("repository"), **call.pages(), show_hidden=call.flag("show_hidden"))
    return reply_page(page, lambda branch: ref_json(*branch), lambda branch: branch.name)


def _create_branch(lake: Lake, call: Call) -> Response:
    body = call.body(_BRANCH_CREATION, "name", "source")
    branch = lake.branches.create(
        call.argument("repository"),
        body["name"],
        body["source"],
        hidden=body.get("hidden", False),
        force=body.get("force", False),
    )
    return Response(branch.commit_id, 201, media_type="text/plain")


def _get_branch(lake: Lake, call: Call) -> Response:
    return reply(200, ref_json(*lake.branches.get(call.argument("repository"), call.argument("branch"))))


def _delete_branch(lake: Lake, call: Call) -> Response:
    lake.branches.delete(call.argument("repository"), call.argument("branch"), force=call.flag("force"))
    return reply(204)


def _reset_branch(lake: Lake, call: Call) -> Response:
    body = call.body(_RESET, "type")
    lake.branches.reset(
        call.argument("repository"),
        call.argument("branch"),
        Reset(body["type"]),
        body.get("path", ""),
        force=body.get("force", False),
    )
    return reply(204)


def _hard_reset(lake: Lake, call: Call) -> Response:
    repository, branch = call.argument("repository"), call.argument("branch")
    lake.branches.hard_reset(repository, branch, call.required("ref"), force=call.flag("force"))
    return reply(204)


def _list_tags(lake: Lake, call: Call) -> Response:
    page = lake.tags.list(call.argument("repository"), **call.pages())
    return reply_page(page, lambda tag: ref_json(*tag), lambda tag: tag.name)


def _create_tag(lake: Lake, call: Call) -> Response:
    body = call.body(_TAG_CREATION, "id", "ref")
    tag = lake.tags.create(call.argument("repository"), body["id"], body["ref"], force=body.get("force", False))
    return reply(201, ref_json(*tag))


def _get_tag(lake: Lake, call: Call) -> Response:
    return reply(200, ref_json(*lake.tags.get(call.argument("repository"), call.argument("tag"))))


def _delete_tag(lake: Lake, call: Call) -> Response:
    lake.tags.delete(call.argument("repository"), call.argument("tag"), force=call.flag("force"))
    return reply(204)


def _commit(lake: Lake, call: Call) -> Response:
    body = call.body(_COMMIT, "message")
    if call.text("source_metarange"):
        raise Unsupported("committing a prepared metarange is done by lakeFS itself: use lakeFS")
    commit = lake.commits.create(
        call.argument("repository"),
        call.argument("branch"),
        body["message"],
        committer=call.user,
        metadata=body.get("metadata"),
        seconds=None if "date" not in body else int(body["date"]),
        allow_empty=body.get("allow_empty", False),
        force=body.get("force", False),
    )
    return reply(201, commit_json(commit))


def _get_commit(lake: Lake, call: Call) -> Response:
    try:
        commit = lake.commits.get(call.argument("repository"), call.argument("commit"))
    except RefNotFound:
        raise CommitNotFound from None
    return reply(200, commit_json(commit))


def _log(lake: Lake, call: Call) -> Response:
    page = lake.commits.log(
        call.argument("repository"),
        call.argument("ref"),
        amount=call.amount(),
        after=call.text("after"),
        limit=call.flag("limit"),
        first_parent=call.flag("first_parent"),
        since_ns=call.time_ns("since"),
        stop_at=call.text("stop_at"),
        objects=call.texts("objects"),
        prefixes=call.texts("prefixes"),
    )
    return reply_page(page, commit_json, lambda commit: commit.id)


def _revert(lake: Lake, call: Call) -> Response:
    body = call.body(_REVERT, "ref", "parent_number")
    lake.merges.revert(
        call.argument("repository"),
        call.argument("branch"),
        body["ref"],
        parent_number=int(body["parent_number"]),
        committer=call.user,
        overrides=_overrides(body),
        allow_empty=body.get("allow_empty", False),
        force=body.get("force", False),
    )
    return reply(204)


def _cherry_pick(lake: Lake, call: Call) -> Response:
    body = call.body(_CHERRY_PICK, "ref")
    commit = lake.merges.cherry_pick(
        call.argument("repository"),
        call.argument("branch"),
        body["ref"],
        parent_number=int(body["parent_number"]) if "parent_number" in body else None,
        committer=call.user,
        overrides=_overrides(body),
        force=body.get("force", False),
    )
    return reply(201, commit_json(commit))


def _merge(lake: Lake, call: Call) -> Response:
    body = call.body(_MERGE) if call.json is not None else {}
    try:
        strategy = Strategy(body.get("strategy", ""))
    except ValueError:
        raise Invalid("argument strategy: invalid value: validation error") from None
    try:
        commit = lake.merges.merge(
            call.argument("repository"),
            call.argument("source"),
            call.argument("branch"),
            committer=call.user,
            message=body.get("message", ""),
            metadata=body.get("metadata"),
            strategy=strategy,
            allow_empty=body.get("allow_empty", False),
            squash=body.get("squash_merge", False),
            force=body.get("force", False),
        )
    except MergeConflict as conflict:  # lakeFS answers without a message here, and clients rely on the form
        return reply(conflict.status, {"reference": ""})
    return reply(200, {"reference": commit.id})


def _merge_base(lake: Lake, call: Call) -> Response:
    base = lake.merges.base(call.argument("repository"), call.argument("source"), call.argument("branch"))
    swapped = {  # as lakeFS names them
        "source_commit_id": base.destination,
        "destination_commit_id": base.source,
        "base_commit_id": base.base,
    }
    return reply(200, swapped)


def _uncommitted(lake: Lake, call: Call) -> Response:
    page = lake.diffs.uncommitted(call.argument("repository"), call.argument("branch"), call.window())
    return reply_page(page, lambda item: _difference_json(item, right=False), lambda item: item[0])


def _diff(lake: Lake, call: Call) -> Response:
    kind = call.text("type", "three_dot")
    if kind not in {"two_dot", "three_dot"}:
        raise Invalid('parameter "type" in query has an error: value is not one of the allowed values')
    right = call.flag("include_right_stats")
    diff = lake.diffs.two_dot if kind == "two_dot" else lake.diffs.three_dot
    page = diff(call.argument("repository"), call.argument("left"), call.argument("right"), call.window())
    return reply_page(page, lambda item: _difference_json(item, right=right), lambda item: item[0])


def _difference_json(item: Difference | CommonPrefix, *, right: bool) -> dict[str, Any]:
    if isinstance(item, CommonPrefix):
        return {"type": "prefix_changed", "path": item.path, "path_type": "common_prefix"}
    described: dict[str, Any] = {"type": item.kind.value, "path": item.key, "path_type": "object"}
    described["size_bytes"] = item.entry.size if item.entry else 0
    if right and item.entry:
        described["right"] = {
            "checksum": item.entry.etag,
            "content_type": item.entry.content_type,
            "mtime": item.entry.mtime,
            "metadata": item.entry.metadata,
        }
    return described


def _overrides(body: dict[str, Any]) -> Overrides:
    given = body.get("commit_overrides", {})
    return Overrides(message=given.get("message"), metadata=given.get("metadata"))


_REPOSITORY: Final = "/repositories/{repository}"
_BRANCH: Final = f"{_REPOSITORY}/branches/{{branch}}"

ROUTES: Final = (
    Route("GET", f"{_REPOSITORY}/branches", _list_branches),
    Route("POST", f"{_REPOSITORY}/branches", _create_branch, asks=True),
    Route("GET", _BRANCH, _get_branch, quick=True),
    Route("DELETE", _BRANCH, _delete_branch, asks=True),
    Route("PUT", _BRANCH, _reset_branch),
    Route("PUT", f"{_BRANCH}/hard_reset", _hard_reset),
    Route("POST", f"{_BRANCH}/commits", _commit, asks=True),
    Route("POST", f"{_BRANCH}/revert", _revert, asks=True),
    Route("POST", f"{_BRANCH}/cherry-pick", _cherry_pick, asks=True),
    Route("GET", f"{_BRANCH}/diff", _uncommitted),
    Route("GET", f"{_REPOSITORY}/tags", _list_tags),
    Route("POST", f"{_REPOSITORY}/tags", _create_tag, asks=True),
    Route("GET", f"{_REPOSITORY}/tags/{{tag}}", _get_tag),
    Route("DELETE", f"{_REPOSITORY}/tags/{{tag}}", _delete_tag, asks=True),
    Route("GET", f"{_REPOSITORY}/commits/{{commit}}", _get_commit),
    Route("GET", f"{_REPOSITORY}/refs/{{ref}}/commits", _log),
    Route("GET", f"{_REPOSITORY}/refs/{{left}}/diff/{{right}}", _diff),
    Route("GET", f"{_REPOSITORY}/refs/{{source}}/merge/{{branch}}", _merge_base),
    Route("POST", f"{_REPOSITORY}/refs/{{source}}/merge/{{branch}}", _merge, asks=True),
)
