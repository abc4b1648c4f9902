"""Backups: consistent while clients write, whole or resumable when killed, and the way back."""

from __future__ import annotations

import hashlib
import itertools
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from ml_assets.lib.core.errors import LakeError
from ml_assets.lib.devlake import backup as module
from ml_assets.lib.devlake import maintenance, store
from ml_assets.lib.devlake.backup import Copied, backup, restore
from ml_assets.lib.devlake.check import check
from ml_assets.lib.devlake.files import Files
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.schema import VERSION, SchemaVersionError
from ml_assets_tests.devlake.local import REPO, contents, put, put_all, spoil


@pytest.fixture
def root(lake: Lake, tmp_path: Path) -> Path:
    """The folder of a lake with two commits and something staged."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "SMALL", -1)
        put_all(lake, "main", {"a": "one", "b": "b", "large": "l" * (module.LARGE + 1)})
        put_all(lake, "main", {"a": "two"})
        put(lake, "main", "staged", "staged")
    put(lake, "main", "row", "kept as a row")
    return tmp_path / "lake"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the backup goes."""
    return tmp_path / "backup"


def everything(root: Path) -> dict[str, dict[str, str]]:
    """The objects of each commit and branch of a lake, which must be whole."""
    assert check(root, pytest.fail).problems == 0
    lake = Lake(root)
    try:
        refs = [commit.id for commit in lake.commits.log(REPO, "main").items]
        return {ref: contents(lake, ref) for ref in ["main", *refs]}
    finally:
        lake.close()


@pytest.mark.parametrize("link", [True, False])
def test_there_and_back(root: Path, folder: Path, tmp_path: Path, link: bool) -> None:
    """What comes back is what was there; on the same disk files are linked, or copied if that is asked for."""
    before = everything(root)
    copied = backup(root, folder, link=link)
    size = 6 + 1 + module.LARGE + 1 + 6
    assert copied == Copied((folder / "lake.db").stat().st_size, 5, size, 5, size)
    links = {path.stat().st_nlink for path in (folder / "objects").rglob("*") if path.is_file()}
    assert links == {2 if link else 1}
    assert everything(folder) == before
    back = tmp_path / "new" / "lake"
    assert restore(folder, back) == copied
    assert {path.stat().st_nlink for path in (back / "objects").rglob("*") if path.is_file()} == {1}
    assert everything(back) == before


