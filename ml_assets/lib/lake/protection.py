"""Branch protection: onto which branches things get by merge only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lakefs_sdk

if TYPE_CHECKING:
    from ml_assets.lib.core.refs import Branch
    from ml_assets.lib.lake.client import Lake


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
