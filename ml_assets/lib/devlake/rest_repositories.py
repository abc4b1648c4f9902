"""REST calls about the server and its repositories."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from ml_assets.lib.devlake.call import (
    Call,
    is_flag,
    is_integer,
    is_metadata,
    is_text,
    is_texts,
    matches,
    objects_of,
)
from ml_assets.lib.devlake.errors import Invalid
from ml_assets.lib.devlake.replies import reply, reply_page, repository_json
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.retention import Rules
from ml_assets.lib.devlake.routes import Route
from ml_assets.lib.devlake.sample import add_sample_data

VERSION: Final = "1.84.0"
"""The lakeFS whose API this is. Clients expect three integers."""

_STORAGE: Final = {
    "blockstore_type": "local",
    "blockstore_namespace_example": "local://example-bucket/",
    "blockstore_namespace_ValidityRegex": "^local://",
    "default_namespace_prefix": "local://",
    "pre_sign_support": False,
    "pre_sign_support_ui": False,
    "pre_sign_multipart_upload": False,
    "import_support": False,
    "import_validity_regex": "^local://",
    "blockstore_id": "",
}
_CREATION: Final = {
    "name": matches(r"[a-z0-9][a-z0-9-]{2,62}"),
    "storage_namespace": matches(r"(s3|gs|https?|mem|local|transient)://.*"),
    "storage_id": is_text,
    "default_branch": is_text,
    "sample_data": is_flag,
    "read_only": is_flag,
}
_RETENTION: Final = {
    "default_retention_days": is_integer,
    "branches": objects_of({"branch_id": is_text, "retention_days": is_integer}),
}


def _healthcheck(_lake: Lake, _call: Call) -> Response:
    return reply(204)


def _setup_state(_lake: Lake, _call: Call) -> Response:
    return reply(200, {"state": "initialized", "comm_prefs_missing": False, "login_config": {"RBAC": "none"}})


def _config(_lake: Lake, _call: Call) -> Response:
    config = {
        "version_config": {"version": VERSION},
        "storage_config": _STORAGE,
        "storage_config_list": [],
        "ui_config": {},
        "capabilities_config": {},
    }
    return reply(200, config)


def _version(_lake: Lake, _call: Call) -> Response:
    return reply(200, {"version": VERSION})


def _storage(_lake: Lake, _call: Call) -> Response:
    return reply(200, _STORAGE)


def _user(_lake: Lake, call: Call) -> Response:
    return reply(200, {"user": {"id": call.user, "creation_date": 0}})


def _list(lake: Lake, call: Call) -> Response:
    page = lake.repositories.list(**call.pages(), search=call.text("search"))
    return reply_page(page, repository_json, lambda repository: repository.name)


def _create(lake: Lake, call: Call) -> Response:
    body = call.body(_CREATION, "name", "storage_namespace")
    if call.flag("bare"):
        raise Invalid("bare repositories are made to be restored from a dump: use lakeFS")
    if body.get("storage_id"):
        raise Invalid("storage id: invalid value: validation error")
    repository = lake.repositories.create(
        body["name"],
        body["storage_namespace"],
        default_branch=body.get("default_branch") or "main",
        read_only=body.get("read_only", False),
    )
    if body.get("sample_data"):
        add_sample_data(lake, repository, call.user)
    return reply(201, repository_json(repository))


def _get(lake: Lake, call: Call) -> Response:
    return reply(200, repository_json(lake.repositories.get(call.argument("repository"))))


def _delete(lake: Lake, call: Call) -> Response:
    lake.repositories.delete(call.argument("repository"), force=call.flag("force"))
    return reply(204)


def _get_metadata(lake: Lake, call: Call) -> Response:
    return reply(200, lake.repositories.get(call.argument("repository")).metadata)


def _put_metadata(lake: Lake, call: Call) -> Response:
    body = call.body({"metadata": is_metadata}, "metadata")
    lake.repositories.update_metadata(call.argument("repository"), put=body["metadata"], drop=[])
    return reply(204)


def _drop_metadata(lake: Lake, call: Call) -> Response:
    body = call.body({"keys": is_texts}, "keys")
    lake.repositories.update_metadata(call.argument("repository"), put={}, drop=body["keys"])
    return reply(204)


def _get_protection(lake: Lake, call: Call) -> Response:
    rules = lake.protection.get(call.argument("repository"))
    response = reply(200, [{"pattern": pattern} for pattern in rules.patterns])
    response.headers["ETag"] = rules.etag
    return response


def _put_protection(lake: Lake, call: Call) -> Response:
    patterns = _patterns(call.json)
    lake.protection.put(call.argument("repository"), patterns, if_match=call.headers.get("if-match"))
    return reply(204)


def _get_retention(lake: Lake, call: Call) -> Response:
    rules = lake.retention.get(call.argument("repository"))
    branches = [{"branch_id": branch, "retention_days": days} for branch, days in rules.branch_days.items()]
    return reply(200, {"default_retention_days": rules.default_days, "branches": branches})


def _put_retention(lake: Lake, call: Call) -> Response:
    body = call.body(_RETENTION, "default_retention_days", "branches")
    days = {rule["branch_id"]: int(rule["retention_days"]) for rule in body["branches"]}
    lake.retention.put(call.argument("repository"), Rules(int(body["default_retention_days"]), days))
    return reply(204)


def _delete_retention(lake: Lake, call: Call) -> Response:
    lake.retention.delete(call.argument("repository"))
    return reply(204)


def _patterns(body: object) -> list[str]:
    if body is None:
        raise Invalid("request body has an error: value is required but missing")
    if not isinstance(body, list):
        raise Invalid("request body has an error: doesn't match schema: value must be an array")
    patterns: list[str] = []
    for rule in body:
        pattern = rule.get("pattern") if isinstance(rule, dict) else None
        if not isinstance(pattern, str) or not pattern:
            raise Invalid('request body has an error: doesn\'t match schema: property "pattern" is missing')
        patterns.append(pattern)
    return patterns


_ONE: Final = "/repositories/{repository}"

ROUTES: Final = (
    Route("GET", "/healthcheck", _healthcheck, public=True),
    Route("GET", "/setup_lakefs", _setup_state, public=True),
    Route("GET", "/config", _config),
    Route("GET", "/config/version", _version),
    Route("GET", "/config/storage", _storage),
    Route("GET", "/user", _user),
    Route("GET", "/repositories", _list),
    Route("POST", "/repositories", _create),
    Route("GET", _ONE, _get),
    Route("DELETE", _ONE, _delete),
    Route("GET", f"{_ONE}/metadata", _get_metadata),
    Route("POST", f"{_ONE}/metadata", _put_metadata),
    Route("DELETE", f"{_ONE}/metadata", _drop_metadata),
    Route("GET", f"{_ONE}/settings/branch_protection", _get_protection),
    Route("PUT", f"{_ONE}/settings/branch_protection", _put_protection),
    Route("GET", f"{_ONE}/settings/gc_rules", _get_retention),
    Route("PUT", f"{_ONE}/settings/gc_rules", _put_retention),
    Route("DELETE", f"{_ONE}/settings/gc_rules", _delete_retention),
)
