"""Refs as types, and ref expressions with a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.lib.core.errors import BadRef
from ml_assets.lib.core.refs import Branch, Commit, RefAtTime, Tag

moments = st.datetimes(timezones=st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours))))


@pytest.mark.parametrize("name", ["main", "run-1a2b-3", "_x", "A", "0"])
def test_branch(name: str) -> None:
    """Branch names of lakeFS are letters, digits, hyphens and underscores."""
    assert name == str(Branch(name))


@pytest.mark.parametrize("name", ["", "-x", "a/b", "a b", "a.b", "ä", "a\n", "a@b", "a~1"])
def test_no_branch(name: str) -> None:
    """Anything else is refused before lakeFS sees it."""
    with pytest.raises(BadRef, match="is not a branch name; use letters"):
        Branch(name)


@pytest.mark.parametrize("name", ["v1", "features-v1-0a1b2c3d", "late_arrival-v3-0a1b2c3d-data", "1.0"])
def test_tag(name: str) -> None:
    """Tags may have dots."""
    assert name == str(Tag(name))


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "a b", "a..b", "a^", "a:b", "a?", "a*", "a[", "a\\b", "a.lock", "a.", "@", "a@{b", "a\x00", "a\x7f"],
)
def test_no_tag(name: str) -> None:
    """What lakeFS refuses is refused here."""
    with pytest.raises(BadRef, match="is not a tag name"):
        Tag(name)


@given(st.text("0123456789abcdef", min_size=64, max_size=64))
def test_commit(digits: str) -> None:
    """A commit is 64 digits, of which twelve are shown to people."""
    assert (digits, digits[:12]) == (str(Commit(digits)), Commit(digits).short)


@pytest.mark.parametrize("text", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n"])
def test_no_commit(text: str) -> None:
    """A prefix, capitals or other letters are no commit."""
    with pytest.raises(BadRef, match="is not a full commit id"):
        Commit(text)


@given(st.text().filter(lambda text: text and "@" not in text))
def test_ref_without_time(text: str) -> None:
    """Without an ``@`` it is a ref, which lakeFS will judge."""
    assert RefAtTime(text) == RefAtTime.parse(text)


@given(st.text(min_size=1).filter(lambda text: "@" not in text), moments)
def test_ref_with_time(ref: str, moment: datetime) -> None:
    """A moment in any zone is that moment, in UTC."""
    try:
        expected = moment.astimezone(UTC)
    except OverflowError:  # the first or last hours that Python has
        return
    assert RefAtTime(ref, expected) == RefAtTime.parse(f"{ref}@{moment.isoformat()}")


@pytest.mark.parametrize(
    "text", ["2026-11-20T10:00Z", "2026-11-20T10:00:00", "2026-11-20 11:00+01:00", "20261120T1000"]
)
def test_spellings_of_a_moment(text: str) -> None:
    """ISO 8601 in its spellings; UTC unless it says otherwise."""
    assert RefAtTime("main", datetime(2026, 11, 20, 10, tzinfo=UTC)) == RefAtTime.parse(f"main@{text}")


def test_day() -> None:
    """A day means its beginning."""
    assert RefAtTime("main", datetime(2026, 11, 20, tzinfo=UTC)) == RefAtTime.parse("main@2026-11-20")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "names no ref"),
        ("@2026-11-20", "names no ref"),
        ("main@", "'' in 'main@' is not a time"),
        ("main@yesterday", "'yesterday' in 'main@yesterday' is not a time"),
        ("main@2026-13-01", "is not a time"),
        ("main@2026-11-20@x", "is not a time"),
        ("main@0001-01-01T00:00+14:00", "is not a time"),
    ],
)
def test_no_ref(text: str, what: str) -> None:
    """What is wrong is named, with an example of how to write it."""
    with pytest.raises(BadRef, match=f"{what}.*main@2026-11-20T10:00Z"):
        RefAtTime.parse(text)
