"""Fixtures of the lake's tests."""

from __future__ import annotations

from functools import partial

import pytest
from tenacity import Retrying

from ml_assets.lib.core.refs import Branch, Commit
from ml_assets.lib.lake import connection
from ml_assets.lib.lake.client import Lake
from ml_assets_tests.lakes import lake, lake_endpoint

__all__ = ["base", "lake", "lake_endpoint", "main", "no_waiting", "work"]


@pytest.fixture
def main() -> Branch:
    """The default branch."""
    return Branch("main")


@pytest.fixture
def base(lake: Lake, main: Branch) -> Commit:
    """A commit on main with the objects ``a/1``, ``a/2`` and ``b/3``."""
    for path in ("a/1", "a/2", "b/3"):
        lake.put(main, path, path.encode())
    return lake.commit(main, "base", {})


@pytest.fixture
def work(lake: Lake, base: Commit) -> Branch:
    """A branch at *base*."""
    branch = Branch("work")
    lake.branch(branch, base)
    return branch


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are sent again without a pause."""
    monkeypatch.setattr(connection, "Retrying", partial(Retrying, sleep=lambda _: None))
