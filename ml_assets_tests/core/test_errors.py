"""The tree of errors: as it is drawn, with stable kinds, whole after a journey to another process."""

from __future__ import annotations

import copy
import pickle  # noqa: TID251  (errors travel between processes as pickles; this one was made here)
from collections.abc import Iterator

import pytest

from ml_assets.lib.core import errors
from ml_assets.lib.core.errors import MLAssetsError


def tree(cls: type[MLAssetsError]) -> Iterator[type[MLAssetsError]]:
    """*cls* and all of its subclasses in the module, depth first, in the order in which they are written."""
    yield cls
    for sub in cls.__subclasses__():
        if sub.__module__ == errors.__name__:
            yield from tree(sub)


ALL = list(tree(MLAssetsError))


def drawn(cls: type[MLAssetsError], lead: str = "") -> Iterator[str]:
    """The lines of the drawing below *cls*, without explanations."""
    subs = [sub for sub in cls.__subclasses__() if sub.__module__ == errors.__name__]
    for sub in subs:
        last = sub is subs[-1]
        yield f"{lead}{'└' if last else '├'}── {sub.__name__}"
        yield from drawn(sub, lead + ("    " if last else "│   "))


def test_drawing() -> None:
    """The drawing at the top of the module is the tree."""
    shown = [line for line in (errors.__doc__ or "").splitlines() if "── " in line]
    branches = [line[: line.index("── ") + 3] + line.split("── ")[1].split()[0] for line in shown]
    assert list(drawn(MLAssetsError)) == branches


def test_every_line_explains() -> None:
    """Each class is explained in the drawing and has a docstring."""
    lines = [line for line in (errors.__doc__ or "").splitlines() if "──" in line]
    assert all(len(line.split("── ")[1].split()) > 2 for line in lines)
    assert all(cls.__doc__ and cls.__doc__ != cls.__base__.__doc__ for cls in ALL)


def test_kinds() -> None:
    """Each class has a kind of its own, spelled in lower case, by which handlers know it."""
    kinds = [cls.__dict__["kind"] for cls in ALL]
    assert len(kinds) == len(set(kinds))
    assert all(kind.replace("-", "").isalpha() and kind.islower() for kind in kinds)


@pytest.mark.parametrize("cls", ALL)
def test_travels(cls: type[MLAssetsError]) -> None:
    """An error comes out of a pickle or a copy as it was, with problem and remedy apart."""
    error = cls("x is wrong in y; z", remedy="do w")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is cls
        assert ("x is wrong in y; z", "do w") == (other.problem, other.remedy)
        assert "x is wrong in y; z; do w" == str(other) == str(error)


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.RefNotFound, LookupError),
        (errors.BadRef, ValueError),
        (errors.NoSuchTable, LookupError),
        (errors.NotDigestible, TypeError),
    ],
)
def test_builtins(cls: type[MLAssetsError], builtin: type[Exception]) -> None:
    """Some are also what Python would call them."""
    assert issubclass(cls, builtin)
