"""Commit ids are lakeFS's own, and so are log order and merge base."""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from ml_assets.lib.devlake import history
from ml_assets.lib.devlake.database import Database
from ml_assets.lib.devlake.history import Commit, Words, commit_id
from ml_assets.lib.devlake.tree import ROOT

SECONDS = calendar.timegm((2020, 12, 1, 15, 0, 0))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    found = Database(tmp_path / "lake.db")
    yield found
    found.close()


@pytest.mark.parametrize(
    ("expected", "fields"),
    [
        (
            "2277b5abd2d3ba6b4d35c48a0e358b0c4bcf5cd6d891c67437fb4c4af0d2fd4b",
            {
                "committer": "user1",
                "message": "message1",
                "tree": "deadbeef123",
                "seconds": -62135596800,  # that test misspells its date, so it gets Go's zero time: the year 1
                "metadata": {"foo": "bar"},
                "parents": ["deadbeef1", "deadbeef12"],
            },
        ),
        (
            "f1a106bbeb12d3eb54418d6000f4507501d289d0d0879dcce6f4d31425587df1",
            {
                "committer": "some-committer",
                "message": "I just committed",
                "tree": "123456789987654321",
                "seconds": calendar.timegm((2021, 1, 24, 15, 10, 12)),
                "metadata": {"sdkjvcnbkjndsc": "asnjkdl", "sdkafjnb": "1234"},
                "parents": ["132456987153687sdfsdf", "1324569csfvdkjhcsdkjc"],
            },
        ),
    ],
)
def test_commit_ids_of_lakefs(expected: str, fields: dict[str, object]) -> None:
    """The ids that lakeFS's own tests expect (TestManager_AddCommit, TestConsistentCommitIdentity)."""
    assert commit_id(**fields) == expected  # type: ignore[arg-type]  # the fields are those of commit_id


def test_a_chain_of_commit_ids_of_lakefs() -> None:
    """First and last of the twenty commits that lakeFS's TestManager_Log expects, each the parent of the next."""
    ids: list[str] = []
    for number in range(20):
        words = {"committer": "user1", "message": "message1", "tree": "deadbeef123", "metadata": {"foo": "bar"}}
        ids.append(commit_id(**words, seconds=SECONDS + number, parents=ids[-1:]))  # type: ignore[arg-type]  # as above
    assert ids[0] == "fac53a04432b2e6e7185f3ac8314a874c556b2557adf3aa8d5b1df985cf96566"
    assert ids[-1] == "663b7520a2a05aaeed17de6136fa80eb5cd8417982011eb551230571ee412f2f"


def test_the_same_change_in_the_same_second_is_the_same_commit(database: Database) -> None:
    """Saving it again adds nothing and changes nothing."""
    words = Words("me", "m", {"b": "1", "a": "2"})
    first = saved(database, words, [], 5)
    assert saved(database, words, [], 5) == first
    assert saved(database, words, [], 6) != first


def saved(database: Database, words: Words, parents: list[Commit], seconds: int) -> Commit:
    """A new commit with an empty tree."""
    return database.write(lambda tx: history.save(tx, "r", words, tree=ROOT, parents=parents, seconds=seconds))


def grown(database: Database, graph: Mapping[str, Sequence[str]], seconds: Mapping[str, int]) -> dict[str, Commit]:
    """Commits named and linked as in *graph*, parents first."""
    commits: dict[str, Commit] = {}
    for name, parents in graph.items():
        linked, at = [commits[parent] for parent in parents], seconds.get(name, 0)
        commits[name] = saved(database, Words("", name, {}), linked, at)
    return commits


CROSSED = {"0": [], "1": ["0"], "2": ["0"], "3": ["1", "2"], "4": ["2", "1"], "5": ["3"], "6": ["4"]}
LADDER = {
    "root": [], "a": ["root"], "b": ["root"], "ab": ["a", "b"],
    "l0": ["root", "ab"], "l1": ["ab", "l0"], "l2": ["l0", "l1"], "left": ["l1", "l2"],
    "r0": ["root", "ab"], "r1": ["ab", "r0"], "r2": ["r0", "r1"], "right": ["r1", "r2"],
}  # fmt: skip
GRID = {f"{i}-{j}": [f"{i - 1}-{j}"] * (i > 0) + [f"{i}-{j - 1}"] * (j > 0) for i in range(8) for j in range(8)}


