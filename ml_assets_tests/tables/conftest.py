"""Fixtures of the tables' tests."""

from __future__ import annotations

import pytest

from ml_assets.lib.core.refs import Branch
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.lakes import lake, lake_endpoint

__all__ = ["lake", "lake_endpoint", "main", "tables", "work"]


@pytest.fixture
def main() -> Branch:
    """The default branch."""
    return Branch("main")


@pytest.fixture
def tables(lake: Lake) -> Tables:
    """The tables of an empty repository."""
    return Tables(lake)


@pytest.fixture
def work(lake: Lake, main: Branch) -> Branch:
    """A branch at the first commit; its name is easy to find where it does not belong."""
    branch = Branch("run-leaking-name")
    lake.branch(branch, main)
    return branch
