"""Feature views: contracts on the twin, rolling values against a plain loop, and no look into the future."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.lib.core.digest import digest
from ml_assets_tests.defs.build import Demo

VIEWS: Final = (
    "carrier_origin_delay",
    "origin_weather",
    "plane",
    "route",
    "route_delay",
    "schedule",
    "tail_last_leg",
)
ALWAYS: Final = datetime(2000, 1, 1, tzinfo=UTC)
NOON: Final = datetime(2013, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_keeps_its_contract(demo: Demo, name: str) -> None:
    """Columns, types, ranges and the uniqueness of keys and time hold on the twin, and columns come in order."""
    view = demo.view(name)
    verdict = view.contract.audit(demo.table(view))
    assert verdict.passed, verdict
    rows = demo.rows(view)
    assert rows.schema == view.contract.arrow_schema()
    assert rows.column_names[: len(view.keys.keys) + 1] == [*view.keys.keys, "event_timestamp"]


def test_the_timetable_is_always_known(demo: Demo) -> None:
    """One row per flight with its local clock, known since 2000."""
    wanted = {
        row["flight_key"]: (row["local_hour"], row["local_minute"], row["local_month"], row["local_dow"], ALWAYS)
        for row in demo.sources["flights"].to_pylist()
    }
    names = ("hour", "minute", "month", "dow", "event_timestamp")
    found = demo.rows(demo.view("schedule")).to_pylist()
    assert {row["flight_key"]: tuple(row[name] for name in names) for row in found} == wanted


def test_the_day_of_the_week_begins_on_monday(sources: Mapping[str, pa.Table]) -> None:
    """The weekday is that of the local date."""
    for row in sources["flights"].to_pylist():
        assert row["local_dow"] == datetime.fromisoformat(row["flight_key"][:10]).weekday()


def test_routes_are_those_flown(demo: Demo) -> None:
    """One row per pair of airports, with its distance."""
    wanted = {(row["origin"], row["dest"]): row["distance"] for row in demo.sources["flights"].to_pylist()}
    found = demo.rows(demo.view("route")).to_pylist()
    assert {(row["origin"], row["dest"]): row["distance"] for row in found} == wanted


def test_weather_is_known_when_it_is_published(demo: Demo) -> None:
    """Every observation at its known time; no gust means 0, any other missing value stays missing."""
    rows = demo.rows(demo.view("origin_weather")).to_pylist()
    found = {(row["origin"], row["event_timestamp"]): row for row in rows}
    observed = demo.sources["weather"].to_pylist()
    assert len(found) == len(observed)
    for row in observed:
        view = found[row["origin"], row["known_ts"]]
        assert view["wind_gust"] == (row["wind_gust"] or 0.0)
        assert (view["temp"], view["pressure"]) == (row["temp"], row["pressure"])


def test_aircraft_have_an_age(demo: Demo) -> None:
    """Years since manufacture in 2013, null where the year is."""
    planes = demo.sources["planes"].to_pylist()
    ages = {row["tailnum"]: None if row["year"] is None else 2013 - row["year"] for row in planes}
    assert {row["tailnum"]: row["plane_age"] for row in demo.rows(demo.view("plane")).to_pylist()} == ages


def test_the_last_leg_of_an_aircraft(demo: Demo) -> None:
    """Each arrival tells its delay, of two in one minute the greater; without aircraft or arrival there is none."""
    later = NOON + timedelta(minutes=1)
    given_flights = demo.given(
        flights=[
            {"tailnum": "N1", "arr_ts": NOON, "arr_delay": -5},
            {"tailnum": "N1", "arr_ts": NOON, "arr_delay": 7},
            {"tailnum": "N1", "arr_ts": later, "arr_delay": 1},
            {"tailnum": None, "arr_ts": NOON, "arr_delay": 9},
            {"tailnum": "N2", "arr_ts": None, "arr_delay": None},
        ]
    )
    rows = given_flights.rows(demo.view("tail_last_leg")).sort_by("event_timestamp").to_pylist()
    assert rows == [
        {"tailnum": "N1", "event_timestamp": NOON, "prev_leg_delay": 7},
        {"tailnum": "N1", "event_timestamp": later, "prev_leg_delay": 1},
    ]


_HOURS = st.sampled_from([0, 1, 24, 7 * 24 - 1, 7 * 24, 7 * 24 + 1, 28 * 24, 28 * 24 + 1])
_FLIGHT = st.fixed_dictionaries(
    {
        "carrier": st.sampled_from(["AA", "UA"]),
        "origin": st.sampled_from(["EWR", "JFK"]),
        "dest": st.sampled_from(["ATL", "BOS"]),
        "arr_ts": st.none() | _HOURS.map(lambda hours: NOON + timedelta(hours=hours)),
        "arr_delay": st.integers(-60, 90),
    }
).map(lambda row: row if row["arr_ts"] else {**row, "arr_delay": None})


@pytest.mark.parametrize(
    ("name", "by", "days", "prefix"),
    [("carrier_origin_delay", ("carrier", "origin"), 7, "co"), ("route_delay", ("origin", "dest"), 28, "route")],
)
@given(flights=st.lists(_FLIGHT, max_size=15))
def test_rolling_delays_are_those_of_a_loop(
    *, demo: Demo, name: str, by: tuple[str, str], days: int, prefix: str, flights: list[dict[str, Any]]
) -> None:
    """At each arrival: number, mean and late share of the window's arrivals, both its ends included, to the bit."""
    wanted = {}
    landed = [row for row in flights if row["arr_ts"] is not None]
    for row in landed:
        group, now = tuple(row[key] for key in by), row["arr_ts"]
        delays = [
            other["arr_delay"]
            for other in landed
            if tuple(other[key] for key in by) == group and now - timedelta(days=days) <= other["arr_ts"] <= now
        ]
        late = sum(delay > 15 for delay in delays)
        wanted[*group, now] = len(delays), sum(delays) / len(delays), late / len(delays)
    values = (f"{prefix}_n_{days}d", f"{prefix}_delay_{days}d", f"{prefix}_late_{days}d")
    found = {
        (*(row[key] for key in by), row["event_timestamp"]): tuple(row[value] for value in values)
        for row in demo.given(flights=flights).rows(demo.view(name)).to_pylist()
    }
    assert found == wanted


