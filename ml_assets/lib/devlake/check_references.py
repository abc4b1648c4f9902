"""Every name leads to what it names, and every commit is what its id says."""

from __future__ import annotations

from typing import Final

from ml_assets.lib.devlake import history
from ml_assets.lib.devlake.database import Transaction
from ml_assets.lib.devlake.findings import Findings
from ml_assets.lib.devlake.history import SECOND, Commit
from ml_assets.lib.devlake.tree import ROOT, identify

_OF_REPOSITORY: Final = (
    *("branch", "tag", "history", "staging", "upload", "protection", "retention", "action_run", "hook_run"),
)

_QUERIES: Final = {
    "branch {}/{} names commit {}, which does not exist": (
        "SELECT repository, name, commit_id FROM branch b WHERE NOT EXISTS "
        "(SELECT 1 FROM history h WHERE h.repository = b.repository AND h.id = b.commit_id)"
    ),
    "tag {}/{} names commit {}, which does not exist": (
        "SELECT repository, name, commit_id FROM tag t WHERE NOT EXISTS "
        "(SELECT 1 FROM history h WHERE h.repository = t.repository AND h.id = t.commit_id)"
    ),
    "repository {} has no branch {}, which is its default branch": (
        "SELECT name, default_branch FROM repository r WHERE NOT EXISTS "
        "(SELECT 1 FROM branch b WHERE b.repository = r.name AND b.name = r.default_branch)"
    ),
    "commit {}/{} names tree {}, which does not exist": (
        "SELECT repository, id, tree FROM history WHERE tree NOT IN (SELECT id FROM tree) AND tree != ''"
    ),
    "object {2} is staged on branch {0}/{1}, which does not exist": (
        "SELECT repository, branch, key FROM staging s WHERE NOT EXISTS "
        "(SELECT 1 FROM branch b WHERE b.repository = s.repository AND b.name = s.branch)"
    ),
    "part {1} belongs to upload {0}, which does not exist": (
        "SELECT upload, number FROM part WHERE upload NOT IN (SELECT id FROM upload)"
    ),
} | {
    f"{table} belongs to repository {{}}, which does not exist": (
        f"SELECT DISTINCT repository FROM {table} WHERE repository NOT IN (SELECT name FROM repository)"
    )
    for table in _OF_REPOSITORY
}
"""What is wrong with each row that a query finds."""


def check(transaction: Transaction, findings: Findings) -> None:
    """Look at repositories, branches, tags, commits, staging and uploads."""
    for text, query in _QUERIES.items():
        for row in transaction.each(query):
            findings.problem(text.format(*row))
    for repository, identity in transaction.each("SELECT repository, id FROM history"):
        findings.commits += 1
        try:
            commit = history.load(transaction, repository, identity)
        except (ValueError, TypeError):
            findings.problem(f"commit {repository}/{identity} cannot be read")
        else:
            _check_commit(transaction, findings, repository, commit)
    sql = "SELECT repository, branch, key, identity, size, etag, metadata, content_type FROM staging"
    for *place, identity, size, etag, metadata, content_type in transaction.each(sql):
        if identity is not None and identity != identify(size, etag, metadata, content_type):
            findings.problem("object {2} staged on branch {0}/{1} is not what its identity says".format(*place))


def _check_commit(transaction: Transaction, findings: Findings, repository: str, commit: Commit) -> None:
    name = f"commit {repository}/{commit.id}"
    expected = history.commit_id(
        committer=commit.committer,
        message=commit.message,
        tree=commit.tree,
        seconds=commit.created_ns // SECOND,
        metadata=commit.metadata,
        parents=commit.parents,
    )
    if commit.id != expected:
        findings.problem(f"{name} is not what its id says")
    if not commit.parents and commit.tree != ROOT:
        findings.problem(f"{name} has no parent")
    oldest = 0
    for parent in commit.parents:
        sql = "SELECT generation FROM history WHERE repository = ? AND id = ?"
        row = transaction.one(sql, repository, parent)
        if row is None:
            findings.problem(f"{name} names parent {parent}, which does not exist")
        else:
            oldest = max(oldest, row[0])
    if commit.generation <= oldest:  # a squashed source may have made it larger
        findings.problem(f"{name} has generation {commit.generation}, and a parent has {oldest}")
