"""The locks install what pyproject.toml asks for, the same everywhere, and nothing that has no hash."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ["requirements-build.txt", "requirements.txt", "requirements-spark.txt"]
PYTHONS = ["3.11", "3.12", "3.13"]
PLATFORMS = ["linux", "darwin"]

ENTRY = re.compile(
    r"""
    ^(?P<name>[a-z0-9-]+)==(?P<version>\S+)
    (?:[ ];[ ](?P<marker>.+?))?
    [ ]\\\n
    (?P<hashes>(?:[ ]{4}--hash=\S+(?:[ ]\\)?\n)+)
    """,
    re.MULTILINE | re.VERBOSE,
)


def entries(lock: str) -> list[re.Match[str]]:
    """The pins of a lock, in its order."""
    return list(ENTRY.finditer((ROOT / "deploy" / lock).read_text()))


def pins(lock: str, python: str, platform: str) -> dict[str, Version]:
    """Name -> version of what the lock installs there."""
    here = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": platform}
    here |= {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    return {
        entry["name"]: Version(entry["version"])
        for entry in entries(lock)
        if entry["marker"] is None or Marker(entry["marker"]).evaluate(here)
    }


def asked(lock: str) -> list[Requirement]:
    """What pyproject.toml wants to be in the lock."""
    project, groups = PROJECT["project"], PROJECT["dependency-groups"]
    extras = project["optional-dependencies"]
    base = [*project["dependencies"], *extras["demo"], *groups["test"], *groups["lint"]]
    wanted = {
        "requirements-build.txt": [*groups["build"], *PROJECT["build-system"]["requires"]],
        "requirements.txt": base,
        "requirements-spark.txt": [*base, *extras["spark"]],
    }
    return [Requirement(text) for text in wanted[lock]]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_has_every_dependency_within_its_cap(lock: str, python: str, platform: str) -> None:
    """Who changes pyproject.toml makes the locks anew."""
    locked = pins(lock, python, platform)
    found = [(want, locked.get(canonicalize_name(want.name))) for want in asked(lock)]
    assert [str(want) for want, version in found if version is None or version not in want.specifier] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_nothing_in_the_lock_is_without_a_hash(lock: str) -> None:
    """Every line is a comment, a pin, or a sha256 of that pin."""
    rest = ENTRY.sub("", (ROOT / "deploy" / lock).read_text())
    assert [line for line in rest.splitlines() if not line.startswith("#")] == []
    unhashed = [entry["name"] for entry in entries(lock) if not re.search(r"sha256:[0-9a-f]{64}\b", entry["hashes"])]
    assert unhashed == []


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_says_how_it_was_made(lock: str) -> None:
    """The command in its head writes this very file, for every Python, and asks no particular index."""
    head = (ROOT / "deploy" / lock).read_text().split("\n")[1]
    command = head.removeprefix("#").split()
    assert command[:3] == ["uv", "pip", "compile"]
    assert {"--universal", "--generate-hashes", "--no-emit-index-url"} <= set(command)
    assert command[command.index("--python-version") + 1] == PYTHONS[0]
    assert command[-1] == f"deploy/{lock}"
    assert "://" not in (ROOT / "deploy" / lock).read_text()


def test_the_locks_agree() -> None:
    """With Spark, or while building, a package has the version that it has without."""
    base = {(entry["name"], entry["version"]) for entry in entries("requirements.txt")}
    assert base <= {(entry["name"], entry["version"]) for entry in entries("requirements-spark.txt")}
    names = {name for name, _ in base}
    build = {(entry["name"], entry["version"]) for entry in entries("requirements-build.txt") if entry["name"] in names}
    assert build <= base


def test_the_embedded_path_needs_no_java() -> None:
    """Spark comes with its own lock only."""
    assert not {"pyspark", "py4j", "dagster-pyspark"} & {entry["name"] for entry in entries("requirements.txt")}


def test_every_dependency_has_a_cap() -> None:
    """A new major version reaches users through a change here, never by itself."""
    wants = {want for lock in LOCKS for want in asked(lock)}
    assert {str(want) for want in wants if not any(part.operator in {"<", "=="} for part in want.specifier)} == set()


def test_dagster_and_its_integrations_are_one_release() -> None:
    """1.x.y of Dagster fits 0.(16 + x).y of its integrations only."""
    locked = pins("requirements-spark.txt", PYTHONS[0], PLATFORMS[0])
    core = locked["dagster"]
    assert locked["dagster-webserver"] == core
    for name in ("dagster-mlflow", "dagster-pyspark"):
        assert locked[name].release == (0, core.minor + 16, core.micro)
