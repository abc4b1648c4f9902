"""Rules: failing rows are counted in the engine, a few are shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa
import pytest
from ibis.backends.duckdb import Backend

from ml_assets.lib.core.errors import DeclarationError
from ml_assets.lib.core.recipe import canonical_json
from ml_assets.lib.declare import Rule, complete, disjoint, label_rates, ordered, rule, shares

T0 = datetime(2013, 1, 1, tzinfo=UTC)


class Tables:
    """A source ``flights`` and a split index of it."""

    def __init__(self, duck: Backend) -> None:
        self._duck = duck

    def source(self, tails: Sequence[str | None], delays: Sequence[int | None] | None = None) -> dict[str, ir.Table]:
        """Flights f0, f1, … an hour apart, of these aircraft and delays."""
        n = len(tails)
        table = pa.table({
            "key": [f"f{i}" for i in range(n)],
            "tail": pa.array(tails, pa.string()),
            "ts": pa.array([T0 + timedelta(hours=i) for i in range(n)], pa.timestamp("us", tz="UTC")),
            "delay": pa.array(delays or [0] * n, pa.int32()),
        })  # fmt: skip
        return {"flights": self._duck.create_table("flights", table, overwrite=True)}

    def index(self, parts: Sequence[str], keys: Sequence[str] | None = None) -> ir.Table:
        """A split index over f0, f1, … or *keys*."""
        table = pa.table({"key": keys or [f"f{i}" for i in range(len(parts))], "split": list(parts)})
        return self._duck.create_table("split", table, overwrite=True)


@pytest.fixture
def tables(duck: Backend) -> Tables:
    """Makes tables."""
    return Tables(duck)


@rule(severity="warn")
def no_test_rows(table: ir.Table) -> ir.Table:
    """Nothing is for test."""
    return table.filter(table.split == "test")


def test_declared_rule(tables: Tables) -> None:
    """Name, description and upstream come from the function; the verdict has count and capped examples."""
    assert (no_test_rows.name, no_test_rows.description) == ("no_test_rows", "Nothing is for test.")
    assert no_test_rows.upstream == ()
    result = no_test_rows.audit(tables.index(["test"] * 25 + ["train"]), {})
    assert (result.passed, result.severity, result.rows_failed) == (False, "warn", 25)
    assert result.counts == {"no_test_rows": 25}
    assert [row["key"] for row in result.examples] == sorted(f"f{i}" for i in range(25))[:10]
    assert all(row["rule"] == "no_test_rows" for row in result.examples)
    assert no_test_rows.audit(tables.index(["train"]), {}).passed


def test_upstream_of_a_declared_rule() -> None:
    """Further parameters are the tables that the rule compares with."""

    @rule(name="other")
    def known(table: ir.Table, flights: ir.Table) -> ir.Table:
        return table.anti_join(flights, "key")

    assert (known.name, known.upstream) == ("other", ("flights",))


def test_shares(tables: Tables) -> None:
    """A share off by more than asked fails; the measured shares are told either way."""
    asked = shares(train=0.7, val=0.15, test=0.15, within=0.051)
    good = asked.audit(tables.index(["train"] * 7 + ["val"] * 2 + ["test"]), {})
    assert good.passed
    assert {row["split"]: row["share"] for row in good.figures["rows"]} == {"train": 0.7, "val": 0.2, "test": 0.1}
    bad = asked.audit(tables.index(["train"] * 6 + ["val"] * 2 + ["test"] * 2), {})
    assert bad.counts == {"shares": 1}
    assert bad.examples[0]["split"] == "train"


def test_shares_of_nothing(tables: Tables) -> None:
    """An index without rows has no shares, and fails."""
    asked = shares(train=0.5, val=0.25, test=0.25, within=0.01)
    assert asked.audit(tables.index(["train", "train", "val", "test"]), {}).passed
    assert not asked.audit(tables.index(["train"]).limit(0), {}).passed


def test_shares_that_are_not_all_rows() -> None:
    """A slip in the shares is told where it is written."""
    with pytest.raises(
        DeclarationError, match=r"test_rules.py:\d+: shares of train 0.7, val 0.2, test 0.2 are not all"
    ):
        shares(train=0.7, val=0.2, test=0.2, within=0.01)


def test_label_rates(tables: Tables) -> None:
    """Each split's rate is compared with that of all rows; rows without label are left out."""
    upstream = tables.source(["a"] * 8, [20, 0, 20, 0, 20, 20, None, None])
    index = tables.index(["train", "train", "train", "train", "val", "val", "val", "val"])
    judged = label_rates(of="flights", label=lambda t: t.delay > 15, within=0.3)
    result = judged.audit(index, upstream)
    assert result.counts == {"label_rates": 1}
    rates = {row["split"]: (row["rate"], row["whole"]) for row in result.figures["rows"]}
    assert rates == {"train": (0.5, 4 / 6), "val": (1.0, 4 / 6)}
    assert [row["split"] for row in result.examples] == ["val"]
    assert label_rates(of="flights", label=lambda t: t.delay > 15, within=0.4).audit(index, upstream).passed
    reported = label_rates(of="flights", label=lambda t: t.delay > 15, within=None)
    assert reported.audit(index, upstream).passed
    assert reported.audit(index, upstream).figures == result.figures


