"""Garbage collection: what is needed stays, whatever happens meanwhile; the rest goes, and is counted."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ml_assets.lib.core.errors import LakeError
from ml_assets.lib.devlake import gc, maintenance, small_files
from ml_assets.lib.devlake.database import Transaction
from ml_assets.lib.devlake.errors import Gone, Invalid, UploadNotFound, Vanished
from ml_assets.lib.devlake.files import Files
from ml_assets.lib.devlake.gc import Report
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.retention import Rules
from ml_assets.lib.devlake.store import Store
from ml_assets_tests.devlake.local import REPO, USER, commit, contents, opened, put, start_upload, stored

pytestmark = pytest.mark.usefixtures("small")

NOW = timedelta(0)
DAY_S = 24 * 3600


@pytest.fixture
def root(lake: Lake, tmp_path: Path) -> Path:
    """The folder of the fixture ``lake``."""
    return tmp_path / "lake"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits in these tests."""
    monkeypatch.setattr(gc, "PAUSE_S", 0)


def commit_days_ago(lake: Lake, branch: str, days: int) -> str:
    """Commit what is staged as if it were *days* ago."""
    seconds = int(time.time()) - days * DAY_S
    return lake.commits.create(REPO, branch, "m", committer=USER, seconds=seconds, allow_empty=True).id


def aged(lake: Lake) -> tuple[str, str, str]:
    """Three commits on main, 30, 20 and 10 days old; each replaces ``a`` and adds an object of its own."""
    ids = []
    for days in (30, 20, 10):
        put(lake, "main", "a", f"a at {days}")
        put(lake, "main", f"only/{days}", f"only at {days}")
        ids.append(commit_days_ago(lake, "main", days))
    return ids[0], ids[1], ids[2]


def test_what_is_needed_stays(lake: Lake, root: Path) -> None:
    """Without rules: every commit, hidden branches, what is staged, parts of open uploads."""
    first = commit_days_ago(lake, "main", 5000)
    put(lake, "main", "a", "one")
    second = commit_days_ago(lake, "main", 4000)
    lake.branches.create(REPO, "hidden", "main", hidden=True)
    put(lake, "hidden", "h", "hidden")
    commit_days_ago(lake, "hidden", 3000)
    put(lake, "hidden", "s", "staged on a hidden branch")
    put(lake, "main", "a", "two")
    upload = start_upload(lake, "main", "big", "part 1", "part 2")
    needed = stored(root)
    report = gc.collect(root, grace=NOW)
    assert report == Report(kept=len(needed), kept_bytes=sum(map(len, ("one", "hidden", "two"))) + 25 + 2 * 6)
    assert stored(root) == needed
    lake.uploads.complete(REPO, upload)
    assert gc.collect(root, grace=NOW).removed == 0
    assert contents(lake, "main") == {"a": "two", "big": "part 1part 2"}
    assert contents(lake, "hidden") == {"a": "one", "h": "hidden", "s": "staged on a hidden branch"}
    assert contents(lake, first) == {}
    assert contents(lake, second) == {"a": "one"}


def test_what_nothing_names_goes(lake: Lake, root: Path) -> None:
    """Overwritten or deleted before a commit, replaced and aborted parts, bytes without a row: all are counted."""
    put(lake, "main", "a", "first")
    put(lake, "main", "a", "second")
    put(lake, "main", "b", "deleted")
    lake.objects.delete(REPO, "main", "b")
    upload = start_upload(lake, "main", "big", "replaced")
    lake.uploads.put_part(REPO, upload, 1, lake.store.files.write(b"aborted"))
    lake.uploads.abort(REPO, upload)
    lake.store.files.write(b"without a row")
    report = gc.collect(root, grace=NOW)
    gone = ("first", "deleted", "replaced", "aborted", "without a row")
    assert report == Report(kept=1, kept_bytes=6, removed=len(gone), removed_bytes=sum(map(len, gone)))
    assert contents(lake, "main") == {"a": "second"}
    assert len(stored(root)) == 1


