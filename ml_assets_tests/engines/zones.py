"""Runs `in_zone` as machines in several zones would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Final

from ml_assets_tests.spark import ROOT

ZONES: Final = ("UTC", "America/New_York", "Asia/Kolkata")


def told(engine: str) -> dict[str, Any]:
    """What `in_zone` tells in each of the zones."""
    return {zone: _run(engine, zone) for zone in ZONES}


def _run(engine: str, zone: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "ml_assets_tests.engines.in_zone", engine],
        env={**os.environ, "TZ": zone, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("told ")).removeprefix("told "))


def check_equal(found: dict[str, Any]) -> None:
    """What was told in each zone is what was told in UTC."""
    for zone in ZONES:
        for part, value in found["UTC"].items():
            assert found[zone][part] == value, (zone, part)
    assert found["UTC"]["streamed"] == found["UTC"]["kept"]
    assert found["UTC"]["rows"] > 1
