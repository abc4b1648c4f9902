"""Protects a target from people with a plain client: nobody writes to it, and lakeFS asks the guard before any merge.

lakeFS reads whom to ask from the branch that is merged. One that was made before, or whose owner removes the file, is
not stopped: the lock is against mistakes, and what gets past it is found as changed behind the gate. Reverts are not
asked about: they bring back what was published, and the gate needs one.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.errors import ConfigError, HookRefused, LostCommit, TargetDirty
from ml_assets.lib.core.refs import Branch
from ml_assets.lib.gate.guard import TOKEN_VARIABLE
from ml_assets.lib.lake import protection

if TYPE_CHECKING:
    from ml_assets.lib.lake.client import Lake

_NOTICED_S: Final = 30.0
"""Within so long lakeFS follows a new rule; it keeps rules in memory for some seconds."""

_TRIAL: Final = "protect-trial-"
"""What the names of branches begin with on which the guard is tried out."""

_FILE: Final = """\
# Written by `ml-assets lake protect`. Whoever removes it from a branch takes that branch past the guard.
name: ml-assets guard of {branch}
description: Only what was audited and passed gets onto {branch}.
on:
  pre-merge:
    branches: [{branch}, "{trial}*"]
  pre-cherry-pick:
    branches: [{branch}]
hooks:
  - id: only_what_was_audited_and_passed
    type: webhook
    properties:
      url: {url}
      timeout: 45s
      headers:
        Authorization: "Bearer {{{{ ENV.{variable} }}}}"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected:
    """What was done.

    Attributes:
        path: Where in the lake it says whom to ask.
        installed: Whether that was written now; else it was there.
    """

    path: str
    installed: bool


def protect(lake: Lake, target: Branch, url: str) -> Protected:
    """Let nothing onto *target* but merges that the guard at *url* accepts. Again: bring it up to date.

    The guard is tried out first, on branches of its own; the target is only touched if it works.

    Args:
        lake: The repository.
        target: The branch that is published to.
        url: Where lakeFS reaches the guard.

    Raises:
        ConfigError: The guard refuses what it should accept, or lets everything through; or the rule has no effect.
        TargetDirty: The target has uncommitted objects.
        AccessDenied: A rule that covers more than the target protects it, or permissions do not suffice.
    """
    path, content = f"_lakefs_actions/ml_assets_{target.name}.yaml", _file(target, url)
    _try_out(lake, target, path, content, url)
    installed = lake.read(lake.head(target), path) != content
    if installed:
        _install(lake, target, path, content)
    protection.protect(lake, target)
    _wait(lake, target, protected=True)
    return Protected(path=path, installed=installed)


def _file(target: Branch, url: str) -> bytes:
    return _FILE.format(branch=target.name, trial=_TRIAL, url=json.dumps(url), variable=TOKEN_VARIABLE).encode()


def _install(lake: Lake, target: Branch, path: str, content: bytes) -> None:
    if changed := next(lake.uncommitted(target, limit=1), None):
        raise TargetDirty(
            f"branch {target} has uncommitted objects: {changed.path}",
            remedy=f"commit or reset them: `lakectl branch reset lakefs://{lake.repository}/{target}`",
        )
    before = lake.head(target)
    if protection.refuses_writes(lake, target):  # lifted for a moment: a merge cannot change whom merges ask
        protection.unprotect(lake, target)
        _wait(lake, target, protected=False)
    try:
        lake.put(target, path, content)
        commit = lake.commit(target, f"protect {target}", {})
    finally:
        protection.protect(lake, target)
    changed_paths = [row.path for row in lake.diff(before, commit, base="left", limit=2)]
    if changed_paths != [path]:
        raise LostCommit(
            f"others wrote to {target} just now: {changed_paths} came with the commit {commit.short}",
            remedy="look at that commit; revert it if those objects are not meant to be there, and protect again",
        )


def _wait(lake: Lake, target: Branch, *, protected: bool) -> None:
    """Return when lakeFS protects the target, or no more."""
    deadline = time.monotonic() + _NOTICED_S
    while protection.refuses_writes(lake, target) is not protected:
        if time.monotonic() > deadline:
            state, done = ("lets itself", "set") if protected else ("refuses to", "lifted")
            raise ConfigError(
                f"{target} still {state} be written, {_NOTICED_S:.0f} s after the rule about it was {done}",
                remedy="look at the branch protection and the permissions of the repository, and protect again",
            )
        time.sleep(0.2)


def _try_out(lake: Lake, target: Branch, path: str, content: bytes, url: str) -> None:
    """Merge nothing, and then a stray object, between branches that ask the guard."""
    token = uuid.uuid4().hex[:8]
    source, into = Branch(f"{_TRIAL}{token}-source"), Branch(f"{_TRIAL}{token}")
    try:
        head = lake.head(target)  # by its id: lakeFS would remember for some seconds that the branch has nobody asked
        for branch in (source, into):
            lake.branch(branch, head, hidden=True)
            lake.put(branch, path, content)
            lake.commit(branch, "try the guard out", {}, allow_empty=True)
        _must_pass(lake, source, into, url)
        lake.put(source, f"stray-{token}", b"")
        lake.commit(source, "a stray object", {})
        _must_not_pass(lake, source, into)
    finally:
        for branch in (source, into):
            lake.drop(branch)


def _must_pass(lake: Lake, source: Branch, into: Branch, url: str) -> None:
    try:
        lake.merge(source, into, "nothing", {}, allow_empty=True)
    except HookRefused as error:
        raise ConfigError(
            f"the guard at {url} does not answer as it should: {error.problem}",
            remedy=f"run `ml-assets lake guard` where lakeFS reaches it, with the same {TOKEN_VARIABLE} as lakeFS has; "
            "the embedded lake has a guard inside: `ml-assets lake stop`, and try again",
        ) from error


def _must_not_pass(lake: Lake, source: Branch, into: Branch) -> None:
    try:
        lake.merge(source, into, "a stray object", {})
    except HookRefused:
        return
    raise ConfigError(
        f"lakeFS at {lake.endpoint} merged without asking the guard",
        remedy="enable actions in lakeFS (actions.enabled)",
    )
