"""The table of operations on Spark: what each means is Python's own answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ml_assets.lib.engines import Session, engine
from ml_assets_tests.engines import operations, totals_pack
from ml_assets_tests.engines.stores import NoTables
from ml_assets_tests.engines.table_of_operations import check_total, check_undefined, check_values
from ml_assets_tests.spark import JARS, MARKS

pytestmark = MARKS


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """One for all: each case offers its own rows."""
    with engine("spark", threads=2, jars=JARS).session(NoTables()) as session:
        yield session


@pytest.mark.parametrize("name", operations.CASES)
def test_value(session: Session, name: str) -> None:
    """Over values at the edges; without an answer there is an error."""
    check_values(session, operations.CASES[name], refused=1)


@pytest.mark.parametrize("name", operations.OF_TABLES)
def test_total_window_or_relation(session: Session, name: str) -> None:
    """Nulls, NaN, ties, sums beyond 2**53, nothing at all."""
    check_total(session, operations.OF_TABLES[name])


@pytest.mark.parametrize("name", totals_pack.UNDEFINED)
def test_total_without_an_answer(session: Session, name: str) -> None:
    """Neither a null nor another number."""
    check_undefined(session, totals_pack.UNDEFINED[name])
