"""Fixtures of the tests of what people write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ibis
import pytest
from ibis.backends.duckdb import Backend

from ml_assets_tests.declare.packages import Package, packages


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """A lawful package of declarations, to be edited."""
    yield from packages(tmp_path, monkeypatch)


@pytest.fixture
def duck() -> Iterator[Backend]:
    """DuckDB in UTC."""
    backend = ibis.duckdb.connect()
    backend.con.execute("SET GLOBAL TimeZone = 'UTC'")
    yield backend
    backend.disconnect()
