"""`ml-assets lake gc|check|backup|restore`: what is asked for is done and said, and the exit status tells."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ml_assets.cli import main
from ml_assets.lib.devlake.repo import Lake
from ml_assets_tests.devlake.local import contents, opened, put, put_all, spoil


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lake of a state folder: two objects, and one that was overwritten."""
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path / "home"))
    root = tmp_path / "home" / "lake"
    with opened(root) as lake:
        put_all(lake, "main", {"a": "one", "b": "two"})
        put(lake, "main", "c", "overwritten")
        put(lake, "main", "c", "three")
        put(lake, "main", "large", "x" * 100_000)
    return root


def lake(*words: str | Path) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["lake", *map(str, words)])


def test_gc(root: Path) -> None:
    """Nothing is removed before it is old enough, nor in a dry run."""
    assert "too young     1 files, 11 bytes" in lake("gc").output
    assert "would remove  1 files, 11 bytes" in lake("gc", "--grace-hours", "0", "--dry-run").output
    assert "removed       1 files, 11 bytes" in lake("gc", "--grace-hours", "0").output
    assert "removed       0 files, 0 bytes" in lake("gc", "--grace-hours", "0").output


def test_check(root: Path) -> None:
    """Problems are named, and are an exit status of 1."""
    assert lake("check").exit_code == 0
    spoil(root, b"two", b"2wo")
    assert lake("check", "--quick").exit_code == 0
    found = lake("check")
    assert found.exit_code == 1
    assert "object b in branch repo/main" in found.output
    assert "problems      1" in found.output


def test_backup_and_restore(root: Path, tmp_path: Path) -> None:
    """There and back; what is there is never overwritten, and the error says what to do."""
    folder = tmp_path / "backup"
    assert "holds 1 files of 100,000 bytes, and a database of" in lake("backup", folder).output
    assert "0 files are new" in lake("backup", folder).output
    refused = lake("restore", folder)
    assert refused.exit_code == 1
    assert "is not empty" in refused.output
    shutil.rmtree(root)
    assert lake("restore", folder).exit_code == 0
    restored = Lake(root)
    assert contents(restored, "main") == {"a": "one", "b": "two", "c": "three", "large": "x" * 100_000}
    restored.close()


def test_no_lake(tmp_path: Path) -> None:
    """A wrong folder is an error, and does not become a lake."""
    for words in (["gc"], ["check"], ["backup", str(tmp_path / "backup")]):
        refused = lake(*words, "--root", tmp_path / "none")
        assert refused.exit_code == 1
        assert "there is no lake" in refused.output
    assert not (tmp_path / "none").exists()
