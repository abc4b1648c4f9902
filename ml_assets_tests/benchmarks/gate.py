"""The gate: a publish of many rows against an ungated write of the same file, by step; what a cycle costs by itself."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.lib.core.digest import digest
from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.refs import Branch
from ml_assets.lib.declare import PackageFile, load
from ml_assets.lib.engines import engine
from ml_assets.lib.gate.machinery import Machinery
from ml_assets.lib.gate.outcome import Published, Unchanged
from ml_assets.lib.gate.plan import Partition
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables.tables import Tables
from ml_assets.lib.tracking.store import Tracking
from ml_assets_tests.benchmarks.measuring import new_lake
from ml_assets_tests.benchmarks.pit_data import write_parquet
from ml_assets_tests.gate.world import new_run

SOURCE: Final = Unit("sources", "wide")
_ROWS: Final = 10_000_000
_ROUNDS: Final = 3
_CYCLES: Final = 20
_JUDGING: Final = ("audit",)
"""The steps that read all rows: contract and digest."""


class _NoFile(PackageFile):
    """Every run names its own file."""

    __slots__ = ()

    def locate(self) -> Path:
        """Nowhere."""
        return Path()


def wide_sql(rows: int, seed: int) -> str:
    """So many rows; another seed gives others."""
    values = ", ".join(
        f"CASE WHEN hash(i, 'f{n}', {seed}) % 20 > 0 THEN (hash(i, 'v{n}', {seed}) % 1000003) / 1000.0 END AS f{n}"
        for n in range(6)
    )
    return (
        "SELECT i AS number, to_timestamp(1700000000 + i // 10) AS at, 'word-' || (hash(i) % 1000) AS code,"
        f" (hash(i, {seed}) % 100)::INT AS small, {values} FROM range({rows}) t(i)"
    )


def machinery(lake: Lake, home: Path) -> Machinery:
    """The machinery of the wide source."""
    found = load("ml_assets_tests.benchmarks.wide")
    source = replace(found.sources["wide"], files={"wide": _NoFile("ml-assets", "")})
    made = Machinery(
        declarations=replace(found, sources={"wide": source}),
        lake=lake,
        tracking=Tracking.embedded(home),
        engine=engine("duckdb"),
        target=Branch("main"),
        state=home,
    )
    made.systems  # noqa: B018  (made before anything is measured)
    return made


def materialize(made: Machinery, path: Path) -> Published | Unchanged:
    """Publish the file at *path*."""
    work = made.plan.work(made.systems, made.plan.assets["sources/wide"], Partition(), path=path)
    assert work is not None
    outcome = made.gate.materialize(work, new_run())
    assert isinstance(outcome, Published | Unchanged), outcome
    return outcome


def ungated(lake: Lake, path: Path, number: int) -> float:
    """Seconds to read the file, write its rows as an Iceberg table on a branch, and commit."""
    branch, began = Branch(f"ungated-{number}"), time.perf_counter()
    lake.branch(branch, Branch("main"))
    schema = load("ml_assets_tests.benchmarks.wide").sources["wide"].contract.iceberg_schema()
    Tables(lake).write("sources.ungated", branch, pq.read_table(path), schema=schema, properties={})
    lake.commit(branch, "ungated", {})
    return time.perf_counter() - began


def measure(rows: str = str(_ROWS)) -> Iterator[str]:
    """Lines with the figures."""
    with tempfile.TemporaryDirectory() as folder, new_lake(Path(folder) / "lake") as lake:
        made = machinery(lake, Path(folder) / "lake")
        yield from _cycles(made, Path(folder))
        yield from _large(made, lake, Path(folder), int(rows))


def _cycles(made: Machinery, folder: Path) -> Iterator[str]:
    cycles, unchanged, steps = list[float](), list[float](), list[dict[str, float]]()
    cpu = {id(cycles): list[float](), id(unchanged): list[float]()}
    for number in range(_CYCLES + 1):
        write_parquet(wide_sql(100, number), path := folder / f"small-{number}.parquet")
        for times in (cycles, unchanged):
            began, used = time.perf_counter(), time.process_time()
            outcome = materialize(made, path)
            times.append(time.perf_counter() - began)
            cpu[id(times)].append(time.process_time() - used)
            assert isinstance(outcome, Published if times is cycles else Unchanged)
            if times is cycles:
                steps.append(dict(outcome.seconds))
    median = {step: 1000 * statistics.median(found[step] for found in steps[1:]) for step in steps[0]}
    for what, times in (("a cycle", cycles), ("an unchanged unit", unchanged)):
        wall, work = (1000 * statistics.median(found[1:]) for found in (times, cpu[id(times)]))
        yield f"gate, 100 rows: {what} {wall:.0f} ms, of which {work:.0f} ms CPU here (median of {_CYCLES})"
    yield "  " + ", ".join(f"{step} {ms:.0f}" for step, ms in median.items()) + " ms"


def _large(made: Machinery, lake: Lake, folder: Path, rows: int) -> Iterator[str]:
    bare, gated = list[float](), list[Any]()
    for number in range(_ROUNDS):
        write_parquet(wide_sql(rows, number), path := folder / "large.parquet")
        bare.append(ungated(lake, path, number))
        outcome = materialize(made, path)
        assert isinstance(outcome, Published)
        gated.append(outcome)
    one = statistics.median(bare)
    steps = {step: statistics.median(found.seconds[step] for found in gated) for step in gated[0].seconds}
    total = statistics.median(sum(found.seconds.values()) for found in gated)
    without = total - sum(steps[step] for step in _JUDGING)
    yield f"gate, {rows:,} rows x 10: ungated write {one:.1f} s, publish {total:.1f} s = {total / one:.2f}x"
    yield f"  {without / one:.2f}x without audit and digest (medians of {_ROUNDS}, interleaved)"
    yield "  " + ", ".join(f"{step} {seconds:.2f}" for step, seconds in steps.items()) + " s"
    held: pa.Table = pq.read_table(folder / "large.parquet")
    began = time.perf_counter()
    found = digest(held)
    seconds = time.perf_counter() - began
    assert found == made.systems.records.at(lake.head(Branch("main"))).require(SOURCE, SOURCE).digest
    yield f"digest of {rows:,} rows x 10 in memory: {seconds:.1f} s"