def test_old_commits_lose_their_bytes(lake: Lake, root: Path) -> None:
    """As in lakeFS: the commit stays, what only it named is gone (410); a tag does not keep it, a branch does."""
    old, middle, new = aged(lake)
    lake.retention.put(REPO, Rules(15, {}))
    lake.tags.create(REPO, "tag", old)
    lake.branches.create(REPO, "keep", old, hidden=True)
    assert gc.collect(root, grace=NOW).removed == 0
    lake.branches.delete(REPO, "keep")
    report = gc.collect(root, grace=NOW)
    assert (report.removed, report.expired, report.removed_bytes) == (1, 1, len("a at 30"))
    assert lake.commits.get(REPO, "tag").id == old
    entry = lake.objects.stat(REPO, old, "a")
    with pytest.raises(Gone) as missing:
        lake.store.read(entry.address)
    assert missing.value.status == 410
    assert lake.store.read(lake.objects.stat(REPO, old, "only/30").address) == b"only at 30"
    assert contents(lake, middle)["a"] == "a at 20"
    assert contents(lake, new) == {
        "a": "a at 10",
        "only/30": "only at 30",
        "only/20": "only at 20",
        "only/10": "only at 10",
    }


def test_bytes_that_are_kept_twice(lake: Lake, root: Path, small: bool) -> None:
    """Content that came as a part and as a small object is two files: needed both, or removed both."""
    lake.store.files.write(b"same")
    put(lake, "main", "a", "same")
    copies = 2 if small else 1
    assert gc.collect(root, grace=NOW) == Report(kept=copies, kept_bytes=4 * copies)
    lake.objects.delete(REPO, "main", "a")
    foretold = gc.collect(root, grace=NOW, dry_run=True)
    assert gc.collect(root, grace=NOW) == foretold == Report(removed=copies, removed_bytes=4 * copies)
    assert stored(root) == {}


def test_the_days_of_a_branch(lake: Lake, root: Path) -> None:
    """A rule for a branch replaces the default for its commits alone."""
    old, middle, _ = aged(lake)
    lake.retention.put(REPO, Rules(0, {"main": 25}))
    assert gc.collect(root, grace=NOW).removed == 0
    assert contents(lake, old)["a"] == "a at 30"
    lake.retention.put(REPO, Rules(25, {"main": 0}))
    assert gc.collect(root, grace=NOW).expired == 2
    with pytest.raises(Gone):
        contents(lake, middle)


def test_bytes_come_back(lake: Lake, root: Path) -> None:
    """Uploading the same bytes again heals old commits, too."""
    old, _, _ = aged(lake)
    lake.retention.put(REPO, Rules(0, {}))
    assert gc.collect(root, grace=NOW).expired == 2
    put(lake, "main", "again", "a at 30")
    assert contents(lake, old)["a"] == "a at 30"
    assert gc.collect(root, grace=NOW).removed == 0
    assert contents(lake, old)["a"] == "a at 30"


def test_collected_objects_are_not_copied(lake: Lake, root: Path) -> None:
    """Neither as an object nor by their address: a new name for missing bytes would be a loss."""
    old, _, _ = aged(lake)
    lake.retention.put(REPO, Rules(0, {}))
    entry = lake.objects.stat(REPO, old, "a")
    gc.collect(root, grace=NOW)
    with pytest.raises(Gone):
        lake.objects.copy(REPO, "main", "copy", source_ref=old, source_path="a")
    assert "copy" not in contents(lake, "main")
    with pytest.raises(Invalid, match="no 7 bytes are stored there"):
        lake.objects.link(
            REPO, "main", "x", entry.address, size=7, etag=entry.etag, mtime=None, content_type="", metadata={}
        )


def test_a_dry_run_reports_and_changes_nothing(lake: Lake, root: Path) -> None:
    """It says what the real run then does."""
    aged(lake)
    lake.retention.put(REPO, Rules(0, {}))
    put(lake, "main", "a", "overwritten")
    put(lake, "main", "a", "staged")
    lake.repositories.create("other", "local://other")
    lake.objects.stage("other", "main", "x", lake.store.files.write(b"x"), content_type="", metadata={})
    lake.commits.create("other", "main", "m", committer=USER)
    lake.repositories.delete("other")
    (root / "temporary" / "left").write_bytes(b"half an upload")
    before = stored(root)
    foretold = gc.collect(root, grace=NOW, dry_run=True)
    assert stored(root) == before
    assert (foretold.removed, foretold.expired, foretold.ranges, foretold.leftover_bytes) == (4, 2, 1, 14)
    assert gc.collect(root, grace=NOW) == foretold
    again = gc.collect(root, grace=NOW)
    assert again == Report(kept=foretold.kept, kept_bytes=foretold.kept_bytes)


