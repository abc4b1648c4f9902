"""Somebody whom webhooks ask: notes what was asked, and answers as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """One request."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Somebody:
    """Whoever is asked. ``answer`` gives the status; it may take its time."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answer: Callable[[Asked], int] = lambda _asked: 200


@contextmanager
def somebody() -> Iterator[Somebody]:
    """Somebody who says yes until told otherwise."""
    found = Somebody()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            asked = Asked(self.path, {k.lower(): v for k, v in self.headers.items()}, json.loads(body))
            found.asked.append(asked)
            self.send_response(found.answer(asked))
            self.end_headers()
            self.wfile.write(b"because")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


def action(url: str, *, event: str = "pre-merge", branch: str = "main", properties: str = "", more: str = "") -> str:
    """An action file with one hook, and *more* behind it."""
    return f"""
name: asks somebody
on:
  {event}:
    branches: ["{branch}"]
hooks:
  - id: somebody
    type: webhook
    properties:
      url: "{url}/hook"
{properties}{more}"""
