"""What a ref expression names."""

from __future__ import annotations

import pytest

from ml_assets.lib.devlake.errors import Invalid, InvalidRef, NotFound, RefNotFound
from ml_assets.lib.devlake.repo import Lake
from ml_assets_tests.devlake.local import REPO, commit, contents, put, put_all


@pytest.fixture
def ids(lake: Lake) -> dict[str, str]:
    """main: root <- c1 <- c2 <- merge(c2, d1); dev: root <- c1 <- d1; tag v1.0 on c2; one object staged on main."""
    found = {"root": lake.branches.get(REPO, "main").commit_id, "c1": put_all(lake, "main", {"f": "1"})}
    lake.branches.create(REPO, "dev", "main")
    found["c2"] = put_all(lake, "main", {"f": "2"})
    lake.tags.create(REPO, "v1.0", "main")
    found["d1"] = put_all(lake, "dev", {"g": "1"})
    found["merge"] = lake.merges.merge(REPO, "dev", "main", committer="").id
    put(lake, "main", "staged", "x")
    return found


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("main", "merge"),
        ("main@", "merge"),
        ("main~0", "merge"),
        ("main~-1", "merge"),
        ("main^0", "merge"),
        ("main~", "c2"),
        ("main^", "c2"),
        ("main^1", "c2"),
        ("main^2", "d1"),
        ("main^2~1", "c1"),
        ("main^2^1", "c1"),
        ("main~0^2", "d1"),
        ("main~2", "c1"),
        ("main~1~1", "c1"),
        ("main~~~", "root"),
        ("main~3", "root"),
        ("v1.0", "c2"),
        ("v1.0~1", "c1"),
        ("dev", "d1"),
    ],
)
def test_expressions(lake: Lake, ids: dict[str, str], ref: str, expected: str) -> None:
    """Branches, tags and their modifiers."""
    assert lake.commits.get(REPO, ref).id == ids[expected]


@pytest.mark.parametrize(
    ("ref", "error"),
    [
        ("nope", RefNotFound),
        ("main~4", NotFound),
        ("main~50", NotFound),
        ("main:x", RefNotFound),
        ("0" * 64, RefNotFound),
        ("main^3", InvalidRef),
        ("main~1^2", InvalidRef),
        ("main^-1", InvalidRef),
        ("main~x", InvalidRef),
        ("nope~x", InvalidRef),
        ("main@1", InvalidRef),
        ("main@~1", InvalidRef),
        ("main~1@", InvalidRef),
        ("main@@", InvalidRef),
        ("v1.0@", InvalidRef),
        ("main@{1}", InvalidRef),
        ("main$", InvalidRef),
        ("~1", InvalidRef),
        ("", InvalidRef),
        ("a b", RefNotFound),
        ("v1.0 x", RefNotFound),
        ("v1.0\tx~1", RefNotFound),
        (" ", RefNotFound),
        ("a b~x", InvalidRef),
        ("main~99999999999999999999", InvalidRef),
    ],
)
@pytest.mark.usefixtures("ids")
def test_refusals(lake: Lake, ref: str, error: type[Exception]) -> None:
    """What names nothing is 404; what cannot be read, or asks for staging where a commit is needed, is 400."""
    with pytest.raises(error):
        lake.commits.get(REPO, ref)


def test_commit_ids(lake: Lake, ids: dict[str, str]) -> None:
    """A full id or a unique prefix names a commit; one in capitals does not."""
    assert lake.commits.get(REPO, ids["c1"]).id == ids["c1"]
    assert lake.commits.get(REPO, ids["c1"][:12]).id == ids["c1"]
    with pytest.raises(RefNotFound):
        lake.commits.get(REPO, ids["c1"].upper())


def test_an_ambiguous_prefix_names_nothing(lake: Lake) -> None:
    """Among 17 commits at least two begin with the same digit."""
    ids = [commit(lake, "main", str(number), allow_empty=True) for number in range(17)]
    digits = [identity[0] for identity in ids]
    twice = next(digit for digit in digits if digits.count(digit) > 1)
    with pytest.raises(RefNotFound):
        lake.commits.get(REPO, twice)


def test_a_full_id_goes_before_a_branch_and_a_branch_before_a_prefix(lake: Lake, ids: dict[str, str]) -> None:
    """A branch that is called like the beginning of an id hides that prefix."""
    prefix = ids["c1"][:10]
    lake.branches.create(REPO, prefix, "main")
    assert lake.commits.get(REPO, prefix).id == ids["merge"]
    with pytest.raises(Invalid):
        lake.branches.create(REPO, "x y", "main")


@pytest.mark.usefixtures("ids")
def test_what_is_staged_is_seen_on_the_branch_only(lake: Lake) -> None:
    """A branch shows its uncommitted changes, with ``$`` too; ``@`` and whatever names a commit do not."""
    assert "staged" in contents(lake, "main")
    assert "staged" in contents(lake, "main$")
    for ref in ("main@", "main~0", "main^0"):
        assert "staged" not in contents(lake, ref)
