"""Imports go one way, and what must be instant loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = sorted((ROOT / "ml_assets/lib/core").glob("*.py"))
PACKAGES = {path.parent.name for path in (ROOT / "ml_assets/lib").glob("*/__init__.py")}
CONTRACTS = {
    contract["name"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}
HEAVY = {"dagster", "feast", "ibis", "lakefs", "lakefs_sdk", "mlflow", "pandas", "pandera", "pyiceberg", "pyspark"}
HEAVY |= {"sklearn", "skops"}
LIGHT = [f"ml_assets.lib.{name}" for name in sorted(PACKAGES - {"assets"})]  # assets is Dagster's adapter


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_core_imports_no_framework(path: Path) -> None:
    """The core can be read, typed and tested with nothing else installed; not even a function imports a framework."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    roots = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    roots |= {(node.module or "").split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    assert roots & HEAVY == set()


@pytest.mark.parametrize("module", ["ml_assets", "ml_assets.cli", "ml_assets.settings", *LIGHT])
def test_importing_a_package_loads_nothing_heavy(module: str) -> None:
    """Heavy libraries come with the adapter that needs them, when it is asked to do something."""
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & HEAVY == set()


def short(modules: list[str]) -> set[str]:
    """The packages of lib among these modules, by their last name."""
    return {module.removeprefix("ml_assets.lib.") for module in modules if module.startswith("ml_assets.lib.")}


@pytest.mark.parametrize(
    ("name", "side", "excused"),
    [
        ("lib.declare imports only lib.core", "forbidden_modules", {"core", "declare"}),
        ("lib.devlake imports only lib.core", "forbidden_modules", {"core", "devlake"}),
        ("Declarations use lib.declare and nothing else of the machinery", "forbidden_modules", {"declare"}),
        (
            "lib.declare is used by defs, engines, gate and assets only",
            "source_modules",
            {"declare", "engines", "gate", "assets"},
        ),
    ],
)
def test_every_contract_covers_every_package(name: str, side: str, excused: set[str]) -> None:
    """Who adds a package to lib says what it may import; a list that forgets it lets everything through."""
    assert short(CONTRACTS[name][side]) == PACKAGES - excused


def test_every_package_has_its_layer() -> None:
    """Each package of lib stands in the layers, but the two that have a contract of their own."""
    layers = CONTRACTS["Imports go one way"]["layers"]
    names = {part.strip(" ()") for layer in layers for part in layer.split("|")}
    assert PACKAGES - short(list(names)) == {"declare", "devlake"}
