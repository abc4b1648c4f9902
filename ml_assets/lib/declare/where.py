"""Where something was written, as ``path:line`` that means the same on every machine."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from pathlib import PurePath
from traceback import walk_tb
from types import CodeType, FrameType
from typing import Any


def location(code: CodeType, module: str, line: int | None = None) -> str:
    """``ml_assets/defs/features/route.py:12``: the file from the top of its package, and the line.

    Args:
        code: Code compiled from the file.
        module: Dotted name of the module, which says how much of the path belongs to the package.
        line: Line to report; that of *code* itself when not given.
    """
    path = PurePath(code.co_filename)
    depth = module.count(".") + (2 if path.name == "__init__.py" else 1)
    return f"{'/'.join(path.parts[-depth:])}:{code.co_firstlineno if line is None else line}"


def caller(frame: FrameType) -> str:
    """Where *frame* stands now."""
    return location(frame.f_code, frame.f_globals.get("__name__", ""), frame.f_lineno)


def user() -> str:
    """Where the code that calls this package stands now: the innermost line outside of it."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 (inspect would read the files)
    package = __name__.rpartition(".")[0]
    while frame is not None and (
        frame.f_code.co_filename == "<string>" or str(frame.f_globals.get("__name__", "")).startswith(package)
    ):
        frame = frame.f_back
    return "?" if frame is None else caller(frame)


def of_error(error: BaseException, function: Callable[..., Any]) -> str:
    """Where *error* left the code of the people who wrote *function*: the innermost frame in its package.

    Args:
        error: What calling *function* raised.
        function: A declared function; where it begins is the answer if no frame is in its package.
    """
    return in_package(error, _package_of(function)) or of_function(function)


def is_own(error: BaseException, function: Callable[..., Any]) -> bool:
    """Whether *error* was raised by a line of the package of *function*, not in a library that it calls."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    package = _package_of(function)
    module = str(frames[-1].f_globals.get("__name__", "")) if frames else ""
    return module == package or module.startswith(f"{package}.")


def _package_of(function: Callable[..., Any]) -> str:
    """The package of declarations that *function* is in: above the folder of its stage."""
    module = _unwrapped(function).__module__
    return module.rsplit(".", 2)[0] if module.count(".") > 1 else module


def of_function(function: Callable[..., Any]) -> str:
    """Where *function* begins, decorators included."""
    written = _unwrapped(function)
    return location(written.__code__, written.__module__)


def _unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it was written, without what was put around it."""
    while isinstance(function, partial):
        function = function.func
    written: Callable[..., Any] = inspect.unwrap(function)
    return written


def in_package(error: BaseException, package: str) -> str:
    """Where in *package* the *error* came up: the deepest of its lines, or where it is no Python; empty if nowhere."""
    if isinstance(error, SyntaxError) and error.filename:
        parts = PurePath(error.filename).parts
        top = package.partition(".")[0]
        return f"{'/'.join(parts[parts.index(top) :] if top in parts else parts[-1:])}:{error.lineno}"
    found = ""
    for frame, line in walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if f"{module}.".startswith(f"{package}."):
            found = location(frame.f_code, module, line)
    return found