def test_young_files_are_left_alone(lake: Lake, root: Path) -> None:
    """An upload has its file before its row; so does one that is still being received."""
    blob = lake.store.files.write(b"between file and row")
    with lake.store.files.writer() as writer:
        writer.write(b"half")
        report = gc.collect(root)
        assert (report.young, report.young_bytes, report.removed) == (1, blob.size, 0)
        writer.finish()
    lake.objects.stage(REPO, "main", "a", blob, content_type="", metadata={})
    for path in (root / "objects").rglob("*"):
        os.utime(path, (0, 0))
    assert gc.collect(root).removed == 1
    assert contents(lake, "main") == {"a": "between file and row"}


def test_deleted_repositories_leave_no_rows(lake: Lake, root: Path) -> None:
    """Trees that only they had are removed; what another repository shares stays."""
    lake.repositories.create("other", "local://other")
    for number in range(40):
        for repository in (REPO, "other"):
            blob = lake.store.files.write(f"{number} {repository if number % 2 else ''}".encode())
            lake.objects.stage(repository, "main", f"{number}", blob, content_type="", metadata={})
    commit(lake, "main")
    lake.commits.create("other", "main", "m", committer=USER)
    before = contents(lake, "main")
    lake.repositories.delete("other")
    report = gc.collect(root, grace=NOW)
    assert (report.removed, report.ranges, report.kept) == (20, 1, 40)
    with maintenance.opened(root) as kept, kept.read() as transaction:
        assert transaction.one("SELECT count(*) FROM entry") == (40,)
        assert transaction.one("SELECT count(*) FROM tree") == transaction.one(
            "SELECT count(DISTINCT tree) FROM history WHERE tree != ''"
        )
    assert contents(lake, "main") == before


def between(monkeypatch: pytest.MonkeyPatch, action: Callable[[], Any]) -> None:
    """Let *action* happen after garbage was found, before any of it is removed."""
    remove = gc._Collection.remove

    def removed(self: gc._Collection, found: Report) -> Report:
        action()
        return remove(self, found)

    monkeypatch.setattr(gc._Collection, "remove", removed)


