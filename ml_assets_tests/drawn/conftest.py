"""Fixtures of the drawn packages: where they are written, and where they run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ml_assets_tests.drawn.harness import Bench
from ml_assets_tests.drawn.packages import write_distribution
from ml_assets_tests.lakes import LakeEndpoint, lake_endpoint

__all__ = ["bench", "folder", "lake_endpoint"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packages are written, on ``sys.path``; with the distribution in which their sources find rows."""
    made = tmp_path / "packages"
    write_distribution(made)
    monkeypatch.syspath_prepend(made)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return made


@pytest.fixture
def bench(lake_endpoint: LakeEndpoint, folder: Path, tmp_path: Path) -> Bench:
    """Where packages run, with DuckDB alone."""
    home = tmp_path / "home"
    home.mkdir()
    return Bench(lake_endpoint, home, folder)
