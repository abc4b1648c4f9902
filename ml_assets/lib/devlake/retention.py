"""How long garbage collection keeps the bytes of old commits: the rules of a repository, and what they retain.

As in lakeFS (``pkg/graveler/retention`` there): the head of every branch is kept. From each branch one goes back along
first parents, and keeps every commit up to and including the first that was made before the branch's days of retention
began: it was what readers saw when they began. A commit that is on no branch any more is kept for the default number
of days. Tags do not count. Two differences, both on the side of keeping: where the walks from two branches meet, what
either of them retains is retained (in lakeFS it depends on which comes first), and a repository without rules keeps
every commit (lakeFS refuses to collect there).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from ml_assets.lib.devlake.access import find_repository
from ml_assets.lib.devlake.database import Database, Transaction
from ml_assets.lib.devlake.errors import Invalid, NotFound

DAY_NS: Final = 24 * 3600 * 1_000_000_000
MOST_DAYS: Final = (1 << 31) - 1


class Rules(NamedTuple):
    """Days for which commits are kept: by branch, and of branches that have no number of their own."""

    default_days: int
    branch_days: Mapping[str, int]


class Retention:
    """The retention rules of all repositories."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, repository: str) -> Rules:
        """The rules of a repository.

        Raises:
            NotFound: It has none.
        """
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            rules = _find(transaction, repository)
        if rules is None:
            raise NotFound("not found")
        return rules

    def put(self, repository: str, rules: Rules) -> None:
        """Set the rules of a repository.

        Raises:
            Invalid: A number of days is negative or absurd.
        """
        for days in (rules.default_days, *rules.branch_days.values()):
            if not 0 <= days <= MOST_DAYS:
                raise Invalid(f"retention days: {days} is not between 0 and {MOST_DAYS}")

        def work(transaction: Transaction) -> None:
            find_repository(transaction, repository)
            sql = "INSERT OR REPLACE INTO retention (repository, default_days, branch_days) VALUES (?, ?, ?)"
            transaction.run(sql, repository, rules.default_days, json.dumps(dict(rules.branch_days)))

        self._database.write(work)

    def delete(self, repository: str) -> None:
        """Forget the rules of a repository: from now on it keeps every commit."""

        def work(transaction: Transaction) -> None:
            find_repository(transaction, repository)
            transaction.run("DELETE FROM retention WHERE repository = ?", repository)

        self._database.write(work)


class Node(NamedTuple):
    """A commit, as far as retention looks at it. ``parent`` is the first one, or empty."""

    parent: str
    created_ns: int


class Start(NamedTuple):
    """Where a walk along first parents begins. ``branch`` is empty for a commit that is on no branch."""

    commit: str
    branch: str


def retained_trees(transaction: Transaction, repository: str, now_ns: int) -> Iterator[str]:
    """The trees of the commits of *repository* that are kept at *now_ns*, some of them more than once."""
    rules = _find(transaction, repository)
    if rules is None:
        for (tree,) in transaction.each("SELECT DISTINCT tree FROM history WHERE repository = ?", repository):
            yield tree
        return
    commits: dict[str, Node] = {}
    sql = "SELECT id, coalesce(json_extract(parents, '$[0]'), ''), created_ns FROM history WHERE repository = ?"
    for identity, *node in transaction.each(sql, repository):
        commits[identity] = Node(*node)
    heads = transaction.each("SELECT commit_id, name FROM branch WHERE repository = ?", repository)
    for identity in retained(commits, [Start(*head) for head in heads], rules, now_ns):
        row = transaction.one("SELECT tree FROM history WHERE repository = ? AND id = ?", repository, identity)
        assert row is not None
        yield row[0]


def retained(commits: Mapping[str, Node], heads: list[Start], rules: Rules, now_ns: int) -> set[str]:
    """The ids among *commits* that *rules* keep at *now_ns*. Parents that are not among *commits* are left out."""
    kept = {head.commit for head in heads}
    loose = commits.keys() - {node.parent for node in commits.values()} - kept
    reached: dict[str, int] = {}
    for commit, branch in [*heads, *(Start(commit, "") for commit in loose)]:
        days = rules.branch_days.get(branch, rules.default_days) if branch else rules.default_days
        since_ns = now_ns - days * DAY_NS
        # A commit on no branch is kept if a head above it, made when it was, would keep it.
        node = commits[commit] if branch else Node(commit, commits[commit].created_ns)
        while node.parent in commits:
            if node.created_ns > since_ns:
                kept.add(node.parent)
            earlier_ns = reached.get(node.parent)
            if earlier_ns is not None and earlier_ns <= since_ns:
                break  # a walk has gone on from there before, and kept at least as much
            reached[node.parent] = since_ns
            node = commits[node.parent]
    return kept


def _find(transaction: Transaction, repository: str) -> Rules | None:
    row = transaction.one("SELECT default_days, branch_days FROM retention WHERE repository = ?", repository)
    return None if row is None else Rules(row[0], json.loads(row[1]))
