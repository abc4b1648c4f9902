"""Splits: each part by a second implementation, stable under growth, and rules that bite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ml_assets.lib.core.publication import CheckResult
from ml_assets_tests.defs.build import Demo
from ml_assets_tests.defs.test_sources import flights_of
from ml_assets_tests.twin import Twin, part_of

VERSIONS = ("time-2013", "hash-s42", "group-tail")
CUTS = (datetime(2013, 9, 1, 4, tzinfo=UTC), datetime(2013, 11, 1, 4, tzinfo=UTC))  # midnights in New York


def parts(demo: Demo, version: str) -> dict[str, str]:
    """Part of each flight."""
    rows = demo.rows(demo.declarations.splits[version])
    assert rows.schema == pa.schema({"flight_key": pa.string(), "split": pa.string()})
    assert pc.count_distinct(rows["flight_key"]).as_py() == rows.num_rows
    return dict(zip(rows["flight_key"].to_pylist(), rows["split"].to_pylist(), strict=True))


def audits(demo: Demo, version: str, index: ir.Table) -> dict[str, CheckResult]:
    """What each rule of the split says of *index*."""
    return {rule.name: rule.audit(index, demo.tables) for rule in demo.declarations.splits[version].rules}


def expected(version: str, flight: Mapping[str, object]) -> str:
    """The part of a flight, by another way."""
    if version == "time-2013":
        moment = flight["sched_dep_ts"]
        assert isinstance(moment, datetime)
        return "train" if moment < CUTS[0] else "val" if moment < CUTS[1] else "test"
    if version == "hash-s42":
        return part_of(f"s42|{flight['flight_key']}")
    return part_of(f"tail|{flight['tailnum'] or flight['flight_key']}")


@pytest.mark.parametrize("version", VERSIONS)
def test_parts_are_as_defined(demo: Demo, version: str) -> None:
    """Every flight, flown or not, is in the part that hashlib or a comparison of times gives it."""
    wanted = {row["flight_key"]: expected(version, row) for row in demo.sources["flights"].to_pylist()}
    assert parts(demo, version) == wanted
    assert set(wanted.values()) == {"train", "val", "test"}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_rules_hold(demo: Demo, version: str) -> None:
    """The twin keeps every bound that the real flights keep."""
    split = demo.declarations.splits[version]
    results = audits(demo, version, demo.table(split))
    assert all(result.passed for result in results.values()), results
    assert demo.declarations.contract(split).audit(demo.table(split)).passed


def test_the_cuts_are_local_midnights(demo: Demo) -> None:
    """The first minute of September in New York is val, that of November test; the minute before is not."""
    minute = timedelta(minutes=1)
    moments = {"a": CUTS[0] - minute, "b": CUTS[0], "c": CUTS[1] - minute, "d": CUTS[1]}
    flights = [{"flight_key": key, "sched_dep_ts": moment} for key, moment in moments.items()]
    assert parts(demo.given(flights=flights), "time-2013") == {"a": "train", "b": "val", "c": "val", "d": "test"}


@pytest.mark.parametrize("version", ["hash-s42", "group-tail"])
def test_growth_moves_no_flight(demo: Demo, twin: Twin, version: str) -> None:
    """Further flights leave every old one where it was, and keep the bounds."""
    grown = demo.given(flights=flights_of(demo.declarations, twin, twin.grown(500)))
    before, after = parts(demo, version), parts(grown, version)
    assert len(after) == len(before) + 500
    assert before.items() <= after.items()
    results = audits(grown, version, grown.table(grown.declarations.splits[version]))
    assert all(result.passed for result in results.values()), results


def _one_flight_moved(index: pa.Table, flights: pa.Table) -> pa.Table:
    """One flight of an aircraft, early in the year, goes from train to test."""
    flown = set(flights.filter(flights["tailnum"].is_valid())["flight_key"].to_pylist())
    rows = index.sort_by("flight_key").to_pylist()
    moved = next(row for row in rows if row["split"] == "train" and row["flight_key"] in flown)
    moved["split"] = "test"
    return pa.Table.from_pylist(rows, index.schema)


def _very_late_flights_to_test(index: pa.Table, flights: pa.Table) -> pa.Table:
    """A split that has looked at the label."""
    late = set(flights.filter(pc.greater(flights["arr_delay"], 120))["flight_key"].to_pylist())
    rows = [{**row, "split": "test" if row["flight_key"] in late else row["split"]} for row in index.to_pylist()]
    return pa.Table.from_pylist(rows, index.schema)


def _half_of_train_to_val(index: pa.Table, flights: pa.Table) -> pa.Table:
    rows = [
        {**row, "split": "val" if number % 2 and row["split"] == "train" else row["split"]}
        for number, row in enumerate(index.to_pylist())
    ]
    return pa.Table.from_pylist(rows, index.schema)


def _one_flight_missing(index: pa.Table, flights: pa.Table) -> pa.Table:
    return index.slice(1)


def _one_flight_twice(index: pa.Table, flights: pa.Table) -> pa.Table:
    return pa.concat_tables([index, index.slice(0, 1)])


@pytest.mark.parametrize(
    ("version", "change", "rule"),
    [
        ("group-tail", _one_flight_moved, "disjoint_tailnum"),
        ("time-2013", _one_flight_moved, "ordered_sched_dep_ts"),
        ("hash-s42", _very_late_flights_to_test, "label_rates"),
        ("group-tail", _very_late_flights_to_test, "label_rates"),
        ("hash-s42", _half_of_train_to_val, "shares"),
        ("group-tail", _half_of_train_to_val, "shares"),
        *((version, _one_flight_missing, "complete") for version in VERSIONS),
        *((version, _one_flight_twice, "complete") for version in VERSIONS),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_leak_is_found(demo: Demo, version: str, change: Callable[[pa.Table, pa.Table], pa.Table], rule: str) -> None:
    """A split that leaks, or is not whole, breaks the rule that is there for it."""
    index = demo.rows(demo.declarations.splits[version])
    wrong = demo.session.offer(change(index, demo.sources["flights"]))
    result = audits(demo, version, wrong)[rule]
    assert not result.passed
    assert result.severity == "error"
