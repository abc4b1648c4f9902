"""Connections that cost next to nothing, so that it is the server that is measured: requests are written beforehand."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Final
from urllib.parse import urlsplit

from ml_assets.lib.devlake.server import Endpoint
from ml_assets_tests.devlake.wire import Answer, Pairs, Wire

_SUCCESS: Final = range(200, 300)


class Writer(Wire):
    """Writes requests, signed and all, into ``written`` instead of sending them."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.written = b""

    def send(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Write it."""
        sent = {"host": self.host, "content-length": str(len(body)), **(headers or {})}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
        self.written = "\r\n".join(lines).encode() + body
        return Answer(0, {}, b"")

    def write_rest(
        self, method: str, path: str, json_body: object = None, *, query: Pairs = (), body: bytes = b""
    ) -> bytes:
        """A call of the REST API."""
        self.rest(method, path, query=query, json_body=json_body, body=body)
        return self.written

    def write_s3(self, method: str, path: str, body: bytes = b"") -> bytes:
        """A call of the S3 API, whose body is not signed."""
        self.s3(method, path, body=body, mode="unsigned")
        return self.written


class Connection:
    """A connection that is kept open, unless the server hangs up between two requests."""

    def __init__(self, endpoint: Endpoint) -> None:
        parts = urlsplit(endpoint.url)
        self._address = parts.hostname, parts.port
        self._open()

    def _open(self) -> None:
        self._socket = socket.create_connection(self._address, timeout=600)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def ask(self, request: bytes) -> bytes:
        """Send *request* and give the body of the answer, which must be a success."""
        if select.select([self._socket], [], [], 0)[0]:  # nothing was asked, so all it can have said is goodbye
            self.close()
            self._open()
        self._socket.sendall(request)
        head, _, rest = self._until(bytearray(), b"\r\n\r\n").partition(b"\r\n\r\n")
        headers = head.lower()
        if b"transfer-encoding: chunked" in headers:
            body = _joined(bytes(self._until(bytearray(rest), b"\r\n0\r\n\r\n")))
        else:
            _, _, length = headers.partition(b"content-length: ")
            body = self._exactly(bytearray(rest), int(length.split(b"\r\n")[0] or 0))
        if int(head.split(b" ", 2)[1]) not in _SUCCESS:
            raise AssertionError(f"{request[:200]!r}: {head[:40]!r} {body[:300]!r}")
        return body

    def _until(self, found: bytearray, end: bytes) -> bytearray:
        while end not in found[-65536 - len(end) :]:
            found += self._receive()
        return found

    def _exactly(self, found: bytearray, length: int) -> bytes:
        while len(found) < length:
            found += self._receive()
        return bytes(found)

    def _receive(self) -> bytes:
        piece = self._socket.recv(65536)
        if not piece:
            raise ConnectionError("the server has hung up")
        return piece


def _joined(chunks: bytes) -> bytes:
    """A body without the sizes of its chunks."""
    body = b""
    while chunks:
        size, _, chunks = chunks.partition(b"\r\n")
        body, chunks = body + chunks[: int(size, 16)], chunks[int(size, 16) + 2 :]
    return body


def seconds(connection: Connection, requests: Sequence[bytes]) -> float:
    """How long it takes to ask *requests*, one after the other."""
    began = time.perf_counter()
    for request in requests:
        connection.ask(request)
    return time.perf_counter() - began


def seconds_in_parallel(endpoint: Endpoint, shares: Sequence[Sequence[bytes]]) -> float:
    """How long it takes until all *shares* are asked, each over a connection of its own."""
    gate = threading.Barrier(len(shares) + 1)

    def one(requests: Sequence[bytes]) -> None:
        with closing(Connection(endpoint)) as connection:
            gate.wait()
            seconds(connection, requests)

    with ThreadPoolExecutor(len(shares)) as threads:
        running = [threads.submit(one, share) for share in shares]
        gate.wait()
        began = time.perf_counter()
        for done in running:
            done.result()
        return time.perf_counter() - began
