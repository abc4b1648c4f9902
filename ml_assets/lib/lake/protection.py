"""Branch protection: onto which branches things get by merge only."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

import lakefs_sdk

from ml_assets.lib.core.errors import AccessDenied

if TYPE_CHECKING:
    from ml_assets.lib.core.refs import Branch
    from ml_assets.lib.lake.client import Lake

_NOTHING: Final = f"_lakefs_actions/nothing-{uuid.uuid4().hex}"
"""Where no object is, so that it can be removed without harm."""


def protected(lake: Lake) -> frozenset[str]:
    """The globs of protected branches."""
    return _rules(lake)[0]


def protect(lake: Lake, branch: Branch) -> None:
    """Let things get onto *branch* by merge only."""
    globs, tag = _rules(lake)
    if branch.name not in globs:
        _set_rules(lake, globs | {branch.name}, tag)


def unprotect(lake: Lake, branch: Branch) -> None:
    """Remove the rule that is about *branch* alone. One that covers others too stays."""
    globs, tag = _rules(lake)
    if branch.name in globs:
        _set_rules(lake, globs - {branch.name}, tag)


def refuses_writes(lake: Lake, branch: Branch) -> bool:
    """Whether *branch* is protected by now: lakeFS needs some seconds to notice its own rules."""
    where, call = f"{lake.repository}: try {branch}", lake.connection.sdk.objects_api.delete_object
    try:
        lake.connection.change(where, call, lake.repository, branch.name, _NOTHING)
    except AccessDenied:
        return True
    return False


def _rules(lake: Lake) -> tuple[frozenset[str], str]:
    """The globs, and what to show so that they are only changed if nobody else has changed them."""
    call = lake.connection.sdk.repositories_api.get_branch_protection_rules_with_http_info
    answer = lake.connection.ask(f"{lake.repository}: branch protection", call, lake.repository)
    return frozenset(rule.pattern for rule in answer.data or ()), (answer.headers or {}).get("ETag", "")


def _set_rules(lake: Lake, globs: frozenset[str], tag: str) -> None:
    rules = [lakefs_sdk.BranchProtectionRule(pattern=glob) for glob in sorted(globs)]
    call = lake.connection.sdk.repositories_api.set_branch_protection_rules
    where = f"{lake.repository}: set branch protection"
    lake.connection.change(where, call, lake.repository, rules, if_match=tag or None)
