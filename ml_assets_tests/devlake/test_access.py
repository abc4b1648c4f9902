"""Names, protection, read-only repositories, and the end of a repository."""

from __future__ import annotations

import pytest

from ml_assets.lib.devlake.branches import Reset
from ml_assets.lib.devlake.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Invalid,
    PreconditionFailed,
    ProtectedBranch,
    ReadOnlyRepository,
    RepositoryNotFound,
    TagNotFound,
)
from ml_assets.lib.devlake.repo import Lake
from ml_assets_tests.devlake.local import REPO, USER, commit, contents, put, put_all


def test_a_new_branch_of_an_old_name_has_no_old_changes(lake: Lake) -> None:
    """Deleting a branch drops what was staged on it; its commits stay."""
    lake.branches.create(REPO, "dev", "main")
    kept = put_all(lake, "dev", {"a": "1"})
    put(lake, "dev", "b", "1")
    lake.branches.delete(REPO, "dev")
    assert contents(lake, kept) == {"a": "1"}
    lake.branches.create(REPO, "dev", "main")
    assert contents(lake, "dev") == {}


def test_names_are_taken_once(lake: Lake) -> None:
    """Branches, tags and commit ids share their names; the default branch cannot be deleted."""
    head = lake.branches.get(REPO, "main").commit_id
    lake.tags.create(REPO, "tagged", "main")
    with pytest.raises(AlreadyExists):
        lake.branches.create(REPO, "main", "main")
    with pytest.raises(AlreadyExists):
        lake.tags.create(REPO, "tagged", "main")
    for create, name in ((lake.branches.create, "tagged"), (lake.branches.create, head), (lake.tags.create, "main")):
        with pytest.raises(Conflict):
            create(REPO, name, "main")
    with pytest.raises(Forbidden):
        lake.branches.delete(REPO, "main")
    lake.tags.delete(REPO, "tagged")
    with pytest.raises(TagNotFound):
        lake.tags.get(REPO, "tagged")


def test_hidden_branches_show_when_asked(lake: Lake) -> None:
    """They are branches in all but the listing."""
    lake.branches.create(REPO, "hid", "main", hidden=True)
    assert [branch.name for branch in lake.branches.list(REPO).items] == ["main"]
    assert [branch.name for branch in lake.branches.list(REPO, show_hidden=True).items] == ["hid", "main"]
    assert lake.branches.get(REPO, "hid").name == "hid"


def test_protection_covers_writes_and_commits(lake: Lake) -> None:
    """Staging, commit and reset are refused; merge, branch and tag are not."""
    put(lake, "main", "staged", "1")
    lake.branches.create(REPO, "dev", "main")
    put_all(lake, "dev", {"d": "1"})
    lake.protection.put(REPO, ["ma*"])
    blob = lake.store.files.write(b"")
    for refused in (
        lambda: lake.objects.stage(REPO, "main", "a", blob, content_type="", metadata={}, force=True),
        lambda: lake.objects.check_writable(REPO, "main", "a"),
        lambda: lake.objects.delete(REPO, "main", "a"),
        lambda: lake.objects.copy(REPO, "main", "a", source_ref="dev", source_path="d"),
        lambda: lake.objects.set_metadata(REPO, "main", "staged", {}),
        lambda: commit(lake, "main"),
        lambda: lake.branches.reset(REPO, "main", Reset.ALL),
        lambda: lake.branches.hard_reset(REPO, "main", "main"),
    ):
        with pytest.raises(ProtectedBranch):
            refused()
    lake.protection.put(REPO, [])
    lake.branches.reset(REPO, "main", Reset.ALL)
    lake.protection.put(REPO, ["main"])
    lake.merges.merge(REPO, "dev", "main", committer=USER)
    lake.tags.create(REPO, "t", "main")
    assert contents(lake, "main") == {"d": "1"}


def test_protection_changes_conditionally(lake: Lake) -> None:
    """With the digest of rules that are no longer there, nothing changes."""
    old = lake.protection.get(REPO)
    assert (old.patterns, old.etag) == ([], "")
    lake.protection.put(REPO, ["b", "a", "b"], if_match=old.etag)
    assert lake.protection.get(REPO).patterns == ["a", "b"]
    with pytest.raises(PreconditionFailed):
        lake.protection.put(REPO, [], if_match="stale")
    lake.protection.put(REPO, ["c"], if_match=lake.protection.get(REPO).etag)
    assert lake.protection.get(REPO).patterns == ["c"]


def test_read_only_repositories(lake: Lake) -> None:
    """Every change is refused without force."""
    lake.repositories.create("frozen", "local://frozen", read_only=True)
    blob = lake.store.files.write(b"x")
    for force in (False, True):
        refusals = 0
        for change in (
            lambda force: lake.objects.stage("frozen", "main", "a", blob, content_type="", metadata={}, force=force),
            lambda force: lake.commits.create("frozen", "main", "m", committer="", force=force),
            lambda force: lake.branches.create("frozen", "b", "main", force=force),
            lambda force: lake.tags.create("frozen", "t", "main", force=force),
            lambda force: lake.objects.delete("frozen", "b", "a", force=force),
            lambda force: lake.branches.reset("frozen", "b", Reset.ALL, force=force),
            lambda force: lake.branches.hard_reset("frozen", "b", "main", force=force),
            lambda force: lake.merges.merge("frozen", "main", "b", committer="", force=force),
            lambda force: lake.merges.revert(
                "frozen", "b", "main^", parent_number=0, committer="", allow_empty=True, force=force
            ),
            lambda force: lake.merges.cherry_pick("frozen", "b", "main~1", committer="", force=force),
            lambda force: lake.tags.delete("frozen", "t", force=force),
            lambda force: lake.branches.delete("frozen", "b", force=force),
            lambda force: lake.repositories.delete("frozen", force=force),
        ):
            try:
                change(force)
            except ReadOnlyRepository:
                refusals += 1
            except Invalid:
                assert force
        assert refusals == (0 if force else 13)


def test_a_deleted_repository_is_gone_and_its_namespace_used(lake: Lake) -> None:
    """Nothing of it comes back under the same name; its storage namespace is never given out again."""
    put_all(lake, "main", {"a": "1"})
    lake.tags.create(REPO, "t", "main")
    lake.protection.put(REPO, ["main"])
    lake.repositories.delete(REPO)
    with pytest.raises(RepositoryNotFound):
        lake.branches.get(REPO, "main")
    with pytest.raises(Invalid, match="already in use"):
        lake.repositories.create(REPO, f"local://{REPO}/")
    lake.repositories.create(REPO, "local://again")
    assert contents(lake, "main") == {}
    assert lake.tags.list(REPO).items == []
    assert lake.protection.get(REPO).patterns == []


def test_repository_metadata(lake: Lake) -> None:
    """Keys are set and removed."""
    lake.repositories.update_metadata(REPO, put={"a": "1", "b": "2"}, drop=[])
    lake.repositories.update_metadata(REPO, put={}, drop=["a", "none"])
    assert lake.repositories.get(REPO).metadata == {"b": "2"}
