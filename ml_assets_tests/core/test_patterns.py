"""Patterns and formats of time: what is lawful, and that each spelling of it means what Python says."""

from __future__ import annotations

import re

import pytest

from ml_assets.lib.core.patterns import java_replacement, java_time, matches_nothing, spelled


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^a.b$", "a-b"),
        (r"[\]a]", "]"),
        (r"[^\[x]", "y"),
        ("[]a]", "]"),
        (r"\d+\s\w{2,3}?", "12 ab"),
        (r"\$\.", "$."),
        ("(?:a|b)(c)", "bc"),
        ("[a&&b]", "&"),
        ("é+", "éé"),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of Python, about sets in sets, which are spelled out
def test_lawful(pattern: str, text: str) -> None:
    """The pattern as it is spelled for Python fits what the pattern itself fits."""
    assert re.search(spelled(pattern, "python"), text)
    assert re.search(pattern, text, re.ASCII)
    for dialect in ("re2", "java"):
        assert spelled(pattern, dialect)


@pytest.mark.parametrize(
    "pattern",
    [
        "a(?=b)", "(?<!a)b", r"(a)\1", "(?i)a", "(?P<n>a)", "[[:alpha:]]", r"\p{L}", r"\h", "a++", "a{1001}", r"[\D]",
        "(a", "[a", "a)", "*a", r"\Aa", r"\x41", "a{,2}", "{",
    ],
)  # fmt: skip
def test_unlawful(pattern: str) -> None:
    """What the engines read differently, or what is no pattern, is told."""
    with pytest.raises(ValueError, match=re.escape(repr(pattern)) + "|not the same"):
        spelled(pattern, "java")


def test_the_end_is_the_end() -> None:
    """``$`` does not stand before a last newline."""
    assert not re.search(spelled("a$", "python"), "a\n")
    assert spelled("a$", "java") == spelled("a$", "re2") == r"a\z"


@pytest.mark.parametrize(
    ("pattern", "nothing"), [("a*", True), ("a?", True), ("^", True), ("a+", False), ("a|b", False)]
)
def test_matches_nothing(pattern: str, *, nothing: bool) -> None:
    """Whether the empty text is matched."""
    assert matches_nothing(pattern) == nothing


@pytest.mark.parametrize(
    ("replacement", "java"), [(r"<\1>", "<$1>"), ("$1", r"\$1"), (r"a\\b", r"a\\b"), ("x", "x"), (r"\2\1", "$2$1")]
)
def test_replacement(replacement: str, java: str) -> None:
    """Groups and dollars."""
    assert java_replacement(replacement) == java


@pytest.mark.parametrize(
    ("code", "java"),
    [("%Y-%m", "yyyy'-'MM"), ("%H%%", "HH'%'"), ("T'%d", "'T'''dd"), ("%Y%%'%m", "yyyy'%'''MM"), ("", "")],
)
def test_format(code: str, java: str) -> None:
    """Letters are quoted, codes are not."""
    assert java_time(code) == java


@pytest.mark.parametrize("code", ["%U", "%", "%-d", "%Q"])
def test_format_that_is_refused(code: str) -> None:
    """Codes that an engine lacks, or has with another meaning."""
    with pytest.raises(ValueError, match="not the same on every engine"):
        java_time(code)
