"""Parameters and seeds: values that a recipe can hold exactly, and how given ones stand in for declared ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from ml_assets.lib.core.errors import ConfigError

LARGEST: Final = 2**53 - 1
"""Largest whole number of a recipe: canonical JSON has no larger one."""

LARGEST_SEED: Final = 2**32 - 1
"""Largest seed that NumPy and scikit-learn take."""

RESERVED: Final = ("recipe", "seed")
"""Names of facts that MLflow keeps beside the parameters."""

_KINDS: Final[Mapping[type, str]] = {
    bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list", tuple: "a list",
    dict: "a dict",
}  # fmt: skip


def wrong_value(value: Any) -> str:  # noqa: PLR0911 (one return per kind of value)
    """Why a recipe cannot hold *value*; empty if it can."""
    kind = type(value)  # exactly: a subclass, as NumPy's double is one of float, does not come back from JSON
    if value is None or kind is bool:
        return ""
    if kind is str:
        return "" if is_text(value) else f"{value!r} is no text of UTF-8"
    if kind is int:
        return "" if abs(value) <= LARGEST else f"{value} is beyond 2**53, which JSON cannot hold exactly"
    if kind is float:
        return "" if math.isfinite(value) else f"{value} is no finite number"
    if kind in (list, tuple):
        return next(filter(None, map(wrong_value, value)), "")
    if kind is dict:
        if odd := [key for key in value if not isinstance(key, str) or not is_text(key)]:
            return f"the key {odd[0]!r} of a dict is no text"
        return next(filter(None, map(wrong_value, value.values())), "")
    return f"{value!r} is of type {type(value).__name__}"


def is_text(value: str) -> bool:
    """Whether *value* can be written as UTF-8: half a surrogate pair, which a terminal makes of other bytes, cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def wrong_name(name: object) -> str:
    """Why nothing can be a parameter of this *name*; empty if something can."""
    if not isinstance(name, str) or not name.isidentifier():
        return f"{name!r} is no name"
    return f"{name!r} is the name of a fact beside the parameters" if name in RESERVED else ""


def wrong_seed(seed: object, largest: int = LARGEST_SEED) -> str:
    """Why *seed* cannot be one; empty if it can."""
    lawful = isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed <= largest
    return "" if lawful else f"seed is {seed!r}"


def adopt(owner: str, declared: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """*declared* parameters with what is *given* instead, each of the declared kind: a list for a tuple becomes one.

    A parameter that is declared as ``None`` takes any value.

    Raises:
        ConfigError: One is not declared by *owner*, or is of another kind, or a recipe cannot hold it.
    """
    for name, value in given.items():
        if name not in declared:
            raise ConfigError(
                f"{owner} has no parameter {name!r}",
                remedy=f"it declares {', '.join(declared) or 'none'} (defs/models)",
            )
        default = declared[name]
        if reason := wrong_value(value):
            raise ConfigError(f"{name} of {owner}: {reason}", remedy="give another value")
        if not _fits(value, default):
            raise ConfigError(
                f"{name} of {owner} is {value!r}",
                remedy=f"give {_KINDS[type(default)]}, as in {name}={default}, or declare another default",
            )
    return {**declared, **{name: _as(value, declared[name]) for name, value in given.items()}}


def as_json(value: Any) -> Any:
    """A parameter as run config and records have it: there are no tuples."""
    if isinstance(value, tuple | list):
        return [as_json(item) for item in value]
    return {name: as_json(item) for name, item in value.items()} if isinstance(value, dict) else value


def _fits(value: object, default: object) -> bool:
    if default is None:
        return True
    if isinstance(value, bool) or isinstance(default, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, tuple | list):
        return isinstance(value, tuple | list)
    return isinstance(value, int | float if isinstance(default, float) else type(default))


def _as(value: Any, default: Any) -> Any:
    if isinstance(default, tuple | list):
        return default if as_json(value) == as_json(default) else type(default)(value)
    return float(value) if isinstance(default, float) else value
