"""Which server runs for a state folder: written by the server, read by everybody, replaced as a whole."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ml_assets.lib.core.process import Process

FILE: Final = "lake.json"
ROOT_LOCK: Final = "server.lock"
"""Held in its root by a server for as long as it lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """A server that was started.

    It outlives the server, so that the next one finds the same data and takes the same port.

    Attributes:
        url: Where it answers.
        process: Which process it is.
        root: Folder with the lake's data.
    """

    url: str
    process: Process
    root: Path

    @classmethod
    def read(cls, home: Path) -> Self | None:
        """The state of *home*; ``None`` if there is none that can be read."""
        try:
            content = json.loads((home / FILE).read_text())
            return cls(url=content["url"], process=Process.from_text(content["process"]), root=Path(content["root"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, home: Path) -> None:
        """Replace the state of *home*, so that a reader sees the old one or this one."""
        temporary = home / f".{FILE}.{secrets.token_hex(8)}"
        content = {"url": self.url, "process": self.process.as_text(), "root": str(self.root)}
        with temporary.open("x") as stream:
            json.dump(content, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(home / FILE)
