"""Branches, tags, commits, and what a ref means."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from ml_assets.lib.core.errors import AccessDenied, BadRef, RefExists, RefNotFound
from ml_assets.lib.core.refs import Branch, Commit, Tag
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.lake.types import BranchInfo, TagInfo
from ml_assets_tests.lakes import LakeEndpoint

UNKNOWN = Commit("0" * 64)


def test_a_new_repository_has_main_at_a_first_commit(lake: Lake, main: Branch) -> None:
    """The first commit has no parents and says when it was made."""
    first = lake.info(lake.head(main))
    assert first.parents == ()
    assert first.message == "Repository created"
    assert abs(datetime.now(UTC) - first.created) < timedelta(minutes=5)


def test_ensure_repository_may_be_called_again(lake: Lake, base: Commit, main: Branch) -> None:
    """A second call changes nothing."""
    lake.ensure_repository()
    assert lake.head(main) == base


def test_a_missing_repository_is_named(lake_endpoint: LakeEndpoint, main: Branch) -> None:
    """The error says which repository was asked for."""
    with pytest.raises(RefNotFound, match="no-such-repository: head of main"):
        lake_endpoint.lake("no-such-repository").head(main)


def test_info_tells_what_a_commit_says(lake: Lake, main: Branch, base: Commit) -> None:
    """Message, metadata and parents come back as they were given."""
    lake.put(main, "x", b"x")
    commit = lake.commit(main, "über\nzwei", {"run": "r1", "empty": ""})
    info = lake.info(main)
    assert (info.id, info.parents, info.message) == (commit, (base,), "über\nzwei")
    assert dict(info.metadata) == {"run": "r1", "empty": ""}


def test_branch_says_whether_it_made_one(lake: Lake, base: Commit) -> None:
    """A branch that exists is left where it is."""
    branch = Branch("b")
    first = lake.info(base).parents[0]
    assert lake.branch(branch, base) is True
    assert lake.branch(branch, first) is False
    assert lake.head(branch) == base


def test_branch_from_a_branch_or_a_tag(lake: Lake, main: Branch, base: Commit) -> None:
    """Any ref can be the source."""
    lake.tag(Tag("v1.0"), base)
    assert lake.branch(Branch("from-branch"), main)
    assert lake.branch(Branch("from-tag"), Tag("v1.0"))
    assert lake.head(Branch("from-branch")) == lake.head(Branch("from-tag")) == base


def test_branch_from_nowhere(lake: Lake) -> None:
    """A source that does not exist is an error, not an empty branch."""
    with pytest.raises(RefNotFound, match="branch b from"):
        lake.branch(Branch("b"), UNKNOWN)


def test_a_branch_cannot_have_the_name_of_a_tag(lake: Lake, base: Commit) -> None:
    """It is not taken for a branch that exists."""
    lake.tag(Tag("taken"), base)
    with pytest.raises(RefExists):
        lake.branch(Branch("taken"), base)


def test_branches_lists_by_prefix_and_hides_hidden_ones(lake: Lake, main: Branch, base: Commit) -> None:
    """Hidden branches show only when asked for."""
    lake.branch(Branch("run-1"), base)
    lake.branch(Branch("run-2"), base, hidden=True)
    assert list(lake.branches()) == [BranchInfo(main, base), BranchInfo(Branch("run-1"), base)]
    assert [info.name for info in lake.branches("run-")] == ["run-1"]
    assert [info.name for info in lake.branches("run-", hidden=True)] == ["run-1", "run-2"]


def test_drop_is_idempotent_and_keeps_commits(lake: Lake, work: Branch) -> None:
    """What was committed on a dropped branch stays readable by its id."""
    lake.put(work, "x", b"kept")
    commit = lake.commit(work, "x", {})
    lake.drop(work)
    lake.drop(work)
    assert lake.read(commit, "x") == b"kept"
    with pytest.raises(RefNotFound):
        lake.head(work)


def test_the_default_branch_cannot_be_dropped(lake: Lake, main: Branch) -> None:
    """The server refuses."""
    with pytest.raises(AccessDenied):
        lake.drop(main)


def test_a_tag_names_one_commit_for_ever(lake: Lake, base: Commit, main: Branch) -> None:
    """Tagging the same commit again is fine, another one is not."""
    tag = Tag("features-v1")
    lake.tag(tag, base)
    lake.tag(tag, base)
    lake.put(main, "x", b"x")
    with pytest.raises(RefExists, match="features-v1"):
        lake.tag(tag, lake.commit(main, "x", {}))
    assert list(lake.tags("features-")) == [TagInfo(tag, base)]
    assert lake.info(tag).id == base


def test_a_tag_cannot_have_the_name_of_a_branch(lake: Lake, work: Branch, base: Commit) -> None:
    """Not even if the branch is at the same commit."""
    with pytest.raises(RefExists):
        lake.tag(Tag(work.name), base)


def test_tagging_an_unknown_commit(lake: Lake) -> None:
    """The commit must exist."""
    with pytest.raises(RefNotFound):
        lake.tag(Tag("t"), UNKNOWN)


def test_delete_tag_is_idempotent(lake: Lake, base: Commit) -> None:
    """A deleted tag may be given to another commit."""
    lake.tag(Tag("t"), base)
    lake.delete_tag(Tag("t"))
    lake.delete_tag(Tag("t"))
    lake.tag(Tag("t"), lake.info(base).parents[0])
    assert [info.name for info in lake.tags()] == ["t"]


def test_resolve_takes_every_kind_of_ref(lake: Lake, base: Commit) -> None:
    """Branch, tag, commit, unique prefix, ancestor."""
    first = lake.info(base).parents[0]
    lake.tag(Tag("v1.0"), base)
    for text in ("main", "v1.0", base.id, base.id[:16]):
        assert lake.resolve(text) == base
    for text in ("main~1", "main~", "main^1", "v1.0^", "main^1~0"):
        assert lake.resolve(text) == first


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "main^-1", "main~x", "a/b", "@2026-01-01", "main@soon", "main~1@@", "main@"]
)
def test_resolve_refuses_what_is_no_ref_before_asking(lake: Lake, text: str) -> None:
    """A real lakeFS answers some of these with 500, or drops the connection."""
    before = lake.calls.total()
    with pytest.raises(BadRef):
        lake.resolve(text)
    assert lake.calls.total() == before


@pytest.mark.parametrize("text", ["nope", "main~99", "0123456789abcdef"])
def test_resolve_finds_nothing(lake: Lake, text: str) -> None:
    """The error names what was asked for."""
    with pytest.raises(RefNotFound, match=text):
        lake.resolve(text)


def test_resolve_at_a_moment_follows_the_first_parents(lake: Lake, main: Branch, base: Commit, work: Branch) -> None:
    """A commit that was merged later does not count at the moment when it was made."""
    lake.put(work, "x", b"x")
    on_work = lake.info(lake.commit(work, "on work", {}))
    time.sleep(2.1)  # commits carry whole seconds
    merged = lake.info(lake.merge(work, main, "merge", {}))
    assert lake.resolve(f"main@{on_work.created:%Y-%m-%dT%H:%M:%SZ}") == base
    assert lake.resolve(f"main@{merged.created - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}") == base
    assert lake.resolve(f"main@{merged.created:%Y-%m-%dT%H:%M:%SZ}") == merged.id
    assert lake.resolve(f"main@{merged.created.astimezone().isoformat()}") == merged.id
    assert lake.resolve("main@2999-01-01") == merged.id


def test_resolve_before_the_first_commit(lake: Lake) -> None:
    """The error says when the line began."""
    with pytest.raises(RefNotFound, match=r"'main' had no commit at 2020-01-01T00:00:00Z: its line began at 20\d\d-"):
        lake.resolve("main@2020-01-01")


def test_resolve_a_moment_of_nothing(lake: Lake) -> None:
    """A missing ref is not reported as one without commits."""
    with pytest.raises(RefNotFound, match="log of nope"):
        lake.resolve("nope@2026-01-01")


def test_log_is_newest_first_and_limited(lake: Lake, main: Branch, base: Commit) -> None:
    """With an amount, no more is asked for."""
    made = [base]
    for number in range(5):
        lake.put(main, "x", str(number).encode())
        made.append(lake.commit(main, str(number), {}))
    assert [info.id for info in lake.log(main)][:-1] == made[::-1]
    before = lake.calls["log_commits"]
    assert [info.message for info in lake.log(main, amount=2)] == ["4", "3"]
    assert lake.calls["log_commits"] == before + 1


def test_log_of_objects(lake: Lake, main: Branch, base: Commit) -> None:
    """Only commits that changed one of the paths."""
    for path in ("x", "y", "x"):
        lake.put(main, path, f"{path} {time.monotonic_ns()}".encode())
        lake.commit(main, f"write {path}", {})
    assert [info.message for info in lake.log(main, objects=["x"])] == ["write x", "write x"]
    assert [info.message for info in lake.log(main, objects=["y", "nothing"])] == ["write y"]
    assert lake.info(base).message in [info.message for info in lake.log(main, objects=["a/1"])]


def test_log_with_all_parents(lake: Lake, main: Branch, work: Branch) -> None:
    """Without first_parent, what was merged shows too."""
    lake.put(work, "x", b"x")
    lake.commit(work, "on work", {})
    lake.merge(work, main, "merge", {})
    assert "on work" not in [info.message for info in lake.log(main)]
    assert "on work" in [info.message for info in lake.log(main, first_parent=False)]


def test_a_log_longer_than_a_page(lake: Lake, main: Branch) -> None:
    """Pages are joined without a gap or a double."""
    head = lake.head(main)
    for number in range(105):
        head = lake.commit(main, str(number), {}, allow_empty=True)
    infos = list(lake.log(main))
    assert [info.message for info in infos] == [*(str(number) for number in reversed(range(105))), "Repository created"]
    assert all(info.parents == (after.id,) for info, after in pairwise(infos))
    assert infos[0].id == head
