"""Objects: read, stat, list, write, delete."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from ml_assets.lib.core.errors import ObjectExists, RefNotFound
from ml_assets.lib.core.refs import Branch, Commit, Tag
from ml_assets.lib.lake.client import Lake
from ml_assets_tests.lakes import LakeEndpoint


@pytest.mark.parametrize("data", [b"x", b"", bytes(range(256)) * 40, "ü🎉\r\n".encode()], ids=len)
def test_what_is_written_is_read(lake: Lake, main: Branch, data: bytes) -> None:
    """Every byte, also when there is none."""
    stat = lake.put(main, "folder/x", data)
    assert lake.read(main, "folder/x") == data
    assert lake.stat(main, "folder/x") == stat
    assert (stat.path, stat.size, stat.checksum) == ("folder/x", len(data), hashlib.md5(data).hexdigest())
    assert abs(datetime.now(UTC) - stat.mtime) < timedelta(minutes=5)


@pytest.mark.parametrize("path", ["plain", "a b/c+d", "ü/日本", "per%20cent", "a=b&c", "#hash?", "trailing.", "a//b"])
def test_paths_are_kept_as_they_are(lake: Lake, main: Branch, path: str) -> None:
    """Whatever characters a path has, it comes back in listings and differences."""
    lake.put(main, path, b"x")
    assert lake.read(main, path) == b"x"
    assert [stat.path for stat in lake.ls(main, path)] == [path]
    assert [row.path for row in lake.uncommitted(main)] == [path]
    commit = lake.commit(main, "x", {})
    assert [row.path for row in lake.diff(lake.info(commit).parents[0], commit, base="left")] == [path]
    lake.delete(main, [path])
    assert lake.read(main, path) is None


def test_absent_is_none_and_a_missing_ref_an_error(lake: Lake, main: Branch, base: Commit) -> None:
    """The server says "not found" for both."""
    for ref in (main, base):
        assert lake.read(ref, "nope") is None
        assert lake.stat(ref, "nope") is None
    for missing in (Branch("nope"), Tag("nope"), Commit("0" * 64)):
        with pytest.raises(RefNotFound):
            lake.read(missing, "a/1")
        with pytest.raises(RefNotFound):
            lake.stat(missing, "a/1")
        with pytest.raises(RefNotFound):
            list(lake.ls(missing, ""))


def test_a_missing_repository_is_not_an_absent_object(lake_endpoint: LakeEndpoint, main: Branch) -> None:
    """It is an error as well."""
    with pytest.raises(RefNotFound):
        lake_endpoint.lake("no-such-repository").read(main, "x")


def test_a_branch_shows_what_is_uncommitted_and_a_commit_does_not(lake: Lake, main: Branch, base: Commit) -> None:
    """Readers by commit see the same for ever."""
    lake.put(main, "a/1", b"changed")
    lake.delete(main, ["a/2"])
    assert lake.read(main, "a/1") == b"changed"
    assert [stat.path for stat in lake.ls(main, "a/")] == ["a/1"]
    assert lake.read(base, "a/1") == b"a/1"
    assert [stat.path for stat in lake.ls(base, "a/")] == ["a/1", "a/2"]


def test_put_if_absent(lake: Lake, work: Branch) -> None:
    """Only the first one is written; a deleted object counts as absent."""
    lake.put(work, "x", b"first", if_absent=True)
    with pytest.raises(ObjectExists, match="write 'x' on work"):
        lake.put(work, "x", b"second", if_absent=True)
    with pytest.raises(ObjectExists):
        lake.put(work, "a/1", b"second", if_absent=True)
    assert lake.read(work, "x") == b"first"
    lake.delete(work, ["a/1"])
    lake.put(work, "a/1", b"again", if_absent=True)
    assert lake.read(work, "a/1") == b"again"


def test_put_needs_a_branch_that_exists(lake: Lake) -> None:
    """It is not made by writing."""
    with pytest.raises(RefNotFound):
        lake.put(Branch("nope"), "x", b"x")


def test_delete_is_idempotent(lake: Lake, work: Branch) -> None:
    """Objects that are not there are fine, and so is nothing at all."""
    lake.delete(work, ["a/1", "nope"])
    lake.delete(work, ["a/1"])
    lake.delete(work, [])
    assert [row.path for row in lake.uncommitted(work)] == ["a/1"]


def test_folders_are_the_next_level(lake: Lake, main: Branch) -> None:
    """Objects at that level are not folders; folders come once each, in order."""
    for path in ("w/b/1", "w/b/2", "w/a/x/y", "w/object", "other/1"):
        lake.put(main, path, b"x")
    assert list(lake.folders(main, "w/")) == ["a", "b"]
    assert list(lake.folders(main, "")) == ["other", "w"]
    assert list(lake.folders(main, "nope/")) == []


def test_listings_longer_than_a_page(lake: Lake, main: Branch) -> None:
    """Listing, uncommitted, difference and delete of 1,001 objects; a limit asks for no more than it needs."""
    paths = [f"many/{number:04d}" for number in range(1001)]
    for path in paths:
        lake.put(main, path, b"x")
    assert [stat.path for stat in lake.ls(main, "many/")] == paths
    assert [row.path for row in lake.uncommitted(main)] == paths
    commit = lake.commit(main, "many", {})
    first = lake.info(commit).parents[0]
    assert [row.path for row in lake.diff(first, commit)] == paths
    before = lake.calls["diff_refs"]
    assert [row.path for row in lake.diff(first, commit, limit=3)] == paths[:3]
    assert lake.calls["diff_refs"] == before + 1
    lake.delete(main, paths)
    assert list(lake.ls(main, "many/")) == []