def test_label_rates_per_stratum(tables: Tables) -> None:
    """Rates that are equal as a whole may differ in each stratum."""
    upstream = tables.source(["a", "a", "b", "b"], [20, 0, 0, 20])
    index = tables.index(["train", "val", "train", "val"])
    whole = label_rates(of="flights", label=lambda t: t.delay > 15, within=0.1)
    assert whole.audit(index, upstream).passed
    strata = label_rates(of="flights", label=lambda t: t.delay > 15, within=0.1, per=("tail",))
    found = [(row["tail"], row["split"], row["gap"]) for row in strata.audit(index, upstream).examples]
    assert found == [("a", "train", 0.5), ("a", "val", 0.5), ("b", "train", 0.5), ("b", "val", 0.5)]


def test_disjoint(tables: Tables) -> None:
    """An aircraft in two splits is shown; one that nobody knows is in none."""
    upstream = tables.source(["a", "a", "b", None, None])
    together = disjoint(by="tail", of="flights")
    assert together.name == "disjoint_tail"
    assert together.audit(tables.index(["train", "train", "val", "val", "test"]), upstream).passed
    result = together.audit(tables.index(["train", "val", "val", "val", "val"]), upstream)
    assert result.counts == {"disjoint_tail": 1}
    assert result.examples == ({"tail": "a", "splits": 2, "rule": "disjoint_tail"},)


@pytest.mark.parametrize(
    ("parts", "failing"),
    [
        (["train", "train", "val", "test"], []),
        (["train", "val", "train", "test"], ["f1"]),
        (["train", "train", "test", "val"], ["f2"]),
        (["val", "train", "test", "test"], ["f0"]),
        (["test", "train", "train", "train"], ["f0"]),
        (["train", "train", "train", "train"], []),
    ],
)
def test_ordered(parts: Sequence[str], failing: Sequence[str], tables: Tables) -> None:
    """Rows that lie before the end of an earlier part are shown."""
    result = ordered(by="ts", of="flights").audit(tables.index(parts), tables.source(["a"] * 4))
    assert [row["key"] for row in result.examples] == list(failing)


def test_ordered_is_strict(tables: Tables) -> None:
    """One moment may not be in two parts."""
    upstream = {"flights": tables.source(["a", "a"])["flights"].mutate(ts=T0)}
    assert not ordered(by="ts", of="flights").audit(tables.index(["train", "val"]), upstream).passed


def test_complete(tables: Tables) -> None:
    """Missing, unknown and repeated keys are told apart."""
    upstream = tables.source(["a"] * 3)
    every = complete(of="flights")
    assert every.audit(tables.index(["train", "val", "test"]), upstream).passed
    result = every.audit(tables.index(["train", "val", "train", "val"], ["f0", "f1", "f1", "f9"]), upstream)
    assert {(row["key"], row["times"], row["problem"]) for row in result.examples} == {
        ("f2", 0, "missing"),
        ("f9", 1, "not in the source"),
        ("f1", 2, "more than once"),
    }


def test_verdicts_can_be_recorded(duck: Backend) -> None:
    """Whatever a failing row holds, the verdict is canonical JSON."""
    values: dict[str, Any] = {
        "at": [T0], "n": [2**53], "f": [float("inf")], "b": [b"\x00"], "t": pa.array([1], pa.time64("us")),
        "s": [["nested"]],
    }  # fmt: skip
    table = duck.create_table("odd", pa.table(values))
    result = Rule(name="odd", failing=lambda judged: judged).audit(table, {})
    assert canonical_json(result.as_json())
    assert result.examples[0]["n"] == str(2**53)
    assert result.examples[0]["at"] == T0.isoformat()
