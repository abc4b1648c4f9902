"""What is drawn and lawful gives the same rows on Spark, by their digests."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings

from ml_assets.lib.engines import engine
from ml_assets_tests.drawn.harness import Bench
from ml_assets_tests.drawn.packages import Drawn
from ml_assets_tests.drawn.strategy import packages
from ml_assets_tests.spark import JARS, MARKS

pytestmark = [*MARKS, pytest.mark.slow]

_CHECKS: Final = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=max(5, settings().max_examples // 20), suppress_health_check=_CHECKS)
@given(drawn=packages())
def test_both_engines_compute_the_same_rows(drawn: Drawn, bench: Bench) -> None:
    """Of every split, view and frame; models are not computed by an engine."""
    replace(bench, spark=engine("spark", threads=2, jars=JARS)).check(drawn, models=False)
