"""One call of the REST API: its parameters and body, checked as lakeFS's own schema checks them.

Whatever does not fit is refused with 400 before anything is read or changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs

from ml_assets.lib.devlake.errors import Invalid
from ml_assets.lib.devlake.history import SECOND
from ml_assets.lib.devlake.page import Window

MAX_BODY_BYTES: Final = 32 << 20
"""Of a JSON body. The largest lawful ones name 1000 objects to delete."""

DEFAULT_AMOUNT: Final = 100
MAX_AMOUNT: Final = 1000

TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.IGNORECASE | re.ASCII)

Receive = Callable[[], Awaitable[Any]]
Check = Callable[[object], bool]
Shape = Mapping[str, Check]
"""The known fields of a JSON object. Others are ignored."""


class ClientGone(Exception):
    """The client closed the connection before it sent the whole body."""


class Call:
    """A request that was routed. Path parameters and headers are text; header names are lower-case."""

    def __init__(self, scope: Mapping[str, Any], receive: Receive, arguments: Mapping[str, str]) -> None:
        self._receive = receive
        self._arguments = arguments
        self._query = _query(scope["query_string"])
        self.method: str = scope["method"]
        self.user: str = scope["devlake.user"]
        self.headers = {name.decode("latin-1"): _header(value) for name, value in scope["headers"]}
        self.json: Any = None

    def argument(self, name: str) -> str:
        """A path parameter."""
        return self._arguments[name]

    @property
    def goes_back(self) -> bool:
        """Whether a ref in the path has to be followed through history, which may take any time."""
        return any("~" in value for value in self._arguments.values())

    def text(self, name: str, default: str = "") -> str:
        """A query parameter."""
        return self._query.get(name, [default])[0]

    def required(self, name: str) -> str:
        """A query parameter that must be there, and not be empty."""
        if name not in self._query:
            raise _malformed(name, "value is required but missing")
        if not self.text(name):
            raise _malformed(name, "empty value is not allowed")
        return self.text(name)

    def texts(self, name: str) -> list[str]:
        """A query parameter that may be given several times."""
        return self._query.get(name, [])

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A boolean query parameter, spelled as Go's ParseBool allows."""
        value = self._nonempty(name)
        if value is None:
            return default
        if value not in TRUE | FALSE:
            raise _malformed(name, f"value {value}: an invalid boolean: invalid syntax")
        return value in TRUE

    def amount(self) -> int:
        """How many items a page may hold."""
        value = self._nonempty("amount")
        if value is None:
            return DEFAULT_AMOUNT
        if not _INTEGER.fullmatch(value):
            raise _malformed("amount", f"value {value}: an invalid integer: invalid syntax")
        if not -1 <= int(value) <= MAX_AMOUNT:
            raise _malformed("amount", f"number must be between -1 and {MAX_AMOUNT}")
        return int(value) if int(value) > 0 else DEFAULT_AMOUNT

    def time_ns(self, name: str) -> int | None:
        """A query parameter that is a time (RFC 3339), in nanoseconds since the epoch."""
        value = self._nonempty(name)
        if value is None:
            return None
        try:
            if not _TIME.fullmatch(value):
                raise ValueError  # noqa: TRY301 - fromisoformat would take more than RFC 3339
            moment = datetime.fromisoformat(value.upper())
        except ValueError:
            raise _malformed(name, f"{value} is not a date-time (RFC 3339)") from None
        return int(moment.timestamp()) * SECOND + moment.microsecond * 1000

    def pages(self) -> dict[str, Any]:
        """The parameters of a listing by name."""
        return {"prefix": self.text("prefix"), "after": self.text("after"), "amount": self.amount()}

    def window(self) -> Window:
        """The parameters of a listing by path."""
        return Window(**self.pages(), delimiter=self.text("delimiter"))

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, as it comes in.

        Raises:
            ClientGone: The client went away in the middle of it.
        """
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            more = message.get("more_body", False)
            if message.get("body"):
                yield message["body"]

    async def read_json(self) -> None:
        """Read the body into ``json``; it stays ``None`` if there is none."""
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise Invalid(f"request body has an error: it is larger than {MAX_BODY_BYTES} bytes")
        if not body:
            return
        try:
            text = body.decode()
            self.json = json.loads(text, parse_constant=_refuse)
            if "\\u" in text:  # refuses half a surrogate pair, which is no text
                json.dumps(self.json, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise Invalid(f"request body has an error: failed to decode request body: {error}") from None

    def body(self, shape: Shape, *required: str) -> dict[str, Any]:
        """The JSON object of the body; the fields of *shape* that are there have their type."""
        if self.json is None:
            raise Invalid("request body has an error: value is required but missing")
        if not isinstance(self.json, dict):
            raise Invalid("request body has an error: doesn't match schema: value must be an object")
        for name in required:
            if name not in self.json:
                raise Invalid(f'request body has an error: doesn\'t match schema: property "{name}" is missing')
        fields = {name: value for name, value in self.json.items() if name in shape}
        for name, value in fields.items():
            if not shape[name](value):
                raise Invalid(f'request body has an error: doesn\'t match schema: Error at "/{name}": wrong value')
        return fields

    def _nonempty(self, name: str) -> str | None:
        return self.required(name) if name in self._query else None


def is_text(value: object) -> bool:
    """A string."""
    return isinstance(value, str)


def is_flag(value: object) -> bool:
    """A boolean."""
    return isinstance(value, bool)


def is_integer(value: object) -> bool:
    """An integer of 64 bits."""
    return _is_integer_below(value, 1 << 63)


def is_time(value: object) -> bool:
    """Seconds since the epoch that can be counted in nanoseconds, as a commit does: the years 1678 to 2261."""
    return _is_integer_below(value, (1 << 63) // SECOND)


def is_texts(value: object) -> bool:
    """A list of strings."""
    return isinstance(value, list) and all(map(is_text, value))


def is_metadata(value: object) -> bool:
    """An object of strings."""
    return isinstance(value, dict) and all(map(is_text, value.values()))


def matches(pattern: str) -> Check:
    """A string of this pattern."""
    compiled = re.compile(pattern, re.DOTALL)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def one_of(*values: str) -> Check:
    """One of these strings."""
    return lambda value: value in values


def an_object(shape: Shape) -> Check:
    """An object whose known fields have their types."""

    def check(value: object) -> bool:
        return isinstance(value, dict) and all(shape[name](each) for name, each in value.items() if name in shape)

    return check


def objects_of(shape: Shape) -> Check:
    """A list of objects that have all of these fields, with their types."""

    def check(value: object) -> bool:
        return isinstance(value, list) and all(
            isinstance(each, dict) and all(name in each and fits(each[name]) for name, fits in shape.items())
            for each in value
        )

    return check


def _is_integer_below(value: object, limit: int) -> bool:
    if isinstance(value, float) and value.is_integer():  # 5.0 is one in JSON
        value = int(value)
    return isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit


def _malformed(name: str, problem: str) -> Invalid:
    return Invalid(f'parameter "{name}" in query has an error: {problem}')


def _query(raw: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(raw.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise Invalid("the query is not percent-encoded UTF-8") from None


def _header(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _refuse(constant: str) -> None:
    raise ValueError(f"invalid constant {constant}")
