"""What a declaration says of knowledge: which times an event timestamp must be made from."""

from __future__ import annotations

import pytest

from ml_assets.lib.declare.knowledge import row_local, unsaid
from ml_assets_tests.declare.packages import Package

SOURCE = "sources/trips.py"
VIEW = "features/speed.py"
FRAME = "frames/late.py"
MODEL = "models/late.py"

HONEST = """known = trips.filter(trips.ended.notnull())
            return known.group_by("car", event_timestamp=known.ended).agg(longest=known.minutes.max())"""


def told(package: Package) -> str:
    """What is told of the package, in one text."""
    return "\n".join(map(str, package.mistakes()))


def test_a_source_with_an_event_time_says_when_its_rows_are_known(package: Package) -> None:
    """There is no silent default; both remedies are named."""
    package.edit(SOURCE, 'known_from="started",', "")
    said = told(package)
    assert "sources/trips has an event_time and does not say when its rows become known" in said
    assert "known_from='<column>'" in said
    assert "always_known=True" in said


def test_a_source_says_one_of_both(package: Package) -> None:
    """Rows that become known over time are not known beforehand."""
    package.edit(SOURCE, 'known_from="started",', 'known_from="started", always_known=True,')
    assert "says both known_from='started' and always_known=True" in told(package)


@pytest.mark.parametrize(
    ("known_from", "says"),
    [("begun", "'begun' is not a column"), ("km", "'km' is float64"), ("ended", "ended")],
)
def test_rows_are_known_from_a_time(package: Package, known_from: str, says: str) -> None:
    """It is a column of the contract, a time, and never null."""
    package.edit(SOURCE, 'known_from="started",', f'known_from="{known_from}",')
    assert says in told(package)


@pytest.mark.parametrize(
    ("view", "says"),
    [
        (
            """rows = trips.group_by("car").agg(longest=trips.count().cast("int32"))
            return rows.mutate(event_timestamp=ibis.timestamp("2000-01-01T00:00:00Z"))""",
            "its values are made from rows of trips, which are known from trips.started",
        ),
        (
            """return trips.group_by("car", event_timestamp=trips.started).agg(longest=trips.minutes.max())""",
            "'longest' is made from trips.minutes, which is known at trips.ended",
        ),
        (
            """long = trips.filter(trips.minutes > 60)
            return long.group_by("car", event_timestamp=long.started).agg(longest=long.count().cast("int32"))""",
            "'longest' is made from trips.minutes, which is known at trips.ended",
        ),
        (
            """ended = trips.ended.max().minute().cast("int32")
            return trips.group_by("car", event_timestamp=trips.started).agg(longest=ended)""",
            "'longest' is made from trips.ended, which is known at trips.ended",
        ),
    ],
)
def test_a_view_over_what_is_not_known_yet(package: Package, view: str, says: str) -> None:
    """A count of rows, a late value, a filter by one, and the late time itself."""
    package.edit(VIEW, "from datetime import timedelta", "from datetime import timedelta\nimport ibis")
    text = (package.folder / VIEW).read_text()
    begin = text.index("known = trips.filter")
    indented = view.replace("            ", "    ")
    (package.folder / VIEW).write_text(text[:begin] + indented + "\n")
    said = told(package)
    assert "features/speed@1" in said
    assert says in said
    assert "event_timestamp does not come from there" in said


def test_an_honest_view(package: Package) -> None:
    """A value of a late column at the time at which it is known: that is never before the row."""
    assert told(package) == ""


def test_always_known_rows_may_be_counted(package: Package) -> None:
    """As those of a timetable."""
    package.edit(SOURCE, 'known_from="started",', "always_known=True,")
    package.edit(VIEW, "from datetime import timedelta", "from datetime import timedelta\nimport ibis")
    text = (package.folder / VIEW).read_text()
    begin = text.index("known = trips.filter")
    (package.folder / VIEW).write_text(
        text[:begin]
        + 'rows = trips.group_by("car").agg(longest=trips.count().cast("int32"))\n'
        + '    return rows.mutate(event_timestamp=ibis.timestamp("2000-01-01T00:00:00Z"))\n'
    )
    assert told(package) == ""


def test_a_spine_column_that_is_the_label_in_disguise(package: Package) -> None:
    """A column that a model takes is not from the future, the label is."""
    package.edit(FRAME, '"car",', 'car=(trips.minutes > 60).ifelse("slow", "fast"),')
    said = told(package)
    assert "frames/late: column 'car' reaches a model and is made from trips.minutes, which is known at" in said


def test_moments(package: Package) -> None:
    """At least the first and the last cutoff."""
    package.edit(FRAME, 'split="trips",', 'split="trips", moments=1,')
    assert "has moments=1" in told(package)


def test_row_local(package: Package) -> None:
    """Other rows play a part in windows, aggregates, joins and subqueries, and in nothing else."""
    trips = package.load().sources["trips"].contract
    import ibis

    table = ibis.table(trips.ibis_schema(), name="trips")
    kept = table.filter(table.minutes > table.minutes.mean()).select("trip", car=table.car.upper() + table.trip)
    assert row_local(kept, "car") == frozenset({("trips", "car"), ("trips", "trip")})
    windowed = table.select("trip", n=table.count().over(group_by="car"))
    assert row_local(windowed, "n") is None
    assert row_local(table.group_by("car").agg(n=table.count()), "car") is None
    assert row_local(table.join(table.view(), "trip").select("trip"), "trip") is None
    assert row_local(table.select(least=table.km - table.km.min().as_scalar()), "least") is None


def test_a_source_without_an_event_time_may_leave_it_open(package: Package) -> None:
    """It is told of, and nothing that is made from it is proved."""
    assert unsaid(package.load()) == ()
    package.edit(SOURCE, 'known_from="started",', "")
    package.edit(SOURCE, 'event_time="started",', "")
    assert [source.name for source in unsaid(package.load())] == ["trips"]
