"""DuckDB does what every engine must do, and keeps its own settings."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest

from ml_assets.lib.core.errors import ConfigError, EngineError
from ml_assets.lib.engines import engine as engine_of
from ml_assets.lib.engines.duckdb import DuckDB
from ml_assets_tests.engines.pit_pack import PointInTimePack
from ml_assets_tests.engines.session_pack import SessionPack
from ml_assets_tests.engines.stores import NoTables


class TestDuckDB(PointInTimePack, SessionPack):
    """The packs on DuckDB."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> DuckDB:
        """Two threads, so that order is not kept by chance."""
        return DuckDB(threads=2, memory_limit="1GB")


def test_engine_by_name() -> None:
    """The name and settings of the configuration give the engine."""
    assert engine_of("duckdb", threads=1, memory_limit="1GB") == DuckDB(threads=1, memory_limit="1GB")


def test_unknown_engine() -> None:
    """A misspelt engine is told with what to set."""
    with pytest.raises(ConfigError, match=r"'duck'.*ML_ASSETS_ENGINE"):
        engine_of("duck")


def test_no_engine_is_imported_before_it_is_asked_for() -> None:
    """The graph can be loaded with the protocol alone."""
    heavy = {"ibis", "duckdb", "pyspark", "pyiceberg", "pandas"}
    code = f"import sys; import ml_assets.lib.engines; print({heavy!r} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_wrong_setting() -> None:
    """A memory limit that DuckDB cannot read is an error of the configuration."""
    with pytest.raises(ConfigError, match="much"), DuckDB(memory_limit="much").session(NoTables()):
        pass


def test_spills_to_a_folder_that_is_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sort far beyond the memory limit succeeds and leaves nothing behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    many = pa.table({"n": pa.array(range(3_000_000), pa.int64())})
    with DuckDB(threads=1, memory_limit="40MB").session(NoTables()) as session:
        table = session.offer(many)
        shuffled = session.persist(table.order_by(table.n * 7919 % 3_000_017))
        assert sum(batch.num_rows for batch in session.batches(shuffled.order_by("n"))) == 3_000_000
        assert list(tmp_path.rglob("*.tmp"))
    assert not list(tmp_path.iterdir())


def test_out_of_memory_says_what_to_do() -> None:
    """The remedy is in the message."""
    many = pa.table({"n": pa.array(range(300_000), pa.int64())})
    with DuckDB(threads=1, memory_limit="5MB").session(NoTables()) as session:
        table = session.offer(many)
        with pytest.raises(EngineError, match="raise the memory limit"):
            session.persist(table.aggregate(everything=table.n.collect()))
