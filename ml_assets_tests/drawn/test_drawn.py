"""Whatever is declared is either told wrong by `check`, at file and line, or runs: on both engines with equal digests.

`python -m ml_assets_tests.drawn 300` says how many run, are refused, and for what.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings

from ml_assets_tests.drawn.harness import Bench, told, written
from ml_assets_tests.drawn.packages import Drawn
from ml_assets_tests.drawn.strategy import packages

_EXAMPLES: Final = settings().max_examples
_CHECKS: Final = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=_EXAMPLES, suppress_health_check=_CHECKS)
@given(drawn=packages())
def test_check_tells_at_file_and_line_or_all_that_is_declared_can_be_loaded(drawn: Drawn, folder: Path) -> None:
    """No other exception, no error without a place in the package; what is lawful becomes assets and a lock."""
    with written(drawn, folder):
        told(drawn, folder)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=max(5, _EXAMPLES // 16), suppress_health_check=_CHECKS)
@given(drawn=packages())
def test_what_check_lets_pass_is_published_or_refused_by_a_check_of_its_data(drawn: Drawn, bench: Bench) -> None:
    """No unit ends in an error, but for a source whose file has other columns than it declares."""
    bench.check(drawn)