def test_another_disk(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files cannot be linked, they are copied."""

    def refuse(*_arguments: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    backup(root, folder)
    assert {path.stat().st_nlink for path in (folder / "objects").rglob("*") if path.is_file()} == {1}
    assert everything(folder) == everything(root)


def test_only_what_is_new_is_copied(lake: Lake, root: Path, folder: Path) -> None:
    """A second backup into the same folder brings it up to date, even if somebody has looked into it."""
    backup(root, folder)
    put_all(lake, "main", {"new": "something new" * module.LARGE, "row": "a row"})
    Lake(folder).close()
    copied = backup(root, folder)
    assert (copied.files, copied.new_files, copied.new_bytes) == (6, 1, len("something new" * module.LARGE))
    assert everything(folder) == everything(root)


@pytest.mark.usefixtures("small")
def test_it_is_consistent_while_clients_write(lake: Lake, root: Path, folder: Path) -> None:
    """Whatever is written meanwhile: the copy is whole, and has all that was answered before it began."""
    answered: list[str] = []
    begun, going_on, stop = threading.Event(), threading.Event(), threading.Event()

    def write(number: int) -> None:
        for count in itertools.count():
            going_on.wait()
            if stop.is_set():
                return
            path = f"{number}/{count}"
            put_all(lake, "main", {path: path})
            answered.append(path)
            begun.set()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(4):
            begun.clear()
            going_on.set()
            assert begun.wait(60)
            before = list(answered)
            backup(root, folder)
            going_on.clear()  # every commit is read below, and writers are faster than that
            assert set(before) <= everything(folder)["main"].keys()
    finally:
        stop.set()
        going_on.set()
        for writer in writers:
            writer.join()


def test_the_database_comes_first(lake: Lake, root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed after the snapshot is not in the copy; so no row of the copy can name a file that is not."""
    copy_database = module._copy_database

    def copied(*arguments: Any) -> None:
        copy_database(*arguments)
        put_all(lake, "main", {"late": "too late"})

    monkeypatch.setattr(module, "_copy_database", copied)
    backup(root, folder)
    assert "late" not in everything(folder)["main"]


class Killed(BaseException):
    """Stands for kill -9."""


STEPS: list[tuple[object, str]] = [
    (module, "_copy_database"),
    (module, "_copy_together"),
    (module, "_copy_large"),
    (Files, "sync"),
    (module, "_settle"),
    (module, "sync_folder"),
]


def kill_at(monkeypatch: pytest.MonkeyPatch, step: tuple[object, str], *, before: bool) -> None:
    """Die before or after a step."""
    real: Callable[..., Any] = getattr(*step)

    def killed(*arguments: Any) -> None:
        if not before:
            real(*arguments)
        raise Killed

    monkeypatch.setattr(*step, killed)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("step", STEPS, ids=[name for _, name in STEPS])
def test_killed_anywhere(lake: Lake, root: Path, folder: Path, step: tuple[object, str], before: bool) -> None:
    """The last backup stays good until the next one is whole, and the next attempt completes it; so does a restore."""
    backup(root, folder, link=False)
    old = everything(folder)
    put_all(lake, "main", {"new": "new", "large": "n" * (module.LARGE + 1)})
    new = everything(root)
    with pytest.MonkeyPatch.context() as patched:
        kill_at(patched, step, before=before)
        with pytest.raises(Killed):
            backup(root, folder, link=False)
    assert everything(folder) in (old, new)
    backup(root, folder, link=False)
    assert everything(folder) == new
    back = folder.with_name("back")
    with pytest.MonkeyPatch.context() as patched:
        kill_at(patched, step, before=before)
        with pytest.raises(Killed):
            restore(folder, back)
    if not (back / "lake.db").exists():
        restore(folder, back)
    assert everything(back) == new


def test_a_restore_goes_to_an_empty_folder(root: Path, folder: Path, tmp_path: Path) -> None:
    """Neither a lake nor anything else is overwritten, nor a folder that a server holds."""
    backup(root, folder)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "x").write_text("mine")
    for taken in (root, tmp_path / "notes"):
        before = sorted(path.name for path in taken.iterdir())
        with pytest.raises(LakeError, match="is not empty"):
            restore(folder, taken)
        after = sorted(path.name for path in taken.iterdir())
        assert {*after} - {*before} <= {"server.lock", "maintenance.lock"}
    with pytest.raises(LakeError, match="there is no lake"):
        restore(tmp_path / "notes", tmp_path / "other")
    (tmp_path / "held").mkdir()
    with FileLock(tmp_path / "held" / "server.lock"), pytest.raises(LakeError, match="a server holds"):
        restore(folder, tmp_path / "held")


def test_a_backup_goes_beside_the_lake(root: Path, folder: Path) -> None:
    """Not into it, not over something else, and not while somebody looks after the lake."""
    with pytest.raises(LakeError, match="within the lake"):
        backup(root, root / "backup")
    folder.mkdir()
    (folder / "notes").write_text("mine")
    with pytest.raises(LakeError, match="holds notes"):
        backup(root, folder)
    (folder / "notes").unlink()
    with maintenance.exclusive(root), pytest.raises(LakeError, match="another process"):
        backup(root, folder)


def test_damage_is_not_copied(root: Path, folder: Path, tmp_path: Path) -> None:
    """A file that has rotted is named when it is copied, and the copy is no backup."""
    backup(root, folder, link=False)
    for content in (b"staged", b"l" * (module.LARGE + 1), b"kept as a row"):
        rotten = b"x" + content[1:]
        spoil(folder, content, rotten)
        back = tmp_path / f"back{len(content)}"
        with pytest.raises(LakeError, match=hashlib.sha256(content).hexdigest()):
            restore(folder, back)
        assert not (back / "lake.db").exists()
        spoil(folder, rotten, content)
        restore(folder, back)


def test_a_backup_of_a_newer_version_is_refused(root: Path, folder: Path, tmp_path: Path) -> None:
    """It is left as it is."""
    backup(root, folder)
    connection = sqlite3.connect(folder / "lake.db")
    connection.execute(f"PRAGMA user_version={VERSION + 1}")
    connection.close()
    with pytest.raises(SchemaVersionError):
        restore(folder, tmp_path / "back")
