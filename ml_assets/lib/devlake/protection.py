"""Branch protection: which branches are changed by merge only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

from ml_assets.lib.devlake.access import find_repository, writable_repository
from ml_assets.lib.devlake.database import Database, Transaction
from ml_assets.lib.devlake.errors import PreconditionFailed
from ml_assets.lib.devlake.globs import glob


class Rules(NamedTuple):
    """The globs of protected branches, and a digest of them (empty for none) to change them conditionally."""

    patterns: list[str]
    etag: str


class Protection:
    """The branch protection rules of all repositories."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, repository: str) -> Rules:
        """The rules of a repository."""
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            return _rules(transaction, repository)

    def put(self, repository: str, patterns: Sequence[str], *, if_match: str | None = None) -> None:
        """Replace the rules of a repository.

        Raises:
            Invalid: A glob is malformed.
            PreconditionFailed: *if_match* is not the digest of the present rules.
        """
        for pattern in patterns:
            glob(pattern)

        def work(transaction: Transaction) -> None:
            writable_repository(transaction, repository, force=False)
            if if_match is not None and if_match != _rules(transaction, repository).etag:
                raise PreconditionFailed("Precondition failed")
            replace_rules(transaction, repository, patterns)

        self._database.write(work)


def replace_rules(transaction: Transaction, repository: str, patterns: Sequence[str]) -> None:
    """Set the rules of a repository to these globs."""
    transaction.run("DELETE FROM protection WHERE repository = ?", repository)
    sql = "INSERT INTO protection (repository, pattern) VALUES (?, ?)"
    transaction.run_many(sql, [(repository, pattern) for pattern in sorted(set(patterns))])


def _rules(transaction: Transaction, repository: str) -> Rules:
    rows = transaction.each("SELECT pattern FROM protection WHERE repository = ? ORDER BY pattern", repository)
    patterns = [pattern for (pattern,) in rows]
    return Rules(patterns, hashlib.sha256(json.dumps(patterns).encode()).hexdigest() if patterns else "")