@pytest.mark.parametrize(
    "cutoff", [datetime(2013, 3, 10, 7, tzinfo=UTC), datetime(2013, 8, 20, 18, 30, tzinfo=UTC)], ids=str
)
def test_features_do_not_see_what_becomes_known_later(demo: Demo, cutoff: datetime) -> None:
    """Every fact that becomes known after a cutoff may change: no feature asked for up to then moves."""
    changed = demo.given(**_facts_changed_after(cutoff, demo))
    spine = demo.spine("time-2013")
    early = demo.session.persist(spine.filter(spine.event_timestamp <= cutoff))
    before, after = (demo.session.batches(some.frame(early, "v3")).read_all() for some in (demo, changed))
    assert before.num_rows > 500
    assert before["prev_leg_delay"].null_count < before.num_rows
    assert digest(after) == digest(before)
    seen, seen_then = (digest(demo.session.batches(some.frame(spine, "v3"))) for some in (demo, changed))
    assert seen != seen_then, "the change must be one that later features do see"


def _facts_changed_after(cutoff: datetime, demo: Demo) -> dict[str, pa.Table]:
    """Sources in which every fact with a known time after *cutoff* is another one, and known even later."""
    changed = {}
    for name in ("flights", "weather"):
        known_at = demo.declarations.sources[name].known_at
        rows = demo.sources[name].to_pylist()
        for row in rows:
            late = {column for column, at in known_at.items() if row[at] is not None and row[at] > cutoff}
            late |= {known_at[column] for column in late}
            row.update({column: _another(row[column]) for column in late})
        changed[name] = pa.Table.from_pylist(rows, demo.sources[name].schema)
    return changed


def _another(value: Any) -> Any:
    """Some other value of the same type; of a time, a later one."""
    if isinstance(value, datetime):
        return value + timedelta(hours=1)
    return None if value is None else value + 1
