"""What a split version takes up as an index, against a copy of the source's rows: the real flights.

Also tuned: one file with settings of its own (of a sorted key only what differs from the key before), given to Iceberg
as it is. The product does not do that for a third of a megabyte.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from ml_assets.lib.core.digest import digest
from ml_assets.lib.core.names import SPLIT, Unit
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
            tuned = _tuned_bytes(made, version)
            yield (
                f"  {version}: {index / 2**20:.2f} MiB, {100 * (1 - index / source):.1f} % saved;"
                f" tuned {tuned / 2**20:.2f} MiB, {100 * (1 - tuned / source):.1f} %"
            )


def _bytes(made: Machinery, key: str, partition: Partition) -> int:
    """Compressed bytes of the data files of a unit, once it is published."""
    work = made.plan.work(made.systems, made.plan.assets[key], partition)
    assert work is not None
    outcome = made.gate.materialize(work, new_run())
    assert isinstance(outcome, Published)
    unit: Unit = outcome.unit
    return made.systems.tables.head(unit.table, outcome.commit).bytes


def _tuned_bytes(made: Machinery, version: str) -> int:
    """Compressed bytes of the same index in a file of its own settings, as a table that Iceberg reads."""
    work = made.plan.work(made.systems, made.plan.assets["splits/flights"], Partition(split_version=version))
    assert work is not None
    table, branch = work.unit.table, Branch(f"tuned-{version}")
    made.lake.branch(branch, made.target)
    catalog = made.systems.tables.catalog(branch)
    loaded = catalog.load_table(table)
    rows = loaded.scan().to_arrow()
    (key,) = set(rows.schema.names) - {SPLIT}
    location = f"{loaded.location()}/data/tuned.parquet"
    with (
        loaded.io.new_output(location).create() as file,
        pq.ParquetWriter(
            file,
            rows.schema,
            compression="zstd",
            compression_level=3,
            use_dictionary=[SPLIT],
            column_encoding={key: "DELTA_BYTE_ARRAY"},
        ) as writer,
    ):
        writer.write_table(rows)
    tuned = catalog.create_table("splits.tuned", loaded.schema())
    tuned.add_files([location])
    read = catalog.load_table("splits.tuned").scan().to_arrow()
    assert digest(read.select(rows.schema.names)) == digest(rows)
    return made.systems.tables.head("splits.tuned", branch).bytes
