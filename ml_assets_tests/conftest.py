"""What holds for every test: Hypothesis profiles, and marks whose need is not there are skipped by name."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping
from typing import Final

import hypothesis
import pytest

# A test that imports pandera itself must not change how Arrow reads times in all others (see declare/audit.py).
os.environ.setdefault("PYARROW_IGNORE_TIMEZONE", "")

# Timings on shared machines say nothing, hence no deadline. CI draws the same examples every time, the nightly run
# explores.
hypothesis.settings.register_profile("default", deadline=None, max_examples=50)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=2_000, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def _no_real_lake() -> str | None:
    return None if os.environ.get("LAKECTL_SERVER_ENDPOINT_URL") else "LAKECTL_SERVER_ENDPOINT_URL names no lakeFS"


def _no_spark() -> str | None:
    if importlib.util.find_spec("pyspark") is None:
        return "pyspark is not installed: ML_ASSETS_ENGINE=spark deploy/run test"
    from ml_assets.lib.core.errors import ConfigError
    from ml_assets.lib.tables.spark import check_machine
    from ml_assets_tests.spark import JARS

    try:
        check_machine(JARS)
    except ConfigError as error:
        return str(error)
    return None


def _no_browser() -> str | None:
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"not on PATH: {' '.join(missing)}" if missing else None


NEEDS: Final[Mapping[str, Callable[[], str | None]]] = {
    "real_lake": _no_real_lake,
    "spark": _no_spark,
    "ui": _no_browser,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip each test whose mark needs what this machine does not have, and say what that is."""
    missing = {mark: reason for mark, need in NEEDS.items() if (reason := need())}
    for item in items:
        for mark in item.iter_markers():
            if mark.name in missing:
                item.add_marker(pytest.mark.skip(reason=f"{mark.name}: {missing[mark.name]}"))
