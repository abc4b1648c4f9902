"""Dagster's webserver, asked as its UI asks."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

POLL_S: Final = 2.0
LIMIT_S: Final = 400

LOADED: Final = """{ workspaceOrError { ... on Workspace { locationEntries { loadStatus
  locationOrLoadError { __typename } } } } }"""


@dataclass(frozen=True)
class Graphql:
    """A webserver on this machine.

    Attributes:
        port: Where it listens.
    """

    port: int

    def ask(self, query: str, **variables: Any) -> Any:
        """The data of the answer."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert "errors" not in found, found
        return found["data"]

    def wait(self, what: str, query: str, done: Callable[[Any], bool], **variables: Any) -> Any:
        """Ask until *done* says yes to the data."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            try:
                found = self.ask(query, **variables)
            except OSError:
                found = None
            if found is not None and done(found):
                return found
            time.sleep(POLL_S)
        raise AssertionError(f"{what}: not after {LIMIT_S} s")

    def wait_until_loaded(self) -> None:
        """Wait for the server, and for the code location behind it."""
        self.wait("loading the code location", LOADED, _is_loaded)


def _is_loaded(data: Any) -> bool:
    entries = data["workspaceOrError"]["locationEntries"]
    return bool(entries) and all(
        entry["loadStatus"] == "LOADED" and entry["locationOrLoadError"]["__typename"] == "RepositoryLocation"
        for entry in entries
    )
