"""One webhook: what is sent, what counts as yes, and what is written down about it."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode, urlsplit

from ml_assets.lib.devlake.actions import BadAction, Hook

TIMEOUT_S: Final = 60.0
"""Unless the hook has a ``timeout`` of its own."""

LONGEST_ANSWER: Final = 1 << 16
"""Bytes of an answer that are kept."""

VARIABLES: Final = "LAKEFSACTION_"
"""What the names of the environment variables begin with that hooks may use; others are empty to them."""

_VARIABLE: Final = re.compile(r"{{ ?ENV\.(.*?) ?}}")
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d*)?(?:h|m|s|ms|us|µs|ns))+")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class HookFailed(Exception):
    """A hook that did not say yes. The text is shown to whoever is refused."""


class Text(NamedTuple):
    """A header or query parameter. One that came from the environment is a secret, and is not written down."""

    value: str
    is_secret: bool

    @property
    def shown(self) -> str:
        """What may be written down."""
        return "*******" if self.is_secret else self.value


class Webhook(NamedTuple):
    """Where to send, with what, and how long to wait."""

    url: str
    timeout_s: float
    query: list[tuple[str, Text]]
    headers: list[tuple[str, Text]]


def webhook(hook: Hook, environment: Mapping[str, str]) -> Webhook:
    """The webhook that a hook describes.

    Raises:
        BadAction: It cannot be called.
    """
    if hook.kind != "webhook":
        raise BadAction(f"hooks of type '{hook.kind}' are not in this server: use a webhook, or lakeFS")
    url, timeout = hook.properties["url"], hook.properties.get("timeout")
    if not isinstance(url, str):
        raise BadAction("webhook url must be string: webhook wrong format")
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        raise BadAction(f"webhook url {url!r} must begin with http:// or https:// and a host: webhook wrong format")
    return Webhook(
        url,
        _seconds(timeout) if isinstance(timeout, str) and timeout else TIMEOUT_S,
        [(name, _text(value, environment)) for name, value in _pairs(hook.properties, "query_params")],
        [(name, _text(value, environment)) for name, value in _pairs(hook.properties, "headers")],
    )


class Calls:
    """The webhooks that are being called, so that they can be ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] | None = set()

    def send(self, called: Webhook, body: bytes, log: Callable[[str], None]) -> None:
        """Post *body*, and return if the answer is 2xx. What goes over the wire is told to *log*, without secrets.

        Raises:
            HookFailed: It is not, or there was none in time.
        """
        headers = [(name, text) for name, text in called.headers if name.lower() != "content-type"]
        headers.append(("Content-Type", Text("application/json", is_secret=False)))
        log(f"Request:\nPOST {called.url}\nQuery Params:\n")
        log("".join(f"{name}: {text.shown}\n" for name, text in called.query) + "Headers:\n")
        log("".join(f"{name}: {text.shown}\n" for name, text in headers))
        log(f"Request Body:\n{body.decode()}\n\n")
        began = time.perf_counter()
        try:
            with self._connected(called) as connection:
                connection.request("POST", _target(called), body, {name: text.value for name, text in headers})
                response = connection.getresponse()
                answer = response.read(LONGEST_ANSWER)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise HookFailed(f'Post "{called.url}": {_why(error, called, time.perf_counter() - began)}') from None
        log(f"\nRequest duration: {(time.perf_counter() - began) * 1000:.3f}ms\n\nResponse:\n")
        log(f"HTTP/1.1 {response.status} {response.reason}\n{response.headers}{answer.decode(errors='replace')}")
        if not 200 <= response.status < 300:  # noqa: PLR2004 - HTTP's class of success
            raise HookFailed(f"webhook request failed (status code: {response.status})")

    def end(self) -> None:
        """Hang up on all of them, and call no other."""
        with self._lock:
            sockets, self._sockets = self._sockets or set(), None
        for each in sockets:
            _hang_up(each)

    @contextmanager
    def _connected(self, called: Webhook) -> Iterator[http.client.HTTPConnection]:
        """A connection that is cut when its time is over, however slowly the other side goes on sending."""
        parts = urlsplit(called.url)
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.netloc.rpartition("@")[2], timeout=called.timeout_s, context=context
            )
        else:
            connection = http.client.HTTPConnection(parts.netloc.rpartition("@")[2], timeout=called.timeout_s)
        connection.connect()
        timer = threading.Timer(called.timeout_s, _hang_up, [connection.sock])
        timer.daemon = True
        with self._lock:
            if self._sockets is None:
                connection.close()
                raise HookFailed("the server is stopping")
            self._sockets.add(used := connection.sock)
        timer.start()
        try:
            yield connection
        finally:
            timer.cancel()
            with self._lock:
                (self._sockets or set()).discard(used)
            connection.close()


def _why(error: Exception, called: Webhook, seconds: float) -> str:
    if seconds >= called.timeout_s or isinstance(error, TimeoutError):
        return f"no answer within {called.timeout_s:g} s"
    return str(error) or type(error).__name__


def _hang_up(connected: socket.socket) -> None:
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


def _target(called: Webhook) -> str:
    parts = urlsplit(called.url)
    query = "&".join(filter(None, (parts.query, urlencode([(name, text.value) for name, text in called.query]))))
    return f"{parts.path or '/'}{'?' if query else ''}{query}"


def _pairs(properties: Mapping[str, Any], name: str) -> Iterator[tuple[str, str]]:
    values = properties.get(name, {})
    if not isinstance(values, dict):
        raise BadAction(f"unsupported {name}: webhook wrong format")
    for key, value in values.items():
        for each in value if isinstance(value, list) and name == "query_params" else [value]:
            if not isinstance(each, str):
                raise BadAction(f"{name} should be of type string: webhook wrong format")
            yield str(key), each


def _text(text: str, environment: Mapping[str, str]) -> Text:
    def look_up(found: re.Match[str]) -> str:
        variable = found[1]
        if not variable.startswith(VARIABLES):
            return ""
        if variable not in environment:
            raise BadAction(f"{variable} not found: missing env var")
        return environment[variable]

    value, count = _VARIABLE.subn(look_up, text)
    return Text(value, is_secret=count > 0)


def _seconds(text: str) -> float:
    if not _DURATION.fullmatch(text):
        raise BadAction(f'webhook request duration: time: invalid duration "{text}"')
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"([\d.]+)(\D+)", text))
