"""Merge, revert and cherry-pick."""

from __future__ import annotations

import pytest

from ml_assets.lib.devlake.diffs import Kind
from ml_assets.lib.devlake.errors import (
    BranchNotFound,
    Conflict,
    DirtyBranch,
    Invalid,
    MergeConflict,
    NoChanges,
    ParentOutOfRange,
    RefNotFound,
)
from ml_assets.lib.devlake.merges import Overrides
from ml_assets.lib.devlake.page import Window
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.tree import Strategy
from ml_assets_tests.devlake.local import REPO, USER, contents, kinds, put, put_all


@pytest.fixture
def forked(lake: Lake) -> Lake:
    """Branches main and dev, both on a commit with a, b and c."""
    put_all(lake, "main", {"a": "1", "b": "1", "c": "1"})
    lake.branches.create(REPO, "dev", "main")
    return lake


def merge(lake: Lake, source: str = "dev", branch: str = "main", **options: object) -> str:
    """Merge; returns the commit's id."""
    return lake.merges.merge(REPO, source, branch, committer=USER, **options).id  # type: ignore[arg-type]  # its options


def changes(lake: Lake, left: str, right: str) -> dict[str, Kind]:
    """The three-dot diff."""
    return kinds(lake.diffs.three_dot(REPO, left, right, Window(amount=1000)))


def test_a_merge_is_a_new_commit_even_if_it_could_be_none(forked: Lake) -> None:
    """Also where only the source changed, there is a commit with both parents and the strategy."""
    theirs = put_all(forked, "dev", {"a": "2", "b": None, "d": "2"})
    ours = forked.branches.get(REPO, "main").commit_id
    merge(forked)
    merged = forked.commits.get(REPO, "main")
    assert merged.parents == (ours, theirs)
    assert merged.tree == forked.commits.get(REPO, theirs).tree
    assert merged.metadata == {".lakefs.merge.strategy": "default"}
    assert merged.message == "Merge 'dev' into 'main'"
    assert merged.committer == USER


def test_both_sides_are_kept(forked: Lake) -> None:
    """What one side changed, and what both changed alike, is merged."""
    put_all(forked, "dev", {"a": "2", "same": "s"})
    put_all(forked, "main", {"b": None, "same": "s"})
    assert changes(forked, "main", "dev") == {"a": Kind.CHANGED}
    merge(forked)
    assert contents(forked, "main") == {"a": "2", "c": "1", "same": "s"}


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [(Strategy.DEST_WINS, {"a": "m", "b": "m", "new": "m"}), (Strategy.SOURCE_WINS, {"a": "d", "c": "d", "new": "d"})],
)
def test_conflicts(forked: Lake, strategy: Strategy, expected: dict[str, str]) -> None:
    """Change against change, against deletion and two additions are refused, shown by the diff, or decided whole."""
    put_all(forked, "dev", {"a": "d", "b": None, "c": "d", "new": "d"})
    put_all(forked, "main", {"a": "m", "b": "m", "c": None, "new": "m"})
    head = forked.branches.get(REPO, "main")
    assert set(changes(forked, "main", "dev").values()) == {Kind.CONFLICT}
    with pytest.raises(MergeConflict):
        merge(forked)
    assert forked.branches.get(REPO, "main") == head
    merge(forked, strategy=strategy)
    assert contents(forked, "main") == expected
    assert forked.commits.get(REPO, "main").metadata == {".lakefs.merge.strategy": strategy.value}


def test_nothing_to_merge(forked: Lake) -> None:
    """A source without changes is refused, unless an empty merge is asked for."""
    for source in ("dev", "main"):
        with pytest.raises(NoChanges):
            merge(forked, source)
    before = contents(forked, "main")
    merge(forked, allow_empty=True)
    merge(forked, force=True)
    assert contents(forked, "main") == before


def test_a_dirty_destination_is_asked_first(forked: Lake) -> None:
    """Uncommitted changes of the destination refuse before a missing source does; those of the source do not count."""
    put(forked, "main", "dirty", "1")
    with pytest.raises(DirtyBranch):
        merge(forked, "nope")
    put_all(forked, "dev", {"d": "1"})
    put(forked, "dev", "staged", "1")
    with pytest.raises(DirtyBranch):
        merge(forked)
    forked.objects.delete(REPO, "main", "dirty")
    with pytest.raises(RefNotFound):
        merge(forked, "nope")
    merge(forked)
    assert "staged" not in contents(forked, "main")
    with pytest.raises(BranchNotFound):
        merge(forked, "dev", "nope")


def test_what_changes_nothing_does_not_make_dirty(forked: Lake) -> None:
    """A deletion of what never was, and the same content again, are no changes."""
    put_all(forked, "dev", {"d": "1"})
    forked.objects.delete(REPO, "main", "never")
    put(forked, "main", "a", "1")
    merge(forked)
    assert forked.diffs.uncommitted(REPO, "main").items == []


def test_squash_forgets_the_source(forked: Lake) -> None:
    """A squashed merge has one parent, so a later merge starts from the old base and meets the same changes."""
    put_all(forked, "dev", {"d": "1"})
    base = forked.merges.base(REPO, "dev", "main").base
    merge(forked, squash=True)
    assert len(forked.commits.get(REPO, "main").parents) == 1
    assert forked.merges.base(REPO, "dev", "main").base == base
    put_all(forked, "dev", {"d": "2"})
    assert changes(forked, "main", "dev") == {"d": Kind.CONFLICT}


