"""What a split version takes up as an index, against a copy of the source's rows: the real flights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.refs import Branch
from ml_assets.lib.declare import load
from ml_assets.lib.engines import engine
from ml_assets.lib.gate.machinery import Machinery
from ml_assets.lib.gate.outcome import Published
from ml_assets.lib.gate.plan import Partition
from ml_assets.lib.tracking.store import Tracking
from ml_assets_tests.benchmarks.measuring import new_lake
from ml_assets_tests.gate.world import new_run


def measure() -> Iterator[str]:
    """Lines with the figures. The copy is the source's own table: same rows, same writer, once per split version."""
    with tempfile.TemporaryDirectory() as folder, new_lake(Path(folder) / "lake") as lake:
        home = Path(folder) / "lake"
        made = Machinery(
            declarations=load(),
            lake=lake,
            tracking=Tracking.embedded(home),
            engine=engine("duckdb"),
            target=Branch("main"),
            state=home,
        )
        source = _bytes(made, "sources/flights", Partition())
        yield f"split index against a copy of the rows ({source / 2**20:.1f} MiB):"
        for version in made.declarations.split_versions:
            index = _bytes(made, "splits/flights", Partition(split_version=version))
            yield f"  {version}: {index / 2**20:.2f} MiB, {100 * (1 - index / source):.1f} % saved"


def _bytes(made: Machinery, key: str, partition: Partition) -> int:
    """Compressed bytes of the data files of a unit, once it is published."""
    work = made.plan.work(made.systems, made.plan.assets[key], partition)
    assert work is not None
    outcome = made.gate.materialize(work, new_run())
    assert isinstance(outcome, Published)
    unit: Unit = outcome.unit
    return made.systems.tables.head(unit.table, outcome.commit).bytes
