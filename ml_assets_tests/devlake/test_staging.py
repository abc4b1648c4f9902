"""What is staged, committed, reset and compared."""

from __future__ import annotations

import pytest

from ml_assets.lib.devlake import staging
from ml_assets.lib.devlake.branches import Reset
from ml_assets.lib.devlake.diffs import Kind
from ml_assets.lib.devlake.errors import (
    Invalid,
    NoChanges,
    ObjectNotFound,
    RefNotFound,
)
from ml_assets.lib.devlake.repo import Lake
from ml_assets_tests.devlake.local import REPO, USER, commit, contents, kinds, paths, put, put_all, uncommitted


def test_the_same_object_again_is_no_change(lake: Lake) -> None:
    """Bytes, metadata and type count; when and how often it was uploaded does not."""
    put(lake, "main", "a", "1", metadata={"k": "v"})
    commit(lake, "main")
    put(lake, "main", "a", "1", metadata={"k": "v"})
    assert uncommitted(lake) == {}
    with pytest.raises(NoChanges):
        commit(lake, "main")
    for changed in ({"content": "2"}, {"kind": "other"}, {"metadata": {"k": "w"}}):
        put(lake, "main", "a", **{"content": "1", "metadata": {"k": "v"}, **changed})  # type: ignore[arg-type]  # its words
        assert uncommitted(lake) == {"a": Kind.CHANGED}


def test_a_commit_takes_what_is_staged_and_keeps_what_was_equal(lake: Lake) -> None:
    """In one range of the tree: new, changed, removed, and staged again as it was, which keeps its first upload."""
    put_all(lake, "main", dict.fromkeys("abcdef", "1"))
    before = {path: lake.objects.stat(REPO, "main", path) for path in "abcdef"}
    later = before["c"]._replace(mtime=before["c"].mtime + 100)
    lake._database.write(lambda transaction: staging.put(transaction, REPO, "main", later))
    put(lake, "main", "b", "2", metadata={"k": "v"})
    put(lake, "main", "bb", "3")
    lake.objects.delete(REPO, "main", "d")
    staged = {path: lake.objects.stat(REPO, "main", path) for path in ("b", "bb")}
    commit(lake, "main")
    assert contents(lake, "main@") == {"a": "1", "b": "2", "bb": "3", "c": "1", "e": "1", "f": "1"}
    expected = {**before, **staged}
    del expected["d"]
    assert {path: lake.objects.stat(REPO, "main@", path) for path in expected} == expected


def test_uncommitted_changes(lake: Lake) -> None:
    """Additions, changes and deletions show; a deletion of what was never committed does not."""
    put_all(lake, "main", {"a": "1", "b": "1"})
    put(lake, "main", "a", "2")
    put(lake, "main", "c", "1")
    put(lake, "main", "d", "1")
    for path in ("b", "d", "never"):
        lake.objects.delete(REPO, "main", path)
    assert uncommitted(lake) == {"a": Kind.CHANGED, "b": Kind.REMOVED, "c": Kind.ADDED}
    assert contents(lake, "main") == {"a": "2", "c": "1"}
    with pytest.raises(ObjectNotFound):
        lake.objects.stat(REPO, "main", "b")
    assert lake.objects.stat(REPO, "main@", "b").size == 1


def test_deletions_stay_when_the_branch_is_moved(lake: Lake) -> None:
    """Of what was staged, though never committed; what was not there when it was deleted is no deletion (as lakeFS)."""
    lake.branches.create(REPO, "other", "main")
    later = put_all(lake, "other", {"staged": "1", "never": "1"})
    put(lake, "main", "staged", "2")
    for _ in range(2):
        lake.objects.delete_many(REPO, "main", ["staged", "never"])
    assert uncommitted(lake) == {}
    with pytest.raises(NoChanges):
        commit(lake, "main")
    lake.branches.hard_reset(REPO, "main", later)
    assert contents(lake, "main") == {"never": "1"}


