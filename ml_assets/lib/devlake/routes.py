"""Which calls the REST API has, and which function answers each.

A route is a method and a path of fixed segments and parameters in braces. Paths are matched before they are unquoted,
so a parameter may hold a quoted slash.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.responses import Response

from ml_assets.lib.devlake.call import Call
from ml_assets.lib.devlake.errors import Invalid
from ml_assets.lib.devlake.repo import Lake

PREFIX = "/api/v1"

Answer = Callable[[Lake, Call], Response]
"""Answers a call whose JSON body, if any, has been read. Runs in a thread."""

StreamAnswer = Callable[[Lake, Call], Awaitable[Response]]
"""Answers a call with a body of any size, which it reads itself. Runs in the event loop."""


@dataclass(frozen=True, slots=True)
class Route:
    """A call of the API.

    ``public`` ones need no authentication. One that ``asks`` may wait for hooks for long; one that is ``quick`` looks
    up a few rows, which is cheaper than handing it to a thread.
    """

    method: str
    path: str
    answer: Answer | None = None
    stream: StreamAnswer | None = None
    public: bool = False
    asks: bool = False
    quick: bool = False


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root: dict[str, Any] = {}
        for route in routes:
            node = self._root
            for segment in route.path[1:].split("/"):
                node = node.setdefault("{}" if segment.startswith("{") else segment, {})
            node[f" {route.method}"] = route  # no segment starts with a space: it would be quoted

    def find(self, method: str, raw_path: bytes) -> Route | None:
        """The route, or ``None`` for an unknown path, a wrong method or a trailing slash."""
        path = raw_path.decode("latin-1").partition("?")[0]
        if not path.startswith(PREFIX + "/") or path.endswith("/"):
            return None
        return _find(self._root, path.removeprefix(PREFIX + "/").split("/"), f" {method}")


def arguments(route: Route, raw_path: bytes) -> Mapping[str, str]:
    """The parameters in the path of a request for *route*.

    Raises:
        Invalid: One is empty, or is not quoted UTF-8.
    """
    segments = raw_path.partition(b"?")[0].removeprefix(PREFIX.encode() + b"/").split(b"/")
    found: dict[str, str] = {}
    for name, segment in zip(route.path[1:].split("/"), segments, strict=True):
        if name.startswith("{"):
            if not segment:
                raise Invalid(f'parameter "{name[1:-1]}" in path has an error: value is required but missing')
            try:
                found[name[1:-1]] = unquote_to_bytes(segment).decode()
            except UnicodeDecodeError:
                raise Invalid(f'parameter "{name[1:-1]}" in path has an error: not quoted UTF-8') from None
    return found


def _find(node: Mapping[str, Any], segments: Sequence[str], method: str) -> Route | None:
    if not segments:
        found: Route | None = node.get(method)
        return found
    for name in (segments[0], "{}"):  # a branch may be called like a fixed segment, so both are tried
        if name in node and not name.startswith(" "):
            found = _find(node[name], segments[1:], method)
            if found is not None:
                return found
    return None
