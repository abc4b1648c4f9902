"""Fixtures of the tables' tests."""

from __future__ import annotations

import pytest
from pyiceberg.io import InputFile

from ml_assets.lib.core.refs import Branch
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables.file_io import PinnedFileIO
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.lakes import lake, lake_endpoint

__all__ = ["lake", "lake_endpoint", "main", "opened", "tables", "work"]


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


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Locations that PyIceberg has opened to read, since the list was last cleared."""
    locations: list[str] = []
    real = PinnedFileIO.new_input

    def watched(io: PinnedFileIO, location: str) -> InputFile:
        locations.append(location)
        return real(io, location)

    monkeypatch.setattr(PinnedFileIO, "new_input", watched)
    return locations