def test_commit_takes_what_is_staged(lake: Lake) -> None:
    """A commit has it all, and nothing is left; there and back is no change."""
    first = lake.commits.get(REPO, "main")
    put(lake, "main", "a", "1")
    made = lake.commits.create(REPO, "main", "words", committer=USER, metadata={"k": "v"}, seconds=-5)
    assert (made.parents, made.generation, made.created_ns) == ((first.id,), 2, -5_000_000_000)
    assert (first.committer, first.message, first.tree, first.generation) == ("", "Repository created", "", 1)
    assert uncommitted(lake) == {}
    put(lake, "main", "a", "2")
    put(lake, "main", "a", "1")
    with pytest.raises(NoChanges):
        commit(lake, "main")
    assert lake.commits.get(REPO, commit(lake, "main", allow_empty=True)).tree == made.tree


def test_an_emptied_branch_is_a_change(lake: Lake) -> None:
    """Deleting all makes a commit whose tree is not that of the first."""
    put_all(lake, "main", {"a": "1"})
    lake.objects.delete(REPO, "main", "a")
    emptied = lake.commits.get(REPO, commit(lake, "main"))
    assert emptied.tree != ""
    assert contents(lake, "main") == {}


@pytest.mark.parametrize(
    ("kind", "path", "left"),
    [(Reset.ALL, "", set()), (Reset.OBJECT, "r/a", {"a", "r/b", "s"}), (Reset.PREFIX, "r/", {"a", "s"})],
)
def test_reset(lake: Lake, kind: Reset, path: str, left: set[str]) -> None:
    """Drops all changes, those of one object, or those below a prefix."""
    put_all(lake, "main", {"a": "1"})
    lake.objects.delete(REPO, "main", "a")
    for name in ("r/a", "r/b", "s"):
        put(lake, "main", name, "1")
    lake.branches.reset(REPO, "main", kind, path)
    assert uncommitted(lake).keys() == left


def test_hard_reset_keeps_what_is_staged(lake: Lake) -> None:
    """The head moves; uncommitted changes lie on top of the new one."""
    old = put_all(lake, "main", {"a": "1"})
    put_all(lake, "main", {"a": "2", "b": "1"})
    put(lake, "main", "s", "1")
    lake.branches.hard_reset(REPO, "main", old)
    assert contents(lake, "main") == {"a": "1", "s": "1"}
    assert lake.branches.get(REPO, "main").commit_id == old
    with pytest.raises(RefNotFound):
        lake.branches.hard_reset(REPO, "main", "nope")


def test_two_dot_takes_staging_in_when_asked(lake: Lake) -> None:
    """``branch$`` on the right adds uncommitted changes to what the commits differ in."""
    put_all(lake, "main", {"a": "1", "b": "1", "c": "1"})
    lake.branches.create(REPO, "dev", "main")
    put_all(lake, "dev", {"a": "2", "b": "2"})
    put(lake, "dev", "a", "1")
    put(lake, "dev", "d", "1")
    lake.objects.delete(REPO, "dev", "c")
    staged = lake.diffs.two_dot(REPO, "main", "dev$")
    assert kinds(staged) == {"b": Kind.CHANGED, "c": Kind.REMOVED, "d": Kind.ADDED}
    assert paths(lake.diffs.two_dot(REPO, "main", "dev")) == ["a", "b"]
    with pytest.raises(Invalid):
        lake.diffs.two_dot(REPO, "main$", "dev")


def test_log_filters(lake: Lake) -> None:
    """By paths, by prefixes, up to and after a commit; merges never count for a path."""
    ids = [put_all(lake, "main", {f"d{number % 2}/f{number}": "1"}) for number in range(4)]

    def found(**options: object) -> list[str]:
        return [each.id for each in lake.commits.log(REPO, "main", **options).items]  # type: ignore[arg-type]  # its options

    assert found(objects=["d1/f1"]) == [ids[1]]
    assert found(prefixes=["d0/"]) == [ids[2], ids[0]]
    assert found(prefixes=["d0/"], objects=["d1/f3"]) == [ids[3], ids[2], ids[0]]
    assert found(stop_at=ids[2]) == [ids[3], ids[2]]
    assert found(after=ids[2])[0] == ids[1]
    assert found(after="main~2", amount=1) == [ids[0]]
    assert lake.commits.log(REPO, "main", amount=2).more
    assert not lake.commits.log(REPO, "main", amount=2, limit=True).more
    with pytest.raises(RefNotFound):
        found(stop_at="nope")
