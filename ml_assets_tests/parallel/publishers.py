"""Many publishers at once, each a process of its own: nothing is lost, and every publication says the truth.

    python -m ml_assets_tests.parallel.publishers 50               # every scene
    python -m ml_assets_tests.parallel.publishers 50 --lose        # publisher n gets no answer to its n-th request
    python -m ml_assets_tests.parallel.publishers 20 --faults 0.1  # of all requests a tenth meets a fault

On the embedded lake; with ``LAKECTL_SERVER_ENDPOINT_URL`` set, on that one. A scene is played on one machine (one state
folder, so that publishers are polite to one another) and as if each publisher had one of its own (only the lake is
shared).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import click
from pydantic import SecretStr

from ml_assets.lib.core.digest import digest
from ml_assets.lib.core.names import Unit
from ml_assets.lib.devlake import server
from ml_assets_tests.gate.logs import batch, log_place, write_batch
from ml_assets_tests.gate.world import (
    CARS,
    FRAME,
    JUNE,
    MODEL,
    SOURCE,
    SPLIT,
    TRIPS,
    VIEW,
    Place,
    World,
    build,
    declarations,
    trips,
    write_distribution,
    write_trips,
)
from ml_assets_tests.lakes import LakeEndpoint
from ml_assets_tests.parallel.processes import Task, Told, publish_at_once

RESTING: Final = (SPLIT, JUNE, VIEW, CARS, FRAME)
"""What rests on the source."""
STRANGERS: Final = 8
"""So many at most want one table to hold something else where no machine gives them turns: of all that try at the same
time one lands, so the work grows with their square."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where a scene is played.

    Attributes:
        world: The lake, with what was published one after the other.
        folder: For files and state folders.
        count: Publishers.
        machines: Whether each has a state folder of its own.
        faults: Share of requests that meet a fault.
        lose: Whether publisher n gets no answer to its n-th request.
    """

    world: World
    folder: Path
    count: int
    machines: bool = False
    faults: float = 0.0
    lose: bool = False

    @property
    def calm(self) -> bool:
        """Whether every request is answered."""
        return not (self.faults or self.lose)

    @property
    def rivals(self) -> int:
        """How many want one table to hold something else."""
        return min(self.count, STRANGERS) if self.machines else self.count

    def place(self) -> Place:
        """A target on which nothing is published."""
        return self.world.place(self.folder / "home", before=SOURCE)

    def tasks(self, place: Place, units: Sequence[Unit], **options: object) -> list[Task]:
        """A task for each unit, each at the machine where it is done."""
        homes = [self.folder / f"home-{n}" if self.machines else place.home for n in range(len(units))]
        tasks = []
        for number, (unit, home) in enumerate(zip(units, homes, strict=True), 1):
            home.mkdir(exist_ok=True)
            faults = {"faults": self.faults, "lose": number if self.lose else 0}
            insists, at = self.machines or not self.calm, replace(place, home=home, _kept={})
            tasks.append(Task(place=at, unit=unit, insists=insists, **faults, **options))  # type: ignore[arg-type]
        return tasks


@dataclass(frozen=True, kw_only=True)
class Played:
    """What came of a scene.

    Attributes:
        place: The target.
        told: What each publisher told.
        seconds: From the first step to the last.
    """

    place: Place
    told: Sequence[Told]
    seconds: float

    @property
    def outcomes(self) -> Counter[str]:
        """How often something came of a materialization."""
        return Counter(outcome for told in self.told for outcome in told.outcomes)

    @property
    def tries(self) -> list[int]:
        """Attempts of each materialization."""
        return [tries for told in self.told for tries in told.tries]

    def check(self) -> None:
        """Assert that nobody failed, and that everything that was ever published is what its publication says."""
        assert [] == [told.error for told in self.told if told.error]
        self.place.check_whole()
        systems = self.place.machinery.systems
        line = {info.id for info in self.place.lake.log(self.place.target, first_parent=True)}
        for told in self.told:
            for commit, expected in zip(told.commits, told.digests, strict=True):
                assert commit in line
                publication = systems.records.get(told.task.unit, commit)
                assert publication is not None
                assert expected == publication.digest
                assert systems.records.valid(publication, commit)
                if told.task.unit.stage not in ("frames", "models"):
                    assert expected == digest(systems.tables.scan(told.task.unit.table, commit))


def _play(place: Place, tasks: Sequence[Task]) -> Played:
    began = time.monotonic()
    told = publish_at_once(tasks)
    played = Played(place=place, told=told, seconds=max(one.seconds for one in told) or time.monotonic() - began)
    played.check()
    return played


def different_units(stage: Stage) -> Played:
    """Each publishes a source of its own: no two ever meet, so nobody begins again."""
    place = stage.place()
    played = _play(place, stage.tasks(place, [Unit("sources", f"own_{n:02}") for n in range(stage.count)]))
    serial = stage.world.base.publication(SOURCE).digest
    assert {serial} == {found.digest for found in place.published().values()}
    assert stage.count == len(place.published())
    if stage.calm:
        assert {"Published": stage.count} == played.outcomes
        assert {1} == set(played.tries)
    return played


def equal_files(stage: Stage) -> Played:
    """All publish one source from one file: one does, the others find their work done."""
    place = stage.place()
    played = _play(place, stage.tasks(place, [SOURCE] * stage.count))
    assert stage.world.base.publication(SOURCE).digest == place.publication(SOURCE).digest
    if stage.calm:
        assert {"Published": 1, "Unchanged": stage.count - 1} == played.outcomes
    return played


def rivals(stage: Stage) -> Played:
    """All publish one source, each from a file of its own: one after the other, all of them land."""
    place = stage.place()
    tasks = [
        replace(task, paths=(write_trips(stage.folder / f"rival-{n}.csv", trips(TRIPS + n)),))
        for n, task in enumerate(stage.tasks(place, [SOURCE] * stage.rivals))
    ]
    played = _play(place, tasks)
    expected = {task.paths: digest(declarations().sources[SOURCE.name].function(task.paths[0])) for task in tasks}
    if stage.calm:
        assert {task: (expected[task],) for task in expected} == {t.task.paths: t.digests for t in played.told}
    assert place.publication(SOURCE).digest in expected.values()
    return played


def appenders(stage: Stage) -> Played:
    """All append a batch to one table: every row of every batch is there, once."""
    place = log_place(stage.place())
    tasks = [
        replace(task, paths=(write_batch(stage.folder, n),))
        for n, task in enumerate(stage.tasks(place, [SOURCE] * stage.rivals, append=True))
    ]
    played = _play(place, tasks)
    expected = sorted(row["trip"] for n in range(stage.rivals) for row in batch(n))
    assert expected == sorted(row["trip"] for row in place.rows(SOURCE))
    if stage.calm:
        assert stage.rivals == played.outcomes["Published"]
    return played


def graph(stage: Stage) -> Played:
    """Some publish a source anew and anew, the others all that rests on it: in the end everything is as in series."""
    place = stage.place()
    movers = max(1, stage.count // 10)
    resting = [*RESTING, *([] if stage.machines else [MODEL])]
    units = [SOURCE] * movers + [resting[n % len(resting)] for n in range(stage.count - movers)]
    files = [write_trips(stage.folder / f"moved-{n}.csv", trips(TRIPS + n)) for n in range(2)]
    tasks = [
        replace(task, paths=(files[0], files[1], files[0])) if task.unit == SOURCE else replace(task, until=True)
        for task in stage.tasks(place, units)
    ]
    played = _play(place, tasks)
    for unit in set(units) & set(stage.world.outcomes):
        assert stage.world.base.publication(unit).digest == place.publication(unit).digest
    return played


SCENES: Final[Mapping[str, Callable[[Stage], Played]]] = {
    scene.__name__: scene for scene in (different_units, equal_files, rivals, appenders, graph)
}


@contextmanager
def _endpoint(home: Path) -> Iterator[LakeEndpoint]:
    """The lakeFS of the environment, or an embedded lake."""
    if url := os.environ.get("LAKECTL_SERVER_ENDPOINT_URL"):
        key, secret = (os.environ[f"LAKECTL_CREDENTIALS_{part}"] for part in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
        yield LakeEndpoint(url, key, SecretStr(secret))
        return
    found = server.ensure(home)
    try:
        yield LakeEndpoint(found.url, found.access_key_id, found.secret_access_key)
    finally:
        server.stop(home)


def main() -> None:
    """Play the scenes and print a line for each."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("count", type=int, nargs="?", default=50)
    arguments.add_argument("--scene", choices=SCENES, action="append")
    arguments.add_argument("--faults", type=float, default=0.0, help="share of requests that meet a fault")
    arguments.add_argument("--lose", action="store_true", help="publisher n gets no answer to its n-th request")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, _endpoint(Path(folder) / "lake") as endpoint:
        write_distribution(installed := Path(folder) / "installed")
        sys.path.insert(0, str(installed))
        world = build(endpoint, Path(folder) / "world", installed)
        for name in asked.scene or SCENES:
            for machines in (False, True):
                (home := Path(folder) / f"{name}-{machines}").mkdir()
                stage = Stage(
                    world=world,
                    folder=home,
                    count=asked.count,
                    machines=machines,
                    faults=asked.faults,
                    lose=asked.lose,
                )
                played = SCENES[name](stage)
                where = "a machine each" if machines else "one machine"
                counted = ", ".join(f"{count} {outcome}" for outcome, count in sorted(played.outcomes.items()))
                tries = f"tries {sum(played.tries)}, at most {max(played.tries)}"
                click.echo(f"{name:16} {where:15} {played.seconds:6.1f} s   {tries}   {counted}")


if __name__ == "__main__":
    main()
