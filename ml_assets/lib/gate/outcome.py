"""What a materialization is asked for, and what comes of it."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.publication import Publication, Verdict
from ml_assets.lib.core.refs import Branch, Commit


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """On whose behalf a unit is materialized.

    Attributes:
        id: Dagster's run id, or any id that is unique to one try.
        tags: ``author``, ``ticket``, ``approved_by`` and the like; they reach commits and the publication.
        partition: Dagster's partition key, where there is one.
    """

    id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    partition: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
        unit: The unit.
        verdict: What its checks said.
        commit: Where the unit is published; of a refused one, the head of its branch.
        seconds: Wall time per step that was taken.
        settled: Effects outside the data: MLflow run, model version, tags.
    """

    unit: Unit
    verdict: Verdict
    commit: Commit
    seconds: Mapping[str, float] = field(default_factory=dict)
    settled: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published(Outcome):
    """The unit is on the target, new or judged anew (``recomputed`` tells which)."""

    publication: Publication
    branch: Branch
    recomputed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged(Outcome):
    """The target already holds the unit, by the same recipe and rules; nothing was written.

    ``confirmed`` is true where it was computed again on demand and gave the same digest.
    """

    publication: Publication
    confirmed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Outcome):
    """The audit failed: the target has not moved, the branch is kept and tells why."""

    branch: Branch


def user() -> str:
    """Who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid without a passwd entry
        return str(os.getuid())
