"""A piece of work in a process of its own: what it says of itself, and its peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from ml_assets.lib.devlake import server
from ml_assets.lib.lake.client import Lake

_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of a process.

    Attributes:
        told: The JSON object that it printed last; empty if it did not end well.
        peak: Largest resident memory seen of it and its children, bytes.
        error: The last line that it wrote otherwise.
    """

    told: dict[str, Any]
    peak: int
    error: str = ""


def run(module: str, *arguments: str, limit_s: float = 900) -> Measured:
    """Run ``python -m module arguments`` until it ends, or *limit_s* have passed."""
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=out, stderr=out, text=True)
        peak, until = 0, time.monotonic() + limit_s
        while process.poll() is None and time.monotonic() < until:
            peak = max(peak, _resident(process.pid))
            time.sleep(_POLL_S)
        late = process.poll() is None
        process.kill()
        process.wait()
        out.seek(0)
        last = ([line for line in out.read().splitlines() if line.strip()] or [""])[-1]
    if late:
        return Measured({}, peak, f"not done in {limit_s:.0f} s")
    return Measured(json.loads(last), peak) if process.returncode == 0 else Measured({}, peak, last)


def _resident(pid: int) -> int:
    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                total += one.memory_info().rss
    return total


@contextmanager
def new_lake(home: Path) -> Iterator[Lake]:
    """An embedded lake in *home*, with an empty repository."""
    server.ensure(home)
    try:
        lake = lake_of(home)
        lake.ensure_repository()
        yield lake
    finally:
        server.stop(home)


def lake_of(home: Path) -> Lake:
    """A client for the lake of *home*, which runs."""
    found = server.ensure(home)
    return Lake(found.url, "bench", found.access_key_id, found.secret_access_key, timeout_s=600)
