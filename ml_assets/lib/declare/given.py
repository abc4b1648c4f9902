"""Whether what a decorator was given is what its declaration holds: by the types of the declaration's own fields."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ml_assets.lib.core.errors import DeclarationError
from ml_assets.lib.declare.declarations import Declaration, EngineName
from ml_assets.lib.declare.where import of_function, user

D = TypeVar("D", bound=Declaration)

_WORDS: dict[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a finite number",
    bool: "True or False",
    type(None): "None",
    Any: "a value",
}


def declared(kind: type[D], function: Callable[..., Any], **given: Any) -> D:
    """A declaration of this *kind* of *function*; lists become tuples, mappings become dicts.

    Raises:
        DeclarationError: *function* is no function, or something that was given has another type than the declaration.
    """
    if not isinstance(function, types.FunctionType | partial):
        where = user()
        raise DeclarationError(
            f"{where}: {type(function).__name__} is decorated as a {kind.__name__}, which is no function",
            remedy="put one decorator on one function",
        )
    hints = get_type_hints(kind)
    for name, value in given.items():
        if not fits(value, hints[name]):
            said, remedy = _mistake(name, value, hints[name])
            raise DeclarationError(f"{of_function(function)}: {given['name']} {said}", remedy=remedy)
    return kind(function=function, **{name: _plain(value, hints[name]) for name, value in given.items()})


def fits(value: object, hint: Any) -> bool:
    """Whether *value* is what *hint* says. A boolean is no number here, a text no tuple, and no number is infinite."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return any(fits(value, argument) for argument in arguments)
    if origin is Literal:
        return value in arguments
    if origin is type:
        return isinstance(value, type) and issubclass(value, arguments[0])
    if origin is tuple:
        return isinstance(value, tuple | list) and all(fits(item, arguments[0]) for item in value)
    return _fits_mapping(value, arguments) if arguments else _is(value, hint)


def _fits_mapping(value: object, arguments: tuple[Any, ...]) -> bool:
    key, item = arguments
    return isinstance(value, Mapping) and all(fits(k, key) and fits(v, item) for k, v in value.items())


def _is(value: object, kind: Any) -> bool:
    if kind is Any:
        return True
    if kind in {int, float} and isinstance(value, bool):
        return False
    if kind is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return bool(isinstance(value, kind))


def spelled(hint: Any) -> str:
    """*hint* in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return " or ".join(map(spelled, arguments))
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin is tuple:
        return f"a tuple, each of it {spelled(arguments[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a dict from {spelled(arguments[0])} to {spelled(arguments[1])}"
    return _WORDS.get(hint, f"a {getattr(hint, '__name__', hint)}")


def _mistake(name: str, value: object, hint: Any) -> tuple[str, str]:
    """What is wrong with *value* as *name*, which is no *hint*, and the remedy."""
    if name == "contract":
        kind = get_args(hint)[0].__name__
        said = "has no contract" if value is None else f"has contract {value!r}, which is no {kind}"
        return said, f"write a class on {kind} in defs/contracts and pass it as contract=…"
    if name == "engine":
        return (
            f"asks for the engine {value!r}",
            f"choose of {', '.join(get_args(EngineName))}, or leave it to ML_ASSETS_ENGINE",
        )
    said = f"has {name}={value!r}, which is not {spelled(hint)}"
    if get_origin(hint) is tuple and fits(value, get_args(hint)[0]):
        return said, f"write a tuple of one: {name}=({value!r},)" if isinstance(value, str) else f"write {name}=(…,)"
    return said, f"give {name} {spelled(hint)}"


def _plain(value: Any, hint: Any) -> Any:
    """*value* as the declaration keeps it."""
    if get_origin(hint) is tuple:
        return tuple(value)
    return dict(value) if isinstance(value, Mapping) else value
