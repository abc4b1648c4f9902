"""Who may write where: repositories and what they refuse. Asked by every operation, inside its transaction."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ml_assets.lib.devlake.database import Row, Transaction
from ml_assets.lib.devlake.errors import BranchNotFound, ProtectedBranch, ReadOnlyRepository, RepositoryNotFound
from ml_assets.lib.devlake.globs import glob
from ml_assets.lib.devlake.names import check_repository_name

COLUMNS = "name, storage_namespace, default_branch, created, read_only, metadata"


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository. ``created`` is in seconds since the epoch."""

    name: str
    storage_namespace: str
    default_branch: str
    created: int
    read_only: bool
    metadata: dict[str, str]


def repository_of(row: Row) -> Repository:
    """A repository from its ``COLUMNS``."""
    name, storage_namespace, default_branch, created, read_only, metadata = row
    return Repository(name, storage_namespace, default_branch, created, bool(read_only), json.loads(metadata))


def find_repository(transaction: Transaction, name: str) -> Repository:
    """The repository of this name.

    Raises:
        InvalidName: The name cannot be one.
        RepositoryNotFound: There is none.
    """
    check_repository_name(name)
    row = transaction.one(f"SELECT {COLUMNS} FROM repository WHERE name = ?", name)
    if row is None:
        raise RepositoryNotFound
    return repository_of(row)


def writable_repository(transaction: Transaction, name: str, *, force: bool) -> Repository:
    """The repository of this name, if it may be changed. *force* opens a read-only one.

    Raises:
        RepositoryNotFound: There is none.
        ReadOnlyRepository: It is read-only.
    """
    repository = find_repository(transaction, name)
    check_writable(repository, force=force)
    return repository


def check_writable(repository: Repository, *, force: bool) -> None:
    """Refuse what would change a read-only repository, unless *force* opens it.

    Raises:
        ReadOnlyRepository: It is read-only.
    """
    if repository.read_only and not force:
        raise ReadOnlyRepository


def staging_head(transaction: Transaction, repository: str, branch: str, *, force: bool) -> str:
    """The id of the last commit of *branch*, if something may be staged there. *force* opens a read-only repository.

    Raises:
        RepositoryNotFound, BranchNotFound: There is none.
        ProtectedBranch: The branch is protected.
        ReadOnlyRepository: The repository is read-only.
    """
    check_repository_name(repository)
    sql = (
        "SELECT read_only, commit_id FROM repository LEFT JOIN branch "
        "ON branch.repository = repository.name AND branch.name = ? WHERE repository.name = ?"
    )
    row = transaction.one(sql, branch, repository)
    if row is None:
        raise RepositoryNotFound
    read_only, head = row
    check_unprotected(transaction, repository, branch, "cannot write to protected branch")
    if read_only and not force:
        raise ReadOnlyRepository
    if head is None:
        raise BranchNotFound
    return str(head)


def check_unprotected(transaction: Transaction, repository: str, branch: str, refusal: str) -> None:
    """Refuse if a protection rule of the repository covers *branch*.

    Raises:
        ProtectedBranch: One does; *refusal* says what may not be done.
    """
    for (pattern,) in transaction.each("SELECT pattern FROM protection WHERE repository = ?", repository):
        if glob(pattern).covers(branch):
            raise ProtectedBranch(refusal)
