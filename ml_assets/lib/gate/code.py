"""Facts about the running code, for publications and lineage: which commit, how changed, with what installed."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

from ml_assets.lib.core.lineage import public_remote
from ml_assets.lib.core.recipe import Json, hash_of

_GIT_TIMEOUT_S: Final = 10


def code_facts(root: Path, commit: str | None = None) -> dict[str, Json]:
    """Git commit, remote, dirty flag and diff hash, package version, hash of the installed environment.

    Args:
        root: A folder of the code; its git repository is asked.
        commit: What to record where there is no repository (an image).

    Returns:
        ``git_commit`` and ``git_remote`` are ``None`` where nobody knows; ``diff`` where nothing was changed.
    """
    head = _git(root, "rev-parse", "HEAD") or commit
    changes = _git(root, "status", "--porcelain=v1", "--untracked-files=all") if head else None
    diff = _git(root, "diff", "HEAD", "--no-ext-diff", "--binary") if changes else None
    return {
        "git_commit": head,
        "git_remote": public_remote(_git(root, "remote", "get-url", "origin")),
        "dirty": bool(changes),
        "diff": hashlib.sha256(f"{changes}\n{diff}".encode()).hexdigest() if changes else None,
        "version": metadata.version("ml-assets"),
        "environment": environment_hash(installed()),
    }


@cache
def installed() -> Mapping[str, str]:
    """Version of every installed distribution, by normalised name; of two with one name, the one that is imported."""
    versions: dict[str, str] = {}
    for found in metadata.distributions():
        facts = found.metadata  # parsed anew at each access
        if facts["Name"]:
            versions.setdefault(str(facts["Name"]).lower().replace("_", "-"), str(facts["Version"]))
    return versions


def environment_hash(packages: Mapping[str, str]) -> str:
    """Hash of names and versions: equal environments give equal hashes."""
    return hash_of(dict(packages))


def _git(root: Path, *arguments: str) -> str | None:
    """What git answers, or ``None`` where there is no git, no repository or no such thing in it."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            check=True,
            timeout=_GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip() or None
