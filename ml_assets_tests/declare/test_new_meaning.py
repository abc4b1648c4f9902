"""Expressions whose operations engines computed otherwise once are computed again; all others keep their recipe."""

from __future__ import annotations

from collections.abc import Callable

import ibis
import ibis.expr.types as ir
import pytest

from ml_assets.defs import versions
from ml_assets.lib.declare import FeatureView, Frame, Split, load
from ml_assets.lib.declare.meaning import has_new_meaning

T = ibis.table({"n": "int64", "s": "string", "at": "timestamp('UTC', 6)", "k": "string"}, name="t")


@pytest.mark.parametrize(
    "column",
    [
        lambda t: t.n // 3,
        lambda t: t.n % 3,
        lambda t: t.s.upper(),
        lambda t: t.s.cast("int64"),
        lambda t: t.at.cast("timestamp('America/New_York')").strftime("%H"),
        lambda t: t.n.last().over(group_by="k", order_by="at"),
        lambda t: t.n.mean().over(group_by="k"),
    ],
)
def test_changed(column: Callable[[ir.Table], ir.Value]) -> None:
    """What was published by such an expression may be wrong."""
    assert has_new_meaning(T.select("k", x=column(T)))


@pytest.mark.parametrize(
    "column", [lambda t: t.n + 1, lambda t: t.n.sum().over(group_by="k"), lambda t: t.n.cast("float64") / 2.0]
)
def test_unchanged(column: Callable[[ir.Table], ir.Value]) -> None:
    """It means what it always meant."""
    assert not has_new_meaning(T.select("k", x=column(T)))


def test_the_flights_are_what_they_were() -> None:
    """No expression of the shipped declarations is computed again."""
    declared = load("ml_assets.defs")
    assert set(declared.feature_versions) == set(versions.FEATURE_VERSIONS)
    expressed: list[Split | FeatureView | Frame] = [*declared.splits.values(), *declared.views.values()]
    expressed += declared.frames.values()
    assert [decl.name for decl in expressed if has_new_meaning(declared.expression(decl))] == []
