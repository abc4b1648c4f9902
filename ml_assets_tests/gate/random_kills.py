"""``kill -9`` at random moments of a pass over the whole graph: ``python -m ml_assets_tests.gate.random_kills 50``."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from ml_assets.lib.devlake import server
from ml_assets.lib.gate.outcome import Unchanged
from ml_assets.lib.tracking import registry
from ml_assets_tests.gate.children import Child, Job
from ml_assets_tests.gate.world import FRAME, MODEL, SOURCE, UNITS, World, build, mlflow_runs, write_distribution
from ml_assets_tests.lakes import LakeEndpoint

_FIRST_S: Final = 0.3
"""Before that a child has not begun."""


def length_of_a_pass(world: World, home: Path) -> float:
    """Seconds that a child takes for the whole graph on this machine, as it is busy now."""
    began = time.monotonic()
    Child(Job(world.place(home, before=SOURCE), UNITS)).result()
    return time.monotonic() - began


def kill_and_repair(world: World, home: Path, moment: float) -> int:
    """Kill a pass over the whole graph after *moment* seconds, and once more; then assert that one pass completes it.

    Returns:
        How many units were published by the killed ones.
    """
    place = world.place(home, before=SOURCE)
    for after in (moment, moment * 0.7):
        child = Child(Job(place, UNITS))
        time.sleep(after)
        child.kill()
        place.check_whole()
    published = len(place.published())
    for unit in UNITS:
        place.materialize(unit, machinery=place.new_machinery())
    place.check_whole()
    assert {unit: world.base.publication(unit).digest for unit in UNITS} == {
        unit: found.digest for unit, found in place.published().items()
    }
    assert all(isinstance(place.materialize(unit), Unchanged) for unit in UNITS)
    run = place.publication(MODEL).extra["mlflow"]["run"]
    (version,) = registry.versions_by(place.machinery.tracking, "late")
    assert (run, place.publication(FRAME).pin.id) == (version.run_id, version.tags["data/lakefs_commit"])
    states = mlflow_runs(place)
    assert ("FINISHED", f"late/{version.number}") == states.pop(run)
    assert {("KILLED", None)} >= set(states.values())
    return published


def main() -> None:
    """Kill as often as is asked for, on an embedded lake of its own; tells the seed with which it can be repeated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("times", type=int, nargs="?", default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    asked = parser.parse_args()
    draw = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        distribution, lake = Path(folder, "distribution"), Path(folder, "lake")
        write_distribution(distribution)
        sys.path.insert(0, str(distribution))
        found = server.ensure(lake)
        try:
            endpoint = LakeEndpoint(found.url, found.access_key_id, found.secret_access_key)
            world = build(endpoint, Path(folder, "world"), distribution)
            length = length_of_a_pass(world, Path(folder, "whole"))
            print(f"seed {asked.seed}; a pass takes {length:.1f} s")  # noqa: T201
            for number in range(1, asked.times + 1):
                moment = draw.uniform(_FIRST_S, length)
                published = kill_and_repair(world, Path(folder, str(number)), moment)
                print(f"{number:>4}  killed after {moment:5.2f} s  {published} of {len(UNITS)} published, repaired")  # noqa: T201
        finally:
            server.stop(lake)


if __name__ == "__main__":
    main()
