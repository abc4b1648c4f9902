"""Where something was written, as ``path:line`` that means the same on every machine."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import PurePath
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


def of_function(function: Callable[..., Any]) -> str:
    """Where *function* begins, decorators included."""
    while isinstance(function, partial):
        function = function.func
    written = inspect.unwrap(function)
    return location(written.__code__, written.__module__)
