"""Writes of who looks after a lake, beside clients that write."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ml_assets.lib.core.errors import LakeError
from ml_assets.lib.devlake import maintenance
from ml_assets.lib.devlake.database import PATIENCE_MS
from ml_assets.lib.devlake.repo import Lake
from ml_assets_tests.devlake.local import REPO

RENAME = "UPDATE repository SET default_branch = ?"


@pytest.fixture
def client(lake: Lake, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A client that is writing."""
    database = tmp_path / "lake" / "lake.db"
    with closing(sqlite3.connect(database, isolation_level=None, check_same_thread=False)) as found:
        found.execute("BEGIN IMMEDIATE")
        found.execute(RENAME, ("client",))
        yield found


def on_third_sleep(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something while a write waits for its turn. It must ask often: a busy server's lock is seldom free."""
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        assert seconds <= 0.001
        if len(naps) == 3:
            act()

    monkeypatch.setattr(maintenance.time, "sleep", sleep)  # type: ignore[attr-defined]  # what the module imports


def test_a_write_waits_for_its_turn(
    lake: Lake, client: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sees what was written before it, and waits as patiently as ever for others afterwards."""
    on_third_sleep(monkeypatch, lambda: client.execute("COMMIT"))
    with maintenance.opened(tmp_path / "lake") as opened:
        with opened.write() as transaction:
            assert transaction.all("SELECT default_branch FROM repository") == [("client",)]
            transaction.run(RENAME, "maintenance")
        assert opened.connection.execute("PRAGMA busy_timeout").fetchone() == (PATIENCE_MS,)
    assert lake.repositories.get(REPO).default_branch == "maintenance"


def test_a_turn_that_never_comes(client: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says who was in the way; nothing is written, and the next try can."""
    monkeypatch.setattr(maintenance, "TURN_S", 0.0)
    with maintenance.opened(tmp_path / "lake") as opened:
        with pytest.raises(LakeError, match="clients kept writing to the lake for 0 s"), opened.write():
            pytest.fail("beside a writer")
        client.execute("ROLLBACK")
        with opened.write() as transaction:
            assert transaction.run(RENAME, "maintenance") == 1
