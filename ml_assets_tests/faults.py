"""Faults between a `Lake` and its server: answers that are lost, refused connections, refusals."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

import urllib3

from ml_assets.lib.lake.client import Lake

Fault = Literal["pass", "lost", "unreachable"] | int
"""``pass``: as usual. ``lost``: the server does it, the answer is lost. ``unreachable``: nothing is sent. A number: the
server is not asked, this is the answer's status."""


class Faults:
    """Stands in for the connection pool of *lake*. Each request meets the next fault; after the last one, all pass.

    Args:
        lake: Whose requests.
        faults: What happens to them, in order.
        only: Part of the method and URL of the requests that count (``POST`` or ``/merge/``); the others pass.

    Attributes:
        sent: Method and URL of every request that was tried, in order.
    """

    def __init__(self, lake: Lake, faults: Iterable[Fault], *, only: str = "") -> None:
        self._rest = lake.connection.sdk.objects_api.api_client.rest_client
        self._pool = self._rest.pool_manager
        self._faults = iter(faults)
        self._only = only
        self.sent: list[str] = []
        self._rest.pool_manager = self

    def remove(self) -> None:
        """Let everything pass again."""
        self._rest.pool_manager = self._pool

    def request(self, method: str, url: str, **kwargs: Any) -> urllib3.BaseHTTPResponse:
        """What `urllib3.PoolManager.request` does, or the next fault."""
        what = f"{method} {url}"
        self.sent.append(what)
        fault = next(self._faults, "pass") if self._only in what else "pass"
        if fault == "unreachable":
            raise urllib3.exceptions.ConnectTimeoutError(None, "connection timed out")
        if isinstance(fault, int):
            body = json.dumps({"message": f"made up {fault}"}).encode()
            return urllib3.HTTPResponse(body, {"content-type": "application/json"}, status=fault)
        answer: urllib3.BaseHTTPResponse = self._pool.request(method, url, **kwargs)
        if fault == "lost":
            raise urllib3.exceptions.ProtocolError("connection aborted")
        return answer
