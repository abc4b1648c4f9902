"""Which types may be in the file of a model without being declared: those of scikit-learn, NumPy and SciPy.

skops reads no pickle, but it makes instances of the types that a file names and calls their ``__setstate__``, and a
model calls the functions that it holds. So a name is not enough: the type has to be defined by one of these
distributions, which is looked up, and a function has to be one that only computes. Some of the types, as the nodes of
trees, make a process crash when a file was forged. That is why a file is read only if its hash is the recorded one.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

DISTRIBUTIONS: Final = ("sklearn", "numpy", "scipy")
"""Top-level modules whose classes may be in a file."""

FUNCTIONS: Final = (
    "sklearn.metrics.",
    "sklearn.feature_selection.",
    "sklearn.utils.validation.check_array",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
)
"""Beginnings of the names of functions that may be in a file: scores, and what encoders and splines check with."""

PARTIAL: Final = "functools.partial"
"""May be in a file: the function inside it has to be trusted too."""

_OUTSIDE: Final = frozenset(
    {"tests", "testing", "_testing", "conftest", "f2py", "distutils", "_build_utils", "externals"}
)
"""Parts of module names below which nothing is trusted: they hold tools, not what models are made of."""


def is_trusted(name: str) -> bool:
    """Whether the type or function of this full *name* may be in a file without being declared."""
    if name == PARTIAL:
        return True
    module, _, _ = name.rpartition(".")
    if module.partition(".")[0] not in DISTRIBUTIONS or _OUTSIDE & set(module.split(".")):
        return False
    thing = found(name)
    if thing is None or (getattr(thing, "__module__", None) or "").partition(".")[0] != module.partition(".")[0]:
        return False  # something that was only imported there, as `sklearn.datasets._base.urlretrieve`
    return isinstance(thing, type) or name.startswith(FUNCTIONS)


def found(name: str) -> Any:
    """What has this full *name*, or ``None``; its module is imported."""
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute, None)
    except (ImportError, ValueError):
        return None
