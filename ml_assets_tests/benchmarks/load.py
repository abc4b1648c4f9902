"""How long the code location takes to load, against Dagster alone: user CPU time of new processes, interleaved."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator

_ROUNDS = 7


def measure() -> Iterator[str]:
    """Lines with the figures."""
    seconds: dict[str, list[float]] = {"dagster": [], "ml_assets.definitions": []}
    with tempfile.TemporaryDirectory() as home:
        for _ in range(_ROUNDS):
            for module, found in seconds.items():
                found.append(_cpu_seconds(module, home))
    bare, ours = (statistics.median(found) for found in seconds.values())
    yield f"import dagster {bare:.2f} s, code location {ours:.2f} s of CPU: {ours / bare:.2f}x (median of {_ROUNDS})"


def _cpu_seconds(module: str, home: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "ML_ASSETS_HOME": home}
    subprocess.run([sys.executable, "-c", f"import {module}"], env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
