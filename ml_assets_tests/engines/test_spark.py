"""Spark does what every engine must do, and the same as DuckDB to the bit."""

from __future__ import annotations

import pytest

from ml_assets.lib.engines import Engine, engine
from ml_assets_tests.engines.pit_pack import PointInTimePack
from ml_assets_tests.engines.session_pack import SessionPack
from ml_assets_tests.spark import JARS, MARKS

pytestmark = MARKS


class TestSpark(PointInTimePack, SessionPack):
    """The packs on Spark, with rows that come from this process."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Engine:
        """Two threads, so that order is not kept by chance."""
        return engine("spark", threads=2, jars=JARS)
