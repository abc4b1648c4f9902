"""Every name that the project makes up, spelled once: stages, units, tables, paths, branches, tags, metadata keys."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from ml_assets.lib.core.errors import BadRef
from ml_assets.lib.core.refs import Branch, Commit, Tag

STAGES: Final = ("sources", "splits", "features", "frames", "models", "predictions")
"""Asset groups, folders under ``defs`` and Iceberg namespaces, in the order in which data flows."""

CANONICAL: Final = "main"
"""The branch name that Iceberg metadata records, whatever branch is written or published to."""

CURRENT: Final = "current"
"""The version of a unit that has none of its own: a source."""

SPLIT_VERSION: Final = "split_version"
FEATURE_VERSION: Final = "feature_version"
EVENT_TIMESTAMP: Final = "event_timestamp"
SPLIT: Final = "split"
SPLITS: Final = ("train", "val", "test")

PUBLICATIONS: Final = "_publications/"
WAREHOUSE: Final = "warehouse"
RUN_BRANCH_PREFIX: Final = "run-"
KEEP_BRANCH_PREFIX: Final = "keep-"
DATA_TAG_SUFFIX: Final = "-data"

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_VERSION = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_]*")


def identifier(text: str) -> str:
    """*text* as part of a table name: every character that is not a letter, digit or ``_`` becomes ``_``."""
    return re.sub(r"\W", "_", text, flags=re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """One output that is published as a whole: a source, a split version, a view version, a frame, a model.

    Written ``<stage>/<name>`` or ``<stage>/<name>@<version>``; the version of a unit with two keys is
    ``<split version>__<feature version>``.

    Raises:
        BadRef: A part is not spelled as names are.
    """

    stage: str
    name: str
    version: str = CURRENT

    def __post_init__(self) -> None:
        if self.stage not in STAGES or not _NAME.fullmatch(self.name) or not _VERSION.fullmatch(self.version):
            raise BadRef(
                f"{self.stage}/{self.name}@{self.version} is not a unit",
                remedy=f"write <stage>/<name>@<version> with a stage of {', '.join(STAGES)}",
            )

    def __str__(self) -> str:
        return f"{self.stage}/{self.name}" + ("" if self.version == CURRENT else f"@{self.version}")

    @classmethod
    def parse(cls, text: str) -> Unit:
        """Read what ``str(unit)`` writes.

        Raises:
            BadRef: *text* is not a unit.
        """
        path, _, version = text.partition("@")
        stage, _, name = path.partition("/")
        return cls(stage, name, version or CURRENT)

    @classmethod
    def of_both(cls, stage: str, name: str, split_version: str, feature_version: str) -> Unit:
        """The unit of a frame or model at both of its versions."""
        return cls(stage, name, f"{split_version}__{feature_version}")

    @property
    def both(self) -> tuple[str, str]:
        """Split version and feature version of a unit with two keys."""
        split_version, _, feature_version = self.version.partition("__")
        return split_version, feature_version

    @property
    def table(self) -> str:
        """Iceberg table of this unit: ``sources.flights``, ``splits.flights__hash_s42``, ``features.route_v1``."""
        if self.version == CURRENT:
            return f"{self.stage}.{self.name}"
        joint = "_v" if self.stage == "features" else "__"
        return f"{self.stage}.{self.name}{joint}{identifier(self.version)}"

    @property
    def table_path(self) -> str:
        """Folder of the table in the lake, with a trailing slash: all data of the unit lies under it."""
        return f"{WAREHOUSE}/{self.table.replace('.', '/')}/"

    @property
    def object_path(self) -> str:
        """The JSON object that is the output of a frame or model."""
        return f"{self.stage}/{self.name}/{self.version}.json"

    @property
    def publication_path(self) -> str:
        """Where the record of the published unit lies, next to the data."""
        return f"{PUBLICATIONS}{self.stage}/{self.name}/{self.version}.json"

    @property
    def slug(self) -> str:
        """The unit as part of a branch name: unique (it ends in six digits of a hash) and legible."""
        digits = hashlib.sha256(str(self).encode()).hexdigest()[:6]
        return f"{identifier(f'{self.stage}-{self.name}-{self.version}').replace('_', '-')}-{digits}"

    def run_branch(self, run_id: str, attempt: int) -> Branch:
        """The private branch of one attempt: ``run-<run id, 8>-<attempt>-<unit slug>``."""
        return Branch(f"{run_branch_prefix(run_id)}{attempt}-{self.slug}")


def run_branch_prefix(run_id: str) -> str:
    """What the names of all branches of one run begin with."""
    return f"{RUN_BRANCH_PREFIX}{identifier(run_id)[:8]}-"


def keep_branch(commit: Commit) -> Branch:
    """The hidden branch that saves *commit* from lakeFS's garbage collection (a tag would not)."""
    return Branch(f"{KEEP_BRANCH_PREFIX}{commit.id[:16]}")


def features_tag(feature_version: str, commit: Commit) -> Tag:
    """The tag of a complete, published feature version."""
    return Tag(f"features-{feature_version}-{commit.id[:8]}")


def model_tag(model: str, version: int | str, mlflow_run: str) -> Tag:
    """The tag of the data commit of a registered model version."""
    return Tag(f"{model}-v{version}-{mlflow_run[:8]}{DATA_TAG_SUFFIX}")
