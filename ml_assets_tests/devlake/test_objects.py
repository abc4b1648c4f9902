"""Putting, copying, deleting and listing objects, whole or in parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.lib.devlake.diffs import Kind
from ml_assets.lib.devlake.errors import (
    BranchNotFound,
    Invalid,
    InvalidPath,
    ObjectNotFound,
    PreconditionFailed,
    ProtectedBranch,
    UploadNotFound,
)
from ml_assets.lib.devlake.page import Window, fold, page
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.tree import entry as new_entry
from ml_assets_tests.devlake.local import REPO, commit, contents, paths, put, put_all, start_upload, uncommitted


def test_if_absent(lake: Lake) -> None:
    """An object is put only where there is none: neither staged nor committed, unless it is deleted."""
    blob = lake.store.files.write(b"x")

    def put_new(path: str) -> None:
        lake.objects.stage(REPO, "main", path, blob, content_type="", metadata={}, if_absent=True)

    put_new("a")
    put_all(lake, "main", {"b": "1"})
    for path in ("a", "b"):
        with pytest.raises(PreconditionFailed):
            put_new(path)
    lake.objects.delete(REPO, "main", "b")
    put_new("b")


def test_copies(lake: Lake) -> None:
    """A copy has the source's bytes, type and metadata, or new ones; from any ref, onto a branch."""
    put(lake, "main", "a", "1", metadata={"k": "v"})
    copied = lake.objects.copy(REPO, "main", "b", source_ref="main", source_path="a")
    assert (copied.metadata, copied.content_type, copied.etag) == (
        {"k": "v"},
        "x/y",
        lake.objects.stat(REPO, "main", "a").etag,
    )
    other = lake.objects.copy(REPO, "main", "c", source_ref="main", source_path="a", content_type="z", metadata={})
    assert (other.metadata, other.content_type) == ({}, "z")
    with pytest.raises(ObjectNotFound):
        lake.objects.copy(REPO, "main", "d", source_ref="main@", source_path="a")
    with pytest.raises(BranchNotFound):
        lake.objects.copy(REPO, "nope", "d", source_ref="main", source_path="a")
    lake.repositories.create("other", "local://other")
    lake.objects.copy("other", "main", "a", source_repository=REPO, source_ref="main", source_path="a")
    assert lake.objects.stat("other", "main", "a").etag == copied.etag


def test_new_metadata_is_a_change(lake: Lake) -> None:
    """Setting the metadata of an object replaces it, uncommitted."""
    put(lake, "main", "a", "1", metadata={"k": "v"})
    commit(lake, "main")
    lake.objects.set_metadata(REPO, "main", "a", {"new": "1"})
    assert lake.objects.stat(REPO, "main", "a").metadata == {"new": "1"}
    assert uncommitted(lake) == {"a": Kind.CHANGED}
    with pytest.raises(ObjectNotFound):
        lake.objects.set_metadata(REPO, "main", "nope", {})


def test_deletes_are_all_or_none(lake: Lake) -> None:
    """One impossible path, or too many, and nothing is deleted."""
    put_all(lake, "main", {"a": "1"})
    with pytest.raises(InvalidPath):
        lake.objects.delete_many(REPO, "main", ["a", ""])
    with pytest.raises(Invalid):
        lake.objects.delete_many(REPO, "main", ["a"] * 1001)
    assert contents(lake, "main") == {"a": "1"}
    lake.objects.delete_many(REPO, "main", ["a", "never", "a"])
    assert contents(lake, "main") == {}


