"""The trips."""

from __future__ import annotations

from pathlib import Path

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.csv as pa_csv

from ml_assets.lib.declare import PackageFile, rule, source
from ml_assets_tests.gate.trips import contracts


@rule()
def ends_after_it_starts(trips: ir.Table) -> ir.Table:
    """No trip ends before it starts."""
    return trips.filter(trips.ended < trips.started).select("trip", "started", "ended")


@rule(severity="warn")
def is_short(trips: ir.Table) -> ir.Table:
    """Few trips are longer than forty minutes: worth a look, no reason to stop."""
    return trips.filter(trips.minutes > 40).select("trip", "minutes")


@source(
    files={"trips": PackageFile("tinytrips", "tinytrips/trips.csv")},
    contract=contracts.Trips,
    event_time="started",
    always_known=True,
    known_at={"ended": "ended", "minutes": "ended"},
    rules=(ends_after_it_starts, is_short),
    libraries=("pyarrow",),
)
def trips(trips: Path) -> pa.Table:
    """Trips of the taxis."""
    return _read(trips)


@source(
    files={"trips": PackageFile("tinytrips", "tinytrips/trips.csv")},
    contract=contracts.Trips,
    event_time="started",
    always_known=True,
    libraries=("pyarrow",),
    append=True,
)
def log(trips: Path) -> pa.Table:
    """The same trips as a table that grows."""
    return _read(trips)


def _read(trips: Path) -> pa.Table:
    """The rows of a file, in the contract's columns."""
    schema = contracts.Trips.arrow_schema()
    rows = pa_csv.read_csv(trips, convert_options=pa_csv.ConvertOptions(column_types=schema, strings_can_be_null=True))
    if missing := set(schema.names) - set(rows.column_names):
        raise ValueError(f"{trips.name} lacks the columns {sorted(missing)}")
    return rows.select(schema.names)
