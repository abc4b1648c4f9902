"""Which commits are retained: as lakeFS counts, and never less."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.lib.devlake.errors import Invalid, NotFound, RepositoryNotFound
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.retention import DAY_NS, Node, Rules, Start, retained
from ml_assets_tests.devlake.local import REPO
from ml_assets_tests.devlake.wire import Wire

NOW = 1000 * DAY_NS


def chain(**days_old: int) -> dict[str, Node]:
    """Commits, each the first parent of the next one, by their age in days."""
    commits = dict.fromkeys(days_old, Node("", 0))
    for name, parent in zip(days_old, ["", *days_old], strict=False):
        commits[name] = Node(parent, NOW - days_old[name] * DAY_NS)
    return commits


@pytest.mark.parametrize(
    ("days", "kept"),
    [(0, "e"), (1, "e"), (2, "de"), (9, "cde"), (10, "cde"), (11, "bcde"), (99, "abcde"), (1000, "abcde")],
)
def test_back_to_the_first_one_before_the_days_began(days: int, kept: str) -> None:
    """Kept are the head, what is younger than the days, and the commit that was the head when they began."""
    commits = chain(a=60, b=20, c=10, d=2, e=1)
    assert retained(commits, [Start("e", "main")], Rules(days, {}), NOW) == set(kept)
    assert retained(commits, [Start("e", "main")], Rules(0, {"main": days}), NOW) == set(kept)


def test_a_branch_may_have_days_of_its_own() -> None:
    """The longest of the branches that reach a commit decides, whichever is walked first."""
    commits = chain(a=60, b=20, c=10) | {"x": Node("b", NOW - DAY_NS), "y": Node("c", NOW - DAY_NS)}
    for heads in ([Start("x", "long"), Start("y", "short")], [Start("y", "short"), Start("x", "long")]):
        assert retained(commits, heads, Rules(0, {"long": 30, "short": 5}), NOW) == {"a", "b", "c", "x", "y"}
        assert retained(commits, heads, Rules(5, {}), NOW) == {"b", "c", "x", "y"}


def test_where_walks_meet_what_either_keeps_is_kept() -> None:
    """A young head keeps its parent, even if a walk with more days, in which it is no parent of a young one, met it."""
    commits = chain(a=90, b=80) | {"old": Node("b", NOW - 70 * DAY_NS), "new": Node("b", NOW)}
    heads = [Start("old", "long"), Start("new", "short")]
    assert retained(commits, heads, Rules(0, {"long": 30, "short": 7}), NOW) == {"b", "old", "new"}


def test_a_commit_on_no_branch_is_kept_for_the_default_days() -> None:
    """It goes with its age; so does what it alone leads to."""
    commits = chain(a=60, b=3) | {"x": Node("a", NOW - 5 * DAY_NS)}
    heads = [Start("b", "main")]
    assert retained(commits, heads, Rules(6, {}), NOW) == {"a", "b", "x"}
    assert retained(commits, heads, Rules(4, {}), NOW) == {"a", "b"}


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[str, Node], list[Start]]:
    """Some commits, whose first parents are older or not, and branches on some of them."""
    commits: dict[str, Node] = {}
    for number in range(draw(st.integers(1, 12))):
        parent = draw(st.sampled_from(["", *commits]))
        commits[str(number)] = Node(parent, NOW - draw(st.integers(0, 20)) * DAY_NS)
    branches = draw(st.lists(st.tuples(st.sampled_from(sorted(commits)), st.sampled_from("uvw")), max_size=4))
    return commits, [Start(*branch) for branch in {name: (commit, name) for commit, name in branches}.values()]


@given(histories(), st.integers(0, 25), st.dictionaries(st.sampled_from("uvw"), st.integers(0, 25)))
def test_it_is_what_the_rule_says(
    history: tuple[dict[str, Node], list[Start]], default: int, days: dict[str, int]
) -> None:
    """Written as the rule reads: heads, and whoever is the parent of one that is young for a branch above it."""
    commits, heads = history
    expected = {head.commit for head in heads}
    loose = commits.keys() - {node.parent for node in commits.values()} - expected
    for commit, branch in [*heads, *(Start(commit, "") for commit in loose)]:
        since = NOW - (days.get(branch, default) if branch else default) * DAY_NS
        path = [commit]
        while commits[path[-1]].parent:
            path.append(commits[path[-1]].parent)
        if not branch and commits[commit].created_ns > since:
            expected.add(commit)
        expected |= {parent for child, parent in pairwise(path) if commits[child].created_ns > since}
    assert retained(commits, heads, Rules(default, days), NOW) == expected


def test_rules_are_kept(lake: Lake) -> None:
    """They are read as they were set, until they are deleted; nonsense is refused."""
    with pytest.raises(NotFound):
        lake.retention.get(REPO)
    lake.retention.put(REPO, Rules(21, {"main": 28, "dev": 0}))
    lake.retention.put(REPO, Rules(20, {"main": 7}))
    assert lake.retention.get(REPO) == Rules(20, {"main": 7})
    for rules in (Rules(-1, {}), Rules(1, {"main": -1}), Rules(1 << 31, {})):
        with pytest.raises(Invalid):
            lake.retention.put(REPO, rules)
    lake.retention.delete(REPO)
    lake.retention.delete(REPO)
    with pytest.raises(NotFound):
        lake.retention.get(REPO)
    with pytest.raises(RepositoryNotFound):
        lake.retention.put("other", Rules(1, {}))


def test_rules_go_with_their_repository(lake: Lake) -> None:
    """A new repository of the same name does not inherit them."""
    lake.retention.put(REPO, Rules(1, {}))
    lake.repositories.delete(REPO)
    lake.repositories.create(REPO, "local://again")
    with pytest.raises(NotFound):
        lake.retention.get(REPO)


def test_rules_over_the_wire(wire: Wire, repository: str) -> None:
    """The calls of lakeFS's API."""
    path = f"/repositories/{repository}/settings/gc_rules"
    rules = {"default_retention_days": 21, "branches": [{"branch_id": "main", "retention_days": 28}]}
    assert wire.rest("GET", path).status == 404
    assert wire.rest("PUT", path, json_body=rules).status == 204
    assert wire.rest("GET", path).json() == rules
    bad: list[object] = [{}, [], {**rules, "branches": {}}, {**rules, "branches": [{"branch_id": "main"}]}, {"x": 1}]
    for body in (*bad, {**rules, "default_retention_days": "1"}, {**rules, "default_retention_days": -1}):
        assert wire.rest("PUT", path, json_body=body).status == 400
    assert wire.rest("GET", path).json() == rules
    assert wire.rest("DELETE", path).status == 204
    assert wire.rest("GET", path).status == 404