def test_merge_base_after_a_merge(forked: Lake) -> None:
    """What was merged is the base of the next merge."""
    theirs = put_all(forked, "dev", {"d": "1"})
    merge(forked)
    put_all(forked, "dev", {"d": "2"})
    found = forked.merges.base(REPO, "dev", "main")
    assert found.base == theirs
    assert (found.source, found.destination) == tuple(
        forked.branches.get(REPO, name).commit_id for name in ("dev", "main")
    )


def revert(lake: Lake, ref: str, parent_number: int = 0, **options: object) -> str:
    """Revert on main; returns the commit's id."""
    options = {"parent_number": parent_number, "committer": USER, **options}
    return lake.merges.revert(REPO, "main", ref, **options).id  # type: ignore[arg-type]  # its options


def test_revert_undoes_one_commit(forked: Lake) -> None:
    """The reverted commit's changes are gone, later ones stay; reverting again changes nothing."""
    undone = put_all(forked, "main", {"a": "2", "b": None, "d": "2"})
    put_all(forked, "main", {"e": "1"})
    revert(forked, undone)
    assert contents(forked, "main") == {"a": "1", "b": "1", "c": "1", "e": "1"}
    head = forked.commits.get(REPO, "main")
    assert (head.message, len(head.parents), head.metadata) == (f"Revert {undone}", 1, {})
    with pytest.raises(NoChanges):
        revert(forked, undone)
    revert(forked, undone, allow_empty=True)
    revert(forked, "main", overrides=Overrides("custom", {"k": "v"}), allow_empty=True)
    assert forked.commits.get(REPO, "main").metadata == {"k": "v"}


def test_what_is_put_back_is_no_change(forked: Lake) -> None:
    """Neither to a revert nor to a merge, whenever it was written; lakeFS makes a commit without a difference."""
    undone = put_all(forked, "main", {"a": "2"})
    put_all(forked, "main", {"a": "1"})
    with pytest.raises(NoChanges):
        revert(forked, undone)
    put_all(forked, "dev", {"a": None})
    put_all(forked, "dev", {"a": "1"})
    with pytest.raises(NoChanges):
        merge(forked)


def test_revert_meets_later_changes(forked: Lake) -> None:
    """What was changed again since cannot be undone."""
    undone = put_all(forked, "main", {"a": "2"})
    put_all(forked, "main", {"a": "3"})
    with pytest.raises(MergeConflict):
        revert(forked, undone)


def test_revert_of_a_merge_needs_a_parent(forked: Lake) -> None:
    """Relative to its first parent a merge is what it brought, relative to its second what was there before."""
    put_all(forked, "dev", {"d": "1"})
    put_all(forked, "main", {"m": "1"})
    merged = merge(forked)
    with pytest.raises(Conflict):
        revert(forked, merged)
    with pytest.raises(ParentOutOfRange):
        revert(forked, merged, 3)
    with pytest.raises(Invalid):
        revert(forked, merged, -1)
    revert(forked, merged, 1)
    assert contents(forked, "main") == {"a": "1", "b": "1", "c": "1", "m": "1"}


def test_revert_of_the_first_commit(lake: Lake) -> None:
    """There is nothing to undo on a branch that has nothing else."""
    with pytest.raises(NoChanges):
        revert(lake, "main")


def pick(lake: Lake, ref: str, **options: object) -> str:
    """Cherry-pick onto main; returns the commit's id."""
    return lake.merges.cherry_pick(REPO, "main", ref, committer="picker", **options).id  # type: ignore[arg-type]  # its options


def test_cherry_pick_repeats_one_commit(forked: Lake) -> None:
    """Only the picked commit's changes come, with its message and where it is from."""
    put_all(forked, "dev", {"other": "1"})
    put(forked, "dev", "d", "1")
    picked = forked.commits.create(REPO, "dev", "words", committer=USER, metadata={"k": "v"})
    pick(forked, "dev")
    assert contents(forked, "main") == {"a": "1", "b": "1", "c": "1", "d": "1"}
    head = forked.commits.get(REPO, "main")
    assert (head.message, head.committer, len(head.parents)) == ("words", "picker", 1)
    origin = {"cherry-pick-origin": picked.id, "cherry-pick-committer": USER}
    assert head.metadata == {"k": "v", **origin}
    assert forked.commits.get(REPO, "dev").metadata == {"k": "v"}
    assert forked.commits.get(REPO, "dev").notes == origin
    pick(forked, "dev", overrides=Overrides("mine", {"x": "y"}))
    assert forked.commits.get(REPO, "main").metadata == {"x": "y", **origin}


def test_cherry_pick_refusals(forked: Lake) -> None:
    """A merge needs a parent, the first commit has none, and the same keys conflict."""
    put_all(forked, "dev", {"a": "2"})
    put_all(forked, "main", {"a": "3"})
    with pytest.raises(MergeConflict):
        pick(forked, "dev")
    merged = merge(forked, strategy=Strategy.SOURCE_WINS)
    with pytest.raises(Invalid):
        pick(forked, merged)
    with pytest.raises(Invalid):
        pick(forked, merged, parent_number=0)
    with pytest.raises(ParentOutOfRange):
        pick(forked, merged, parent_number=3)
    with pytest.raises(NoChanges):
        pick(forked, merged, parent_number=2)
    with pytest.raises(ParentOutOfRange):
        pick(forked, "main~9" if len(forked.commits.log(REPO, "main").items) > 9 else f"main~{3}")
    put(forked, "main", "dirty", "1")
    with pytest.raises(DirtyBranch):
        pick(forked, "dev")
