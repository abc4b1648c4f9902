"""The zone of the machine (``TZ``) moves neither an identity nor a digest on DuckDB."""

from __future__ import annotations

from ml_assets_tests.engines.zones import check_equal, told


def test_the_zone_of_the_machine_moves_nothing() -> None:
    """Identities of the demo and of literals, digests of all operations on times."""
    check_equal(told("duckdb"))