@pytest.mark.parametrize(
    ("graph", "left", "right", "expected"),
    [
        ({"0": [], "1": ["0"], "2": ["0"], "3": ["1"], "4": ["2"]}, "3", "4", {"0"}),
        ({"0": [], "1": ["0"], "2": ["1"], "3": ["2"], "4": ["2"]}, "3", "4", {"2"}),
        (CROSSED, "5", "6", {"1", "2"}),
        ({"0": [], "1": ["0"], "2": ["1"]}, "2", "1", {"1"}),
        ({"0": [], "1": ["0"]}, "1", "1", {"1"}),
        ({"0": [], "1": ["0"], "x": [], "y": ["x"]}, "1", "y", {None}),
        ({"0": [], "2": ["0"], "1": ["0", "2"], "3": ["1"], "4": ["2"]}, "3", "4", {"2"}),
        ({"1": [], "2": ["1"], "3": ["2"], "4": ["3"], "x": ["4", "1"], "y": ["2"]}, "x", "y", {"2"}),
        (
            {"e": [], "d": ["e"], "f": ["e"], "c": ["d"], "b": ["c"], "a": ["b"], "g": ["b", "e"], "h": ["a", "f"]},
            "g",
            "h",
            {"b"},
        ),
        (LADDER, "left", "right", {"ab"}),
        (GRID, "7-4", "5-6", {"5-4"}),
        (GRID, "1-2", "2-1", {"1-1"}),
    ],
)  # fmt: skip
def test_merge_base(
    database: Database, graph: Mapping[str, Sequence[str]], left: str, right: str, expected: set[str | None]
) -> None:
    """The best common ancestor (the graphs of lakeFS's TestFindMergeBase and TestGrid), from either side."""
    commits = grown(database, graph, {})
    with database.read() as transaction:
        for ours, theirs in ((left, right), (right, left)):
            found = history.merge_base(transaction, "r", commits[ours], commits[theirs])
            assert (None if found is None else found.message) in expected


def test_merge_base_beside_a_better_one(database: Database) -> None:
    """A parent that lakeFS comes upon first is taken, though the one beside it is a better base (asked lakeFS 1.84)."""
    commits = grown(database, {"0": [], "1": ["0", "0"], "dev": ["0", "1"], "main": ["1", "0"]}, {"dev": 1, "main": 2})
    with database.read() as transaction:
        for pair in (("dev", "main"), ("main", "dev")):
            found = history.merge_base(transaction, "r", *(commits[name] for name in pair))
            assert found == commits["0"]


def test_log_goes_back_in_time(database: Database) -> None:
    """Latest first, not topologically; each commit once; first parents only, or not before a time, if asked."""
    graph = {"0": [], "1": ["0"], "2": ["0"], "3": ["1", "2"], "4": ["3"]}
    commits = grown(database, graph, {"0": 1, "1": 9, "2": 4, "3": 5, "4": 6})
    with database.read() as transaction:

        def messages(**options: object) -> list[str]:
            found = history.log(transaction, "r", commits["4"], **options)  # type: ignore[arg-type]  # its options
            return [commit.message for commit in found]

        assert messages() == ["4", "3", "1", "2", "0"]
        assert messages(first_parent=True) == ["4", "3", "1", "0"]
        assert messages(since_ns=5 * history.SECOND) == ["4", "3", "1"]


def test_generation_counts_what_was_squashed(database: Database) -> None:
    """A commit is one further than the furthest it was made from, also where that is no parent."""
    commits = grown(database, {"0": [], "1": ["0"], "2": ["1"]}, {})
    squash = database.write(
        lambda tx: history.save(
            tx, "r", Words("", "s", {}), tree=ROOT, parents=[commits["0"]], squashed=commits["2"], seconds=0
        )
    )
    assert (squash.generation, squash.parents) == (4, (commits["0"].id,))
