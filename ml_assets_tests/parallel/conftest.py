"""Fixtures of the scenes with many publishers: the lake of the gate's tests."""

from ml_assets_tests.gate.conftest import distribution, lake_endpoint, world

__all__ = ["distribution", "lake_endpoint", "world"]
