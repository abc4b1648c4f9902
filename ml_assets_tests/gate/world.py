"""A lake in which the small declarations of `trips` are published, and places in it where tests materialize them.

A place is a target branch with a state folder and an MLflow of its own, so that tests share one lake and one pass over
the graph but nothing else. It can be given to another process.
"""

from __future__ import annotations

import random
import sqlite3
import uuid
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

from ml_assets.lib.core.names import CANONICAL, Unit, run_branch_prefix
from ml_assets.lib.core.publication import Publication, passes
from ml_assets.lib.core.refs import Branch, Commit
from ml_assets.lib.declare import Declarations, load
from ml_assets.lib.engines import engine
from ml_assets.lib.gate.gate import Observer
from ml_assets.lib.gate.machinery import Machinery
from ml_assets.lib.gate.outcome import Outcome, Run
from ml_assets.lib.gate.plan import Partition
from ml_assets.lib.gate.units.frames import FrameWork
from ml_assets.lib.gate.work import Work
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tracking.runs import PUBLISHED, UNIT
from ml_assets.lib.tracking.store import Tracking
from ml_assets_tests.lakes import LakeEndpoint

SOURCE: Final = Unit("sources", "trips")
SPLIT: Final = Unit("splits", "trips", "hash-s42")
JUNE: Final = Unit("splits", "trips", "june")
VIEW: Final = Unit("features", "longest", "1")
CARS: Final = Unit("features", "cars", "1")
FRAME: Final = Unit("frames", "late", "hash-s42__v1")
MODEL: Final = Unit("models", "late", "hash-s42__v1")

LOG: Final = Unit("sources", "log")
"""A source that grows by batches."""
PARTED: Final = Unit("features", "shortest", "1")
"""A view whose table is partitioned."""
LARGE: Final = Unit("frames", "asked", "hash-s42__v1")
"""A frame that is large: it has a table beside its object, see `Place.work`."""

KINDS: Final = (SOURCE, SPLIT, VIEW, FRAME, MODEL)
"""One of each kind, as it is declared mostly, in the order in which data flows."""
UNITS: Final = (SOURCE, LOG, SPLIT, VIEW, PARTED, FRAME, LARGE, MODEL)
"""One of each kind and of each variant of a kind, in the order in which data flows: what every matrix runs over."""
TABLES: Final = (SOURCE, LOG, SPLIT, VIEW, PARTED)
"""Those that are one table."""
RESTING: Final = (SPLIT, VIEW, PARTED, FRAME, LARGE, MODEL)
"""Those that rest on `SOURCE`."""

TRIPS: Final = 300
BEGIN: Final = datetime(2020, 6, 1, tzinfo=UTC)
COLUMNS: Final = ("trip", "car", "started", "ended", "minutes", "seats")


@cache
def declarations() -> Declarations:
    """What `ml_assets_tests.gate.trips` declares."""
    return load("ml_assets_tests.gate.trips")


def changed(**parts: Any) -> Declarations:
    """The declarations with some parts replaced, as after an edit."""
    return replace(declarations(), **parts)


def trips(count: int = TRIPS, *, seed: int = 7) -> list[dict[str, Any]]:
    """Trips of ten taxis in June; how long one takes depends on the taxi. The first ones do not depend on *count*."""
    draw, rows = random.Random(seed), []
    for number in range(count):
        car = draw.randrange(10)
        started = BEGIN + timedelta(minutes=draw.randrange(20 * 24 * 60))
        minutes = None if draw.random() < 0.05 else 10 + 4 * car + draw.randrange(15)
        ended = None if minutes is None else started + timedelta(minutes=minutes)
        rows.append(
            {
                "trip": f"t{number:05}",
                "car": f"c{car}",
                "started": started.isoformat(),
                "ended": ended and ended.isoformat(),
                "minutes": minutes,
                "seats": 4 + car % 3,
            }
        )
    return rows