def test_what_becomes_needed_meanwhile_stays(lake: Lake, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A branch on an old commit, a copy, a revert, a link: whatever names garbage before it is removed saves it."""
    old, middle, _ = aged(lake)
    lake.retention.put(REPO, Rules(0, {}))
    loose = lake.store.files.write(b"loose")

    def act() -> None:
        lake.branches.create(REPO, "saved", old)
        lake.objects.copy(REPO, "main", "copy", source_ref=middle, source_path="a")
        lake.objects.link(
            REPO, "main", "link", loose.address, size=5, etag=loose.md5, mtime=None, content_type="", metadata={}
        )

    between(monkeypatch, act)
    report = gc.collect(root, grace=NOW)
    assert (report.removed, report.expired) == (0, 0)
    assert contents(lake, "saved")["a"] == "a at 30"
    assert contents(lake, "main")["copy"] == "a at 20"
    assert contents(lake, "main")["link"] == "loose"


def test_rows_that_become_needed_meanwhile_stay(lake: Lake, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository with the trees of a deleted one is made between finding and removing."""

    def make(name: str) -> None:
        lake.repositories.create(name, f"local://{name}")
        blob = lake.store.files.write(b"same")
        lake.objects.stage(name, "main", "same", blob, content_type="", metadata={})
        lake.commits.create(name, "main", "m", committer=USER)

    make("one")
    lake.repositories.delete("one")
    between(monkeypatch, lambda: make("two"))
    assert gc.collect(root, grace=NOW).ranges == 0
    entry = lake.objects.stat("two", "main", "same")
    assert lake.store.read(entry.address) == b"same"


def test_a_row_is_refused_when_its_bytes_were_removed(lake: Lake, root: Path) -> None:
    """With too short a grace period an upload can lose its file before its row is written: then it is refused."""
    blob = lake.store.files.write(b"object")
    part = lake.store.files.write(b"part")
    upload = start_upload(lake, "main", "big")
    gc.collect(root, grace=NOW)
    with pytest.raises(Vanished) as refused:
        lake.objects.stage(REPO, "main", "a", blob, content_type="", metadata={})
    assert refused.value.status == 503
    with pytest.raises(Vanished):
        lake.uploads.put_part(REPO, upload, 1, part)
    assert contents(lake, "main") == {}
    assert lake.uploads.parts(REPO, upload) == []


def test_a_completed_upload_is_refused_when_a_part_was_removed(
    lake: Lake, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that is replaced while the upload is completed may be collected: the object is not made without it."""
    upload = start_upload(lake, "main", "big", "1", "2")
    join = Store.join

    def joined(self: Store, parts: Any) -> Any:
        lake.uploads.put_part(REPO, upload, 2, lake.store.files.write(b"other"))
        gc.collect(root, grace=NOW)
        return join(self, parts)

    monkeypatch.setattr(Store, "join", joined)
    with pytest.raises(Vanished):
        lake.uploads.complete(REPO, upload)
    monkeypatch.undo()
    lake.uploads.complete(REPO, upload)
    assert contents(lake, "main") == {"big": "1other"}
    with pytest.raises(UploadNotFound):
        lake.uploads.parts(REPO, upload)


STEPS = 11
"""Transactions and removed files of the collection that is killed below."""


class Killed(BaseException):
    """Stands for kill -9."""


def kill_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next collection die when it has done so many transactions and removed files, in all."""
    done = itertools.count()
    remove, remove_small, wait = Files.remove, small_files.remove, maintenance.Opened._wait_for_turn

    def take_a_step() -> None:
        if next(done) >= steps:
            raise Killed

    def removed(self: Files, name: str, before: float) -> bool:
        take_a_step()
        return remove(self, name, before)

    def removed_small(transaction: Transaction, name: str, before: float) -> bool:
        take_a_step()
        return remove_small(transaction, name, before)

    def waited(self: maintenance.Opened) -> None:
        take_a_step()
        wait(self)

    monkeypatch.setattr(Files, "remove", removed)
    monkeypatch.setattr(small_files, "remove", removed_small)
    monkeypatch.setattr(maintenance.Opened, "_wait_for_turn", waited)


@pytest.mark.parametrize("steps", range(STEPS + 1))
def test_killed_anywhere_it_runs_again(lake: Lake, root: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """After each transaction and each file the lake is whole, and the next run removes what the first has left."""
    monkeypatch.setattr(gc, "FILES", 2)
    monkeypatch.setattr(gc, "RANGES", 1)
    _, _, head = aged(lake)
    lake.retention.put(REPO, Rules(0, {}))
    for name in ("one", "two"):
        lake.repositories.create(name, f"local://{name}")
        lake.objects.stage(name, "main", name, lake.store.files.write(name.encode()), content_type="", metadata={})
        lake.commits.create(name, "main", "m", committer=USER)
        lake.repositories.delete(name)
    expected = contents(lake, head)
    foretold = gc.collect(root, grace=NOW, dry_run=True)
    kill_after(steps, monkeypatch)
    with pytest.raises(Killed) if steps < STEPS else nullcontext():
        gc.collect(root, grace=NOW)
    monkeypatch.undo()
    assert contents(lake, head) == expected
    assert contents(lake, "main") == expected
    gc.collect(root, grace=NOW)
    assert len(stored(root)) == foretold.kept
    assert contents(lake, "main") == expected


def test_it_stops_at_a_lost_list(lake: Lake, root: Path) -> None:
    """Without its list nobody knows the parts of an object: nothing is removed, and the error says what to do."""
    entry = lake.uploads.complete(REPO, start_upload(lake, "main", "big", "1", "2"))
    lake.store.files.write(b"garbage")
    lake.store.files.remove(entry.address.removesuffix(".parts"), before=time.time() + 1)
    before = stored(root)
    with pytest.raises(LakeError, match="lake check"):
        gc.collect(root, grace=NOW)
    assert stored(root) == before


def test_one_at_a_time(lake: Lake, root: Path) -> None:
    """Two collections, or one and a backup, do not meet; a folder without a lake is an error, not a new lake."""
    with maintenance.exclusive(root), pytest.raises(LakeError, match="another process"):
        gc.collect(root)
    with pytest.raises(LakeError, match="there is no lake"):
        gc.collect(root / "objects")
    assert not (root / "objects" / "lake.db").exists()


def test_other_files_are_left_alone(lake: Lake, root: Path) -> None:
    """What a store has not written is none of its business."""
    blob = lake.store.files.write(b"a")
    lake.objects.stage(REPO, "main", "a", blob, content_type="", metadata={})
    folder = next((root / "objects").iterdir())
    (folder / "notes.txt").write_text("mine")
    assert gc.collect(root, grace=NOW).kept == 1
    assert (folder / "notes.txt").read_text() == "mine"


def test_reopened(tmp_path: Path) -> None:
    """It works on a lake that nobody has open, and the lake opens after it."""
    with opened(tmp_path) as lake:
        put(lake, "main", "a", "one")
        put(lake, "main", "a", "two")
    assert gc.collect(tmp_path, grace=NOW).removed == 1
    lake = Lake(tmp_path)
    assert contents(lake, "main") == {"a": "two"}
    lake.close()
