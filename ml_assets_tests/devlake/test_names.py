"""What lakeFS allows as a name, and which branches a protection glob covers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ml_assets.lib.devlake import names
from ml_assets.lib.devlake.errors import Invalid
from ml_assets.lib.devlake.globs import DEEPEST, LONGEST, Glob

LONG = "x" * 300

ALLOWED = [
    (names.check_repository_name, ["abc", "a-b", "0ab", "x" * 63]),
    (names.check_branch_name, ["main", "Dev_1", "a-b", "_u", "1", LONG]),
    (names.check_tag_name, ["v1.0", ".a", "-a", "a~b", "a@b", "ü", LONG]),
    (names.check_ref, ["main", "main~1", "..", "a:b"]),
    (names.check_path, ["a", "/", "../up", "null\0x", "é" * 512]),
    (names.check_storage_namespace, ["local://x", "local://x/y", "local:///x"]),
]
REFUSED = [
    (names.check_repository_name, ["", "ab", "A-upper", "under_score", "-lead", "dot.dot", "x" * 64, "abc\n"]),
    (names.check_branch_name, ["", "-lead", "a.b", "a/b", "a b", "a~b", "ü", "main\n"]),
    (names.check_tag_name, ["", "a..b", "a^b", "a:b", "x.lock", "@", "a/b", "a b", "a.", "a@{b", "a\\b", "a*", "a\t"]),
    (names.check_ref, ["", "a b", "a\n"]),
    (names.check_path, ["", "x" * 1025, "é" * 513]),
    (names.check_storage_namespace, ["", "local://", "local:///", "s3://bucket", "/abs", "local:/x"]),
]


@pytest.mark.parametrize(("check", "name"), [(check, name) for check, found in ALLOWED for name in found])
def test_allowed(check: Callable[[str], None], name: str) -> None:
    """A name that lakeFS takes is taken."""
    check(name)


@pytest.mark.parametrize(("check", "name"), [(check, name) for check, found in REFUSED for name in found])
def test_refused(check: Callable[[str], None], name: str) -> None:
    """A name that lakeFS refuses is refused, with 400."""
    with pytest.raises(Invalid):
        check(name)


@pytest.mark.parametrize(
    ("glob", "covered", "others"),
    [
        ("main", ["main"], ["main2", "xmain"]),
        ("*", ["main", "a-b"], []),
        ("rel*", ["rel", "release_x"], ["xrel"]),
        ("a?c", ["abc"], ["ac", "abbc"]),
        ("[xy]z", ["xz", "yz"], ["az"]),
        ("[!xy]z", ["az"], ["xz"]),
        ("[a-c]z", ["bz"], ["dz"]),
        ("[^]z", ["^z"], ["az"]),
        ("d{e,f}v", ["dev", "dfv"], ["dv", "de,fv"]),
        ("{a,b{c,d}}", ["a", "bc", "bd"], ["b"]),
        ("a,b", ["a,b"], ["a"]),
        (r"\*", ["*"], ["x"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_protection_globs(glob: str, covered: list[str], others: list[str]) -> None:
    """A glob covers whole names, as gobwas/glob does."""
    pattern = Glob(glob)
    assert [name for name in covered + others if pattern.covers(name)] == covered


@pytest.mark.parametrize("glob", ["[bad", "bad]", "{a", "a}", "[]", "[z-a]", "\\"])
def test_malformed_globs(glob: str) -> None:
    """A glob that could never be asked about is refused at once."""
    with pytest.raises(Invalid):
        Glob(glob)


def test_globs_take_no_time() -> None:
    """Neither many stars nor nested braces make a glob slow; one that is too long or too deep is refused."""
    deep = DEEPEST - 1
    for pattern in ("*a" * (LONGEST // 2 - 1), "{a*,*a}" * (LONGEST // 8), "{" * deep + "*,{a*,*}" * 9 + "}" * deep):
        assert Glob(pattern).covers("a" * 600)
        assert not Glob(f"{pattern}b").covers("a" * 600)
    for pattern in ("x" * (LONGEST + 1), "{" * (DEEPEST + 1) + "}" * (DEEPEST + 1)):
        with pytest.raises(Invalid):
            Glob(pattern)
