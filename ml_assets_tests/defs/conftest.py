"""The twin, its tables as Arrow, and the demo on them in a DuckDB session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from ml_assets.lib.declare import Declarations, load
from ml_assets.lib.engines import Session
from ml_assets.lib.engines.duckdb import DuckDB
from ml_assets_tests.defs.build import Demo
from ml_assets_tests.engines.stores import NoTables
from ml_assets_tests.twin import Twin, write_twin


@pytest.fixture(scope="session")
def declarations() -> Declarations:
    """What the project declares."""
    return load()


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Twin:
    """The twin, not to be changed."""
    return write_twin(tmp_path_factory.mktemp("twin"))


@pytest.fixture(scope="session")
def sources(declarations: Declarations, twin: Twin) -> Mapping[str, pa.Table]:
    """The tables that the declared sources make of the twin's files."""
    return {
        name: source(**{label: twin.file(Path(file.path).name) for label, file in source.files.items()})
        for name, source in declarations.sources.items()
    }


@pytest.fixture(scope="session")
def session() -> Iterator[Session]:
    """DuckDB."""
    with DuckDB(threads=2, memory_limit="1GB").session(NoTables()) as session:
        yield session


@pytest.fixture(scope="session")
def demo(declarations: Declarations, session: Session, sources: Mapping[str, pa.Table]) -> Demo:
    """The demo on the twin."""
    return Demo.on(declarations, session, sources)
