"""Commit, difference, merge, revert."""

from __future__ import annotations

import pytest

from ml_assets.lib.core.errors import Conflict, DirtyBranch, NothingToCommit, RefNotFound
from ml_assets.lib.core.refs import Branch, Commit
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.lake.types import DiffRow


def change(lake: Lake, branch: Branch, **objects: str) -> Commit:
    """Commit *objects* on *branch*: name to content, empty for removed."""
    for path, content in objects.items():
        if content:
            lake.put(branch, path, content.encode())
        else:
            lake.delete(branch, [path])
    return lake.commit(branch, f"change {', '.join(objects)}", {})


def test_commit_takes_everything_uncommitted(lake: Lake, work: Branch, base: Commit) -> None:
    """Afterwards nothing is uncommitted, and the commit holds writes and deletes."""
    lake.put(work, "new", b"new")
    lake.put(work, "a/1", b"changed")
    lake.delete(work, ["a/2"])
    rows = [DiffRow("changed", "a/1"), DiffRow("removed", "a/2"), DiffRow("added", "new")]
    assert list(lake.uncommitted(work)) == rows
    assert [row.path for row in lake.uncommitted(work, limit=1)] == ["a/1"]
    commit = lake.commit(work, "all", {})
    assert list(lake.uncommitted(work)) == []
    assert list(lake.diff(base, commit, base="left")) == rows
    assert lake.info(commit).parents == (base,)


def test_an_empty_commit_must_be_asked_for(lake: Lake, work: Branch, base: Commit) -> None:
    """Nothing to commit is an error unless it is allowed."""
    with pytest.raises(NothingToCommit, match="commit on work"):
        lake.commit(work, "nothing", {})
    empty = lake.commit(work, "begin", {"pid": "1"}, allow_empty=True)
    assert lake.info(empty).parents == (base,)
    assert list(lake.diff(base, empty, base="left")) == []


def test_writing_the_same_bytes_is_no_change(lake: Lake, work: Branch) -> None:
    """Content counts, not the write."""
    lake.put(work, "a/1", b"a/1")
    with pytest.raises(NothingToCommit):
        lake.commit(work, "same", {})


def test_commit_on_a_missing_branch(lake: Lake) -> None:
    """It is not made by committing."""
    with pytest.raises(RefNotFound):
        lake.commit(Branch("nope"), "x", {})


def test_diff_from_the_merge_base_and_from_the_left(lake: Lake, main: Branch, work: Branch) -> None:
    """Three dots show what the right side did; two dots whatever differs."""
    here = change(lake, work, w="work", both="same")
    there = change(lake, main, m="main", both="same")
    assert list(lake.diff(there, here)) == [DiffRow("added", "w")]
    assert list(lake.diff(there, here, base="left")) == [DiffRow("removed", "m"), DiffRow("added", "w")]
    assert list(lake.diff(main, work, base="left", prefix="w")) == [DiffRow("added", "w")]
    assert list(lake.diff(main, work, base="left", limit=1)) == [DiffRow("removed", "m")]


def test_diff_looks_at_committed_objects_only(lake: Lake, main: Branch, work: Branch) -> None:
    """What is uncommitted on either side does not show."""
    lake.put(work, "x", b"x")
    lake.put(main, "y", b"y")
    assert list(lake.diff(main, work)) == list(lake.diff(main, work, base="left")) == []


@pytest.mark.parametrize(("ours", "theirs"), [("o", "t"), ("", "t"), ("o", "")])
def test_diff_marks_conflicts(lake: Lake, main: Branch, work: Branch, ours: str, theirs: str) -> None:
    """Both changed it, or one changed and the other removed it."""
    here = change(lake, work, **{"a/1": ours})
    change(lake, main, **{"a/1": theirs})
    assert list(lake.diff(main, here)) == [DiffRow("conflict", "a/1")]
    with pytest.raises(Conflict, match="merge work into main"):
        lake.merge(work, main, "conflict", {})


def test_merge_base(lake: Lake, main: Branch, work: Branch, base: Commit) -> None:
    """The answer's other fields come swapped from lakeFS, this one is right whichever way it is asked."""
    here, there = change(lake, work, w="w"), change(lake, main, m="m")
    assert lake.merge_base(here, there) == lake.merge_base(there, here) == lake.merge_base(work, main) == base
    assert lake.merge_base(here, here) == here
    merged = lake.merge(here, main, "merge", {})
    assert lake.merge_base(work, main) == lake.merge_base(merged, here) == here


