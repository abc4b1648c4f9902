"""Databases of other versions: older ones are brought up to date, as a whole or not at all."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ml_assets.lib.devlake import schema, store
from ml_assets.lib.devlake.backup import backup
from ml_assets.lib.devlake.check import check
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.retention import Rules
from ml_assets.lib.devlake.schema import STEPS, VERSION
from ml_assets_tests.devlake.local import REPO, contents, opened, put, put_all

DIGESTS = ["dde202f9fd9c8282", "07ed3f1bbd0d2feb", "88744ef525878bfc", "6b7c8c434ffec0b2"]


def tables(path: Path) -> list[tuple[str, str]]:
    """The tables of a database as they were made."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()


def version(path: Path) -> int:
    """The version of a database."""
    with closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return found


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A lake as version 1 had it: without the tables that came later."""
    root = tmp_path / "old"
    with pytest.MonkeyPatch.context() as patch, opened(root) as lake:
        patch.setattr(store, "SMALL", -1)
        put_all(lake, "main", {"a": "one", "b": "two"})
        put(lake, "main", "a", "staged")
    with closing(sqlite3.connect(root / "lake.db", isolation_level=None)) as connection:
        for table in ("retention", "collected", "action_run", "hook_run", "small_file"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version=1")
    return root


def test_steps_do_not_change() -> None:
    """A step that was ever taken is taken for good: a change to the tables is a new step."""
    digests = [hashlib.sha256(" ".join(step.split()).encode()).hexdigest()[:16] for step in STEPS.values()]
    assert digests == DIGESTS
    assert list(STEPS) == list(range(VERSION))


def test_an_older_database_is_brought_up_to_date(old: Path, tmp_path: Path) -> None:
    """It has what a new one has, and everything that it had."""
    lake = Lake(old)
    assert contents(lake, "main") == {"a": "staged", "b": "two"}
    assert contents(lake, "main@") == {"a": "one", "b": "two"}
    lake.retention.put(REPO, Rules(1, {}))
    lake.close()
    with opened(tmp_path / "new"):
        pass
    assert tables(old / "lake.db") == tables(tmp_path / "new" / "lake.db")
    assert version(old / "lake.db") == VERSION
    assert check(old, pytest.fail).problems == 0


def test_a_step_that_fails_leaves_the_database_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps are one transaction; the next attempt begins where this one did."""
    before = tables(old / "lake.db")
    with monkeypatch.context() as patched:
        patched.setattr(schema, "STEPS", {**STEPS, 1: f"{STEPS[1]}; SELECT no_such_function()"})
        with pytest.raises(sqlite3.OperationalError, match="no_such_function"):
            Lake(old)
    assert (tables(old / "lake.db"), version(old / "lake.db")) == (before, 1)
    Lake(old).close()
    assert version(old / "lake.db") == VERSION


def test_looking_after_it_brings_it_up_to_date_too(old: Path) -> None:
    """A check of an older lake needs no server."""
    assert check(old, pytest.fail).problems == 0
    assert version(old / "lake.db") == VERSION


def test_looking_after_it_waits_for_nobody_who_writes(tmp_path: Path) -> None:
    """A lake of this version is opened, and read, while a client writes."""
    with opened(tmp_path / "lake"), closing(sqlite3.connect(tmp_path / "lake" / "lake.db")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert check(tmp_path / "lake", pytest.fail).problems == 0
        backup(tmp_path / "lake", tmp_path / "backup")
        assert check(tmp_path / "backup", pytest.fail).problems == 0


def test_two_at_once(old: Path) -> None:
    """Whoever comes second finds it done."""
    lakes = [Lake(old), Lake(old)]
    for lake in lakes:
        assert contents(lake, "main")["a"] == "staged"
    for lake in lakes:
        lake.close()