def test_multipart(lake: Lake) -> None:
    """All uploaded parts are joined by number, the last of a number counts, and the upload is over."""
    upload = lake.uploads.create(REPO, "main", "big", content_type="z", metadata={"k": "v"})
    for number, text in ((7, "c"), (1, "old"), (1, "a"), (3, "b")):
        lake.uploads.put_part(REPO, upload, number, lake.store.files.write(text.encode()))
    assert [part.number for part in lake.uploads.parts(REPO, upload)] == [1, 3, 7]
    entry = lake.uploads.complete(REPO, upload)
    assert (entry.size, entry.content_type, entry.metadata) == (3, "z", {"k": "v"})
    assert contents(lake, "main") == {"big": "abc"}
    with pytest.raises(UploadNotFound):
        lake.uploads.complete(REPO, upload)


def test_a_refused_multipart_stays_open(lake: Lake) -> None:
    """If the branch is protected by then, nothing is staged, and the parts are kept until the upload is aborted."""
    upload = start_upload(lake, "main", "big", "x")
    lake.protection.put(REPO, ["main"])
    with pytest.raises(ProtectedBranch):
        lake.uploads.complete(REPO, upload)
    assert len(lake.uploads.parts(REPO, upload)) == 1
    lake.uploads.abort(REPO, upload)
    for use in (lake.uploads.parts, lake.uploads.abort):
        with pytest.raises(UploadNotFound):
            use(REPO, upload)
    with pytest.raises(UploadNotFound):
        lake.uploads.put_part(REPO, upload, 1, lake.store.files.write(b"x"))


def test_links_only_to_what_is_stored(lake: Lake) -> None:
    """An address that never was written to is refused."""
    stored = lake.store.files.write(b"x")
    words = {"size": 1, "etag": stored.md5, "mtime": 5, "content_type": "", "metadata": {}}
    lake.objects.link(REPO, "main", "a", stored.address, **words)  # type: ignore[arg-type]  # its words
    assert lake.objects.stat(REPO, "main", "a").mtime == 5
    with pytest.raises(Invalid):
        lake.objects.link(REPO, "main", "b", "0" * 64, **words)  # type: ignore[arg-type]  # its words


KEYS = st.sets(st.text(st.sampled_from("ab/é"), min_size=1, max_size=5), max_size=30)


@given(keys=KEYS, prefix=st.text("ab/", max_size=2), delimiter=st.sampled_from(["", "/", "a", "/b"]))
def test_folding_walks_pages(keys: set[str], prefix: str, delimiter: str) -> None:
    """Page by page, a listing gives each key with the prefix once, or the common prefix it is folded into."""
    ordered = [
        new_entry(key, size=0, etag="", address="", mtime=0, content_type="", metadata={}) for key in sorted(keys)
    ]
    expected = dict.fromkeys(
        key[: key.index(delimiter, len(prefix)) + len(delimiter)]
        if delimiter and delimiter in key[len(prefix) :]
        else key
        for key in sorted(keys)
        if key.startswith(prefix)
    )
    found: list[str] = []
    more = True
    while more:
        after = found[-1] if found else ""
        folded = fold(lambda start: (entry for entry in ordered if entry.key >= start), after, prefix, delimiter)
        part = page((item for item in folded if item[0] != after), 2)
        found += [item[0] for item in part.items]
        more = part.more
    assert found == list(expected)


def test_pages_of_a_branch(lake: Lake) -> None:
    """A listing goes on after a key, with committed and staged objects in one order."""
    put_all(lake, "main", {"a": "1", "d/x": "1", "d/y": "1", "e": "1"})
    put(lake, "main", "b", "1")
    put(lake, "main", "d/z", "1")
    lake.objects.delete(REPO, "main", "e")
    assert paths(lake.objects.list(REPO, "main")) == ["a", "b", "d/x", "d/y", "d/z"]
    first = lake.objects.list(REPO, "main", Window(delimiter="/", amount=2))
    assert (paths(first), first.more) == (["a", "b"], True)
    last = lake.objects.list(REPO, "main", Window(delimiter="/", amount=2, after="b"))
    assert (paths(last), last.more) == (["d/"], False)
    assert paths(lake.objects.list(REPO, "main", Window(prefix="d/", after="d/x"))) == ["d/y", "d/z"]