def write_trips(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...] = COLUMNS) -> Path:
    """Write *rows* as the CSV file that the source reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(columns), *(",".join("" if row[c] is None else str(row[c]) for c in columns) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_distribution(folder: Path) -> None:
    """What makes ``importlib.metadata`` find the trips, once *folder* is on ``sys.path``."""
    info = folder / "tinytrips-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tinytrips\nVersion: 1.0\n")
    write_trips(folder / "tinytrips" / "trips.csv", trips())


def asset_of(unit: Unit) -> tuple[str, Partition]:
    """The asset and the first partition that mean *unit*."""
    key = f"{unit.stage}/{unit.name}"
    if unit.stage in ("frames", "models"):
        split_version, feature_version = unit.both
        return key, Partition(split_version=split_version, feature_version=feature_version)
    if unit.stage == "splits":
        return key, Partition(split_version=unit.version)
    if unit.stage == "features":
        return key, Partition(feature_version="v2" if unit in (CARS, PARTED) else "v1")
    return key, Partition()


def new_run(**tags: str) -> Run:
    """A run with an id of its own."""
    return Run(id=str(uuid.uuid4()), tags=tags)


@dataclass(frozen=True)
class Place:
    """A target branch, a state folder with an MLflow in it, and the way to them. Picklable.

    Attributes:
        endpoint: The server.
        repository: The repository.
        target: The target branch.
        home: The state folder.
        folder: What must be on ``sys.path`` for the trips to be found.
    """

    endpoint: LakeEndpoint
    repository: str
    target: Branch
    home: Path
    folder: Path
    _kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}

    @property
    def machinery(self) -> Machinery:
        """A machinery that this process keeps for the place."""
        if "machinery" not in self._kept:
            self._kept["machinery"] = self.new_machinery()
        made: Machinery = self._kept["machinery"]
        return made

    @property
    def lake(self) -> Lake:
        """The client of `machinery`, which counts its calls."""
        return self.machinery.lake

    def new_machinery(
        self, declared: Declarations | None = None, observe: Observer = lambda _step, _unit: None
    ) -> Machinery:
        """A machinery as another process would make it, with what else may be declared."""
        return Machinery(
            declarations=declared or declarations(),
            lake=self.endpoint.lake(self.repository),
            tracking=Tracking.embedded(self.home),
            engine=engine("duckdb", threads=1),
            target=self.target,
            state=self.home,
            observe=observe,
        )

    def with_target(self, name: str, source: Commit | None = None) -> Place:
        """The same lake and MLflow, another target branch, made at *source* (this one's head unless given)."""
        other = replace(self, target=Branch(name), _kept={})
        self.lake.branch(other.target, source or self.head)
        return other

    def work(self, unit: Unit, machinery: Machinery | None = None, **options: Any) -> Work:
        """The work that makes *unit*; options as of `Plan.work`."""
        machinery = machinery or self.machinery
        key, partition = asset_of(unit)
        work = machinery.plan.work(machinery.systems, machinery.plan.assets[key], partition, **options)
        assert work is not None
        if unit == LARGE:
            assert isinstance(work, FrameWork)
            work.systems = replace(work.systems, frame_rows=0)
        return work

    def materialize(
        self,
        unit: Unit,
        *,
        recompute: bool = False,
        run: Run | None = None,
        machinery: Machinery | None = None,
        **options: Any,
    ) -> Outcome:
        """Materialize *unit* in a run of its own, unless one is given."""
        machinery = machinery or self.machinery
        work = self.work(unit, machinery, **options)
        return machinery.gate.materialize(work, run or new_run(), recompute=recompute)

    @property
    def head(self) -> Commit:
        """The commit that the target is at."""
        return self.lake.head(self.target)

    def publication(self, unit: Unit, at: Commit | None = None) -> Publication:
        """The publication of *unit*, which must be there."""
        found = self.machinery.systems.records.get(unit, at or self.head)
        assert found is not None, f"{unit} is not published"
        return found

    def published(self) -> dict[Unit, Publication]:
        """All publications on the target."""
        return {found.unit: found for found in self.machinery.systems.records.all(self.head)}

    def rows(self, unit: Unit, at: Commit | None = None) -> list[dict[str, Any]]:
        """The rows of a unit's table, in order of their text."""
        reader = self.machinery.systems.tables.scan(unit.table, at or self.head)
        return sorted(reader.read_all().to_pylist(), key=str)

    def left_by(self, *runs: Run) -> list[str]:
        """Names of the branches that *runs* have left."""
        return [info.name for run in runs for info in self.lake.branches(run_branch_prefix(run.id))]

    def check_whole(self) -> None:
        """Assert that everything on the target is valid, passed its audit, and can be read."""
        records = self.machinery.systems.records.at(self.head)
        assert not list(self.lake.uncommitted(self.target))
        for publication in self.published().values():
            assert records.valid(publication), f"{publication.unit} is not what was audited"
            assert passes(publication.verdict)
            for output in publication.outputs:
                stat = self.lake.stat(self.head, output.path)
                assert stat is not None
                assert stat.checksum == output.checksum
                if output.path != publication.unit.object_path:
                    self.machinery.systems.tables.check_closure(output.name, self.head)


@dataclass(frozen=True)
class World:
    """A place on ``main`` at which one unit of each kind was published, one after the other.

    Attributes:
        base: The place.
        before: The target's commit at which everything that a unit needs is published, but not the unit.
        complete: The commit at which all are.
        outcomes: What came of each.
        empty: A state folder whose MLflow has no run yet.
    """

    base: Place
    before: Mapping[Unit, Commit]
    complete: Commit
    outcomes: Mapping[Unit, Outcome]
    empty: Path

    def place(self, home: Path, *, before: Unit | None = None, name: str = "test") -> Place:
        """A new place in which everything is published, or everything *before* a unit; MLflow is copied."""
        _copy_mlflow(self.base.home if before is None else self.empty, home)
        place = replace(self.base, target=Branch(f"{name}-{uuid.uuid4().hex[:8]}"), home=home, _kept={})
        self.base.lake.branch(place.target, self.complete if before is None else self.before[before])
        return place


def build(endpoint: LakeEndpoint, home: Path, folder: Path) -> World:
    """Publish `UNITS` in a new repository."""
    base = Place(endpoint, endpoint.new_lake().repository, Branch(CANONICAL), home, folder)
    base.machinery.tracking.prepare()
    _copy_mlflow(home, empty := home / "empty")
    before, outcomes = {}, {}
    for unit in UNITS:
        before[unit] = base.head
        outcomes[unit] = base.materialize(unit)
    return World(base, before, base.head, outcomes, empty)


def _copy_mlflow(source: Path, target: Path) -> None:
    """Copy the store; artifacts stay where they are."""
    (target / "mlflow").mkdir(parents=True, exist_ok=True)
    one, other = (sqlite3.connect(folder / "mlflow" / "mlflow.db") for folder in (source, target))
    with closing(one), closing(other):
        one.backup(other)


def mlflow_runs(place: Place, unit: Unit = MODEL) -> dict[str, tuple[str, str | None]]:
    """Every MLflow run of a model: its status, and the version as which it was published."""
    tracking = place.machinery.tracking
    experiment = tracking.experiment(unit.name)
    found = tracking.client.search_runs([experiment], f"tags.`{UNIT}` = '{unit}'")
    return {run.info.run_id: (run.info.status, run.data.tags.get(PUBLISHED)) for run in found}
