"""The zone of the machine (``TZ``) moves neither an identity nor a digest on Spark, and Spark's are those of DuckDB."""

from __future__ import annotations

from ml_assets_tests.engines.zones import check_equal, told
from ml_assets_tests.spark import MARKS

pytestmark = MARKS


def test_the_zone_of_the_machine_moves_nothing() -> None:
    """Identities of the demo and of literals, digests of all operations on times."""
    found = told("spark")
    check_equal(found)
    assert found["UTC"] == told("duckdb")["UTC"]