def test_merge_makes_a_commit_with_both_parents(lake: Lake, main: Branch, work: Branch, base: Commit) -> None:
    """Never a fast-forward: the target's first-parent line shows every merge."""
    here = change(lake, work, w="w")
    merged = lake.merge(work, main, "publish", {"unit": "sources/x"})
    info = lake.info(main)
    assert (info.id, info.parents, info.message) == (merged, (base, here), "publish")
    assert info.metadata["unit"] == "sources/x"
    assert lake.read(merged, "w") == b"w"


def test_merge_takes_the_commit_and_not_what_is_uncommitted(lake: Lake, main: Branch, work: Branch) -> None:
    """A branch as source means its head."""
    here = change(lake, work, w="w")
    lake.put(work, "later", b"later")
    merged = lake.merge(work, main, "publish", {})
    assert list(lake.diff(here, merged, base="left")) == []


def test_absorb_keeps_what_both_changed(lake: Lake, main: Branch, work: Branch, base: Commit) -> None:
    """All else comes over; the source stays as it is and does not count as merged."""
    here = change(lake, work, **{"a/1": "theirs", "a/2": "", "new": "new"})
    there = change(lake, main, **{"a/1": "mine"})
    taken = lake.absorb(here, main, "absorb", {"run": "r"})
    assert (lake.info(taken).parents, lake.info(taken).metadata["run"]) == ((there,), "r")
    rows = [DiffRow("removed", "a/2"), DiffRow("added", "new")]
    assert list(lake.diff(there, taken, base="left")) == rows
    assert lake.merge_base(taken, here) == base
    assert lake.head(work) == here


def test_merge_again_brings_nothing(lake: Lake, main: Branch, work: Branch) -> None:
    """After a lost answer, the second merge says so instead of making a second commit."""
    change(lake, work, w="w")
    merged = lake.merge(work, main, "publish", {})
    with pytest.raises(NothingToCommit):
        lake.merge(work, main, "publish", {})
    assert lake.head(main) == merged


def test_merge_into_a_dirty_branch(lake: Lake, main: Branch, work: Branch) -> None:
    """Uncommitted objects are in the way, and stay."""
    change(lake, work, w="w")
    lake.put(main, "dirt", b"dirt")
    with pytest.raises(DirtyBranch, match="merge work into main"):
        lake.merge(work, main, "publish", {})
    assert [row.path for row in lake.uncommitted(main)] == ["dirt"]


def test_merge_from_or_into_nowhere(lake: Lake, main: Branch, work: Branch) -> None:
    """Both sides must exist."""
    change(lake, work, w="w")
    with pytest.raises(RefNotFound):
        lake.merge(Branch("nope"), main, "x", {})
    with pytest.raises(RefNotFound):
        lake.merge(work, Branch("nope"), "x", {})


def test_revert_takes_a_merge_back(lake: Lake, main: Branch, work: Branch, base: Commit) -> None:
    """The branch has the content from before, and both commits stay in the log."""
    change(lake, work, w="w")
    merged = lake.merge(work, main, "publish", {})
    lake.revert(main, merged)
    assert list(lake.diff(base, main, base="left")) == []
    assert merged in [info.id for info in lake.log(main)]


def test_revert_of_a_plain_commit_keeps_later_ones(lake: Lake, main: Branch, base: Commit) -> None:
    """Only what that commit changed is taken back."""
    first = change(lake, main, x="x")
    change(lake, main, y="y")
    lake.revert(main, first)
    assert list(lake.diff(base, main, base="left")) == [DiffRow("added", "y")]


def test_revert_twice_or_over_later_work(lake: Lake, main: Branch) -> None:
    """A second revert has nothing to do; one under later work is a conflict."""
    first = change(lake, main, x="x")
    change(lake, main, x="newer")
    with pytest.raises(Conflict, match="revert"):
        lake.revert(main, first)
    second = change(lake, main, z="z")
    lake.revert(main, second)
    with pytest.raises(NothingToCommit):
        lake.revert(main, second)


def test_revert_needs_a_clean_branch(lake: Lake, main: Branch, base: Commit) -> None:
    """Uncommitted objects are in the way."""
    lake.put(main, "dirt", b"dirt")
    with pytest.raises(DirtyBranch):
        lake.revert(main, base)
