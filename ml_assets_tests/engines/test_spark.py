"""Spark does what every engine must do, and the same as DuckDB to the bit."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from ml_assets.lib.core.errors import EngineError
from ml_assets.lib.engines import Engine, engine
from ml_assets.lib.tables.spark import start
from ml_assets_tests.engines.pit_pack import PointInTimePack
from ml_assets_tests.engines.session_pack import SessionPack
from ml_assets_tests.engines.stores import NoTables
from ml_assets_tests.spark import JARS, MARKS

pytestmark = MARKS

SAMPLE_ROWS = 10_000
"""Named here, as `ml_assets.lib.engines.spark_sql` can only be imported where Spark is installed."""


class TestSpark(PointInTimePack, SessionPack):
    """The packs on Spark, with rows that come from this process."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Engine:
        """Two threads, so that order is not kept by chance."""
        return engine("spark", threads=2, jars=JARS)


def test_a_query_brings_a_capped_sample() -> None:
    """What would bring more rows into this process is refused; streams, sums and samples of them are not."""
    many = pa.table({"n": pa.array(range(SAMPLE_ROWS + 1), pa.int64())})
    with engine("spark", threads=2, jars=JARS).session(NoTables()) as session:
        table = session.offer(many)
        for bring in (table.to_pyarrow, table.execute, table.n.to_pyarrow):
            with pytest.raises(EngineError, match=f"more than {SAMPLE_ROWS} rows"):
                bring()
        assert table.limit(SAMPLE_ROWS).to_pyarrow().num_rows == SAMPLE_ROWS
        assert session.row_sum(table).rows == sum(batch.num_rows for batch in session.batches(table)) == many.num_rows


def test_spark_is_the_one_that_is_given() -> None:
    """A session is made in the Spark that the resource starts, when the first one is opened."""
    asked: list[str] = []

    def started() -> Any:
        asked.append("session")
        return start(JARS, threads=2)

    made = engine("spark", jars=JARS, spark=started)
    assert made.versions["spark"].startswith("4.0.")
    assert not asked
    with made.session(NoTables()) as session:
        assert session.row_sum(session.offer(pa.table({"n": [1]}))).rows == 1
    assert asked == ["session"]
