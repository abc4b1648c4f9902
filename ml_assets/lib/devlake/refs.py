"""From a ref expression to a commit.

An expression is a base and modifiers. The base is a full commit id, a branch, a tag or a unique prefix of a commit id,
in this order. ``~N`` goes back N first parents, ``^N`` to the N-th parent (``^0`` stays); ``@`` takes a branch without
its uncommitted changes and ``$`` with them, each only right after a branch and alone.

White space is not looked at here: most calls refuse it with `names.check_ref`. As in lakeFS, those that do not find
nothing of such a name.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ml_assets.lib.devlake import history
from ml_assets.lib.devlake.database import Transaction
from ml_assets.lib.devlake.errors import BranchNotFound, InvalidRef, RefNotFound
from ml_assets.lib.devlake.history import Commit

_EXPRESSION: Final = re.compile(r"([^~^@$]+)((?:[~^@$][^~^@$]*)*)")
_MODIFIER: Final = re.compile(r"([~^@$])([^~^@$]*)")
_FULL_ID: Final = re.compile(r"[0-9a-fA-F]{64}")
_ID_PREFIX: Final = re.compile(r"[0-9a-f]{1,64}")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}")


class Resolved(NamedTuple):
    """What an expression names.

    Attributes:
        commit_id: The commit.
        branch: The branch whose uncommitted changes lie on top of it, or ``None``.
        staging: Whether the expression asked for uncommitted changes with ``$``.
    """

    commit_id: str
    branch: str | None
    staging: bool


def resolve(transaction: Transaction, repository: str, ref: str) -> Resolved:
    """What *ref* names.

    Raises:
        InvalidRef: It cannot be read, or a modifier does not apply.
        RefNotFound: Nothing answers to it.
    """
    name, modifiers = _parse(ref)
    base, branch = _base(transaction, repository, name)
    for sign, number in modifiers:
        if sign in "@$":
            if branch is None or len(modifiers) != 1:
                raise _invalid()
            return Resolved(base, branch if sign == "$" else None, staging=sign == "$")
        step = _back if sign == "~" else _parent
        base = step(transaction, repository, base, number)
    return Resolved(base, None if modifiers else branch, staging=False)


def resolve_commit(transaction: Transaction, repository: str, ref: str) -> Commit:
    """The commit that *ref* names.

    Raises:
        InvalidRef: It cannot be read, or asks for uncommitted changes.
        RefNotFound: Nothing answers to it.
    """
    return commit_of(transaction, repository, ref, resolve(transaction, repository, ref))


def commit_of(transaction: Transaction, repository: str, ref: str, resolved: Resolved) -> Commit:
    """The commit that *ref* names, once it is resolved.

    Raises:
        InvalidRef: It asks for uncommitted changes.
    """
    if resolved.staging:
        raise InvalidRef(f"reference '{ref}': reference to staging area with $ is not a commit")
    return history.load(transaction, repository, resolved.commit_id)


def branch_head(transaction: Transaction, repository: str, branch: str) -> Commit:
    """The last commit of a branch.

    Raises:
        BranchNotFound: There is no such branch.
    """
    row = transaction.one("SELECT commit_id FROM branch WHERE repository = ? AND name = ?", repository, branch)
    if row is None:
        raise BranchNotFound
    return history.load(transaction, repository, row[0])


def move_branch(transaction: Transaction, repository: str, branch: str, commit: Commit) -> None:
    """Let *branch* point to *commit*."""
    sql = "UPDATE branch SET commit_id = ? WHERE repository = ? AND name = ?"
    transaction.run(sql, commit.id, repository, branch)


def _base(transaction: Transaction, repository: str, name: str) -> tuple[str, str | None]:
    if _FULL_ID.fullmatch(name) and name in history.ids_with_prefix(transaction, repository, name):
        return name, None
    for table, branch in (("branch", name), ("tag", None)):
        row = transaction.one(f"SELECT commit_id FROM {table} WHERE repository = ? AND name = ?", repository, name)
        if row is not None:
            return row[0], branch
    if _ID_PREFIX.fullmatch(name):
        ids = history.ids_with_prefix(transaction, repository, name)
        if len(ids) == 1:
            return ids[0], None
    raise RefNotFound


def _parse(ref: str) -> tuple[str, list[tuple[str, int]]]:
    expression = _EXPRESSION.fullmatch(ref)
    if expression is None:
        raise _invalid()
    modifiers = [(sign, _number(sign, text)) for sign, text in _MODIFIER.findall(expression[2])]
    return expression[1], modifiers


def _number(sign: str, text: str) -> int:
    if not text:
        return 1
    if sign in "@$" or not _NUMBER.fullmatch(text):
        raise _invalid()
    return int(text)


def _back(transaction: Transaction, repository: str, commit_id: str, steps: int) -> str:
    for _ in range(steps):
        parents = history.load(transaction, repository, commit_id).parents
        if not parents:
            raise RefNotFound
        commit_id = parents[0]
    return commit_id


def _parent(transaction: Transaction, repository: str, commit_id: str, number: int) -> str:
    if number == 0:
        return commit_id
    parents = history.load(transaction, repository, commit_id).parents
    if not 0 < number <= len(parents):
        raise _invalid()
    return parents[number - 1]


def _invalid() -> InvalidRef:
    return InvalidRef("ref: invalid value: validation error")
