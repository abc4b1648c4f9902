"""The tree is what the architecture says, and nothing in it belongs to one machine."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())


def tracked() -> list[Path]:
    """The files that git keeps, or would keep at the next commit, relative to the project."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [Path(name) for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_top_level_is_short() -> None:
    """Whoever opens the project sees six names, and a seventh needs a change of the architecture."""
    allowed = {"README.md", "deploy", "ml_assets", "ml_assets_tests", "pyproject.toml", "workspace.yaml"}
    dotted = {".ci", ".github", ".gitignore", ".pre-commit-config.yaml"}
    assert {path.parts[0] for path in tracked()} <= allowed | dotted


@pytest.mark.parametrize("name", [".venv/x", ".venv.lock", ".ml_assets/lake/x", "ml_assets/__pycache__/x.pyc", ".env"])
def test_what_a_run_leaves_is_ignored(name: str) -> None:
    """State, secrets and caches cannot be committed by mistake."""
    tracked()
    done = subprocess.run(["git", "check-ignore", "--no-index", "-q", name], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_no_file_names_a_machine_or_a_registry() -> None:
    """Paths of a home folder, and hosts that serve packages, differ between machines."""
    foreign = re.compile(r"/(?:home|root|Users)/\w|\bpypi\.|files\.pythonhosted|--(?:extra-)?index-url|--find-links")
    found = []
    for path in tracked():
        if path == Path(__file__).relative_to(ROOT):
            continue
        text = (ROOT / path).read_bytes().decode(errors="ignore")
        found += [f"{path}: {match[0]}" for match in foreign.finditer(text)]
    assert found == []


def test_every_package_of_the_machinery_is_typed_and_says_its_law() -> None:
    """`py.typed` is there, and each package's docstring says what it is for."""
    assert (ROOT / "ml_assets/py.typed").exists()
    packages = [path.parent for path in (ROOT / "ml_assets").rglob("__init__.py")]
    assert packages
    assert [path for path in packages if not (path / "__init__.py").read_text().startswith('"""')] == []


def test_dagster_loads_one_code_location() -> None:
    """`workspace.yaml` names `ml_assets.definitions`, as does nothing else."""
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    (location,) = workspace["load_from"]
    assert location["python_module"]["module_name"] == "ml_assets.definitions"


def test_ci_runs_what_people_run() -> None:
    """CI and pre-commit call `deploy/run`; neither has a list of checks of its own."""
    steps = WORKFLOW["jobs"]["check"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert re.findall(r"deploy/run\W* (\w+)", (ROOT / ".ci/run").read_text()) == ["lint", "test"]
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == ["deploy/run lint"]


def test_ci_covers_every_python_that_is_promised() -> None:
    """The matrix is exactly `requires-python`."""
    low, high = re.findall(r"3\.(\d+)", PROJECT["project"]["requires-python"])
    assert WORKFLOW["jobs"]["check"]["strategy"]["matrix"]["python"] == [f"3.{n}" for n in range(int(low), int(high))]


def test_ci_trusts_no_moving_name() -> None:
    """Actions are pinned to a commit, the token can only read, and no secret is asked for."""
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    uses = re.findall(r"uses: (\S+)", text)
    assert uses
    assert [name for name in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", name)] == []
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "secrets." not in text
