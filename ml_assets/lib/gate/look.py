"""Looking back: a frame rebuilt and proved, a table as it was at any commit, an expression tried without writing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.lib.core.digest import digest_of
from ml_assets.lib.core.errors import ConfigError, NoSuchTable
from ml_assets.lib.core.names import EVENT_TIMESTAMP, SPLIT_VERSION, Unit
from ml_assets.lib.core.suggest import choose
from ml_assets.lib.declare.declarations import FeatureView, Split
from ml_assets.lib.gate.units.frames import FrameBuilder, published_rows, rebuilt
from ml_assets.lib.gate.units.tables import read_bound

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ml_assets.lib.core.refs import Commit
    from ml_assets.lib.engines.protocol import Session
    from ml_assets.lib.gate.machinery import Machinery
    from ml_assets.lib.gate.rows import Rows

SPLIT_SEED = "split_seed"


@dataclass(frozen=True, kw_only=True)
class Found:
    """Rows that were looked at.

    Attributes:
        name: Unit or table.
        commit: The commit they were read at, or rebuilt from.
        rows: How many.
        digest: Digest of all of them.
        digests: Digest per split, of a frame.
        notes: What else is worth knowing.
    """

    name: str
    commit: str
    rows: int
    digest: str
    digests: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def frame(
    machinery: Machinery,
    name: str,
    *,
    split_version: str,
    feature_version: str,
    commit: str | None = None,
    to: Path | None = None,
) -> Found:
    """Rebuild a training frame from its inputs, never from the cache.

    Args:
        machinery: Gate and systems.
        name: The declared frame.
        split_version: Its split version.
        feature_version: Its feature version.
        commit: Any ref expression; the inputs are read there. Without one the published frame is rebuilt at its pin and
            proved equal; where none is published, it is built on the target's head.
        to: Where to write the rows, as Parquet.

    Raises:
        ConfigError: No such frame or version.
        MissingInput, StaleInput, UnrecordedChange: The inputs do not fit together at that commit.
        MissingCommit: The frame was published by another definition than is declared now.
        DigestMismatch: The rebuilt rows are not those that were published.
    """
    builder = _builder(machinery, name, split_version, feature_version)
    if commit is None:
        pin, rows, notes = _as_published(machinery, builder)
    else:
        pin, notes = machinery.lake.resolve(commit), ()
        rows = _rows_at(machinery, builder, pin)
    _copy(rows, to)
    return Found(
        name=str(builder.unit), commit=pin.id, rows=rows.count, digest=rows.digest, digests=rows.digests, notes=notes
    )


def _builder(machinery: Machinery, name: str, split_version: str, feature_version: str) -> FrameBuilder:
    declarations = machinery.declarations
    for given, known, what in (
        (name, declarations.frames, "frame"),
        (split_version, declarations.split_versions, "split version"),
        (feature_version, declarations.feature_versions, "feature version"),
    ):
        if given not in known:
            raise ConfigError(f"there is no {what} {given!r}", remedy=choose(given, known))
    return FrameBuilder(
        systems=machinery.systems,
        frame=declarations.frames[name],
        split_version=split_version,
        feature_version=feature_version,
    )


def _as_published(machinery: Machinery, builder: FrameBuilder) -> tuple[Commit, Rows, tuple[str, ...]]:
    """The published frame's pin and rebuilt rows, or those it would have at the target's head; and which it is."""
    head = machinery.lake.head(machinery.target)
    records = machinery.systems.records.at(head)
    publication = records.get(builder.unit)
    if publication is None:
        note = f"{builder.unit} is not published: these are the rows it would have"
        return head, _rows_at(machinery, builder, head), (note,)
    rows = rebuilt(machinery.systems, publication)
    proof = "equal to the published digest" if rows.digest == publication.digest else "within tolerance"
    notes = [f"{proof} of {builder.unit}"]
    if records.is_stale(publication):
        notes.append("its inputs have been published anew since")
    return publication.pin, rows, tuple(notes)


def _rows_at(machinery: Machinery, builder: FrameBuilder, pin: Commit) -> Rows:
    """The rows over the inputs as they are at *pin*, which must be published and fit together."""
    records = machinery.systems.records.at(pin)
    for unit in builder.inputs.values():
        records.require(unit, builder.unit)
    return builder.rows(pin)


def _copy(rows: Rows, to: Path | None) -> None:
    if to is not None:
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(rows.path, to)


def table(machinery: Machinery, name: str, ref: str | None, to: Path | None) -> Found:
    """A table as it is at a ref.

    Args:
        machinery: Gate and systems.
        name: Asset key (``sources/flights``; ``splits/flights`` means the joint table of all its versions), unit
            (``features/route@1``), or table name (``splits.flights__hash_s42``).
        ref: Any ref expression, optionally with a time; without one the target's head.
        to: Where to write the rows, as Parquet.

    Raises:
        NoSuchTable: Nothing of this name is published there.
    """
    commit = machinery.lake.resolve(ref) if ref else machinery.lake.head(machinery.target)
    units = {publication.unit for publication in machinery.systems.records.all(commit)}
    unit = _unit_named(name, units)
    if unit is not None and unit.stage == "frames":
        publication = machinery.systems.records.get(unit, commit)
        assert publication is not None  # listed a moment ago at an immutable commit
        rows = published_rows(machinery.systems, publication)
        _copy(rows, to)
        return Found(name=str(unit), commit=commit.id, rows=rows.count, digest=rows.digest, digests=rows.digests)
    with machinery.engine.session(machinery.systems.tables) as session:
        if unit is not None and unit.stage != "models":
            rows_of, shown = session.read(unit.table, commit), str(unit)
        else:
            rows_of, shown = _joint(machinery, session, name, units, commit), name
        sums = session.row_sum(rows_of)
        schema = session.batches(rows_of.limit(0)).schema
        if to is not None:
            _write(session, rows_of, to)
    return Found(name=shown, commit=commit.id, rows=sums.rows, digest=digest_of(schema, sums))


def _unit_named(name: str, units: set[Unit]) -> Unit | None:
    """The published unit that *name* means: of a view without version the newest, of a split without version none."""
    named = [unit for unit in units if name in (str(unit), unit.table)]
    if named:
        return named[0]
    versions = [unit for unit in units if f"{unit.stage}/{unit.name}" == name and unit.stage == "features"]
    return max(versions, key=lambda unit: int(unit.version), default=None)


def _joint(machinery: Machinery, session: Session, name: str, units: set[Unit], commit: Commit) -> ir.Table:
    """All published versions of a split as one table: key, split, event time, version, seed."""
    import ibis

    wanted = name.replace("/", ".")
    found = sorted(unit for unit in units if unit.stage == "splits" and f"splits.{unit.name}" == wanted)
    if not found:
        known = sorted({*map(str, units), *(f"splits/{u.name}" for u in units if u.stage == "splits")})
        raise NoSuchTable(f"there is no table {name!r} at {commit.short}", remedy=choose(name, known))
    parts = []
    for unit in found:
        split = machinery.declarations.splits.get(unit.version)
        part = session.read(unit.table, commit)
        key = split.key if split else part.columns[0]
        source = machinery.declarations.sources.get(unit.name)
        if source and source.event_time:
            facts = session.read(Unit("sources", unit.name).table, commit, columns=(key, source.event_time))
            part = part.join(facts.rename({EVENT_TIMESTAMP: source.event_time}), key)
        seed = ibis.literal(split.seed if split else None, type="int64")
        parts.append(part.mutate(**{SPLIT_VERSION: ibis.literal(unit.version), SPLIT_SEED: seed}))
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def _write(session: Session, rows: ir.Table, to: Path) -> None:
    import pyarrow.parquet as pq

    to.parent.mkdir(parents=True, exist_ok=True)
    reader = session.batches(rows)
    with pq.ParquetWriter(to, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)


def preview(machinery: Machinery, name: str, limit: int) -> Iterator[str]:
    """Compute a split or feature view on the target without writing: rows, contract, definition, column lineage.

    Args:
        machinery: Gate and systems.
        name: Asset key, with a version where there are several: ``features/route@1``, ``splits/flights@hash-s42``.
        limit: Rows to show.

    Raises:
        ConfigError: No such split or view.
        MissingInput: A source is not published.
    """
    declaration = _expression_named(machinery, name)
    declarations = machinery.declarations
    head = machinery.lake.head(machinery.target)
    inputs = {parameter: Unit("sources", parameter) for parameter in declaration.parameters}
    for unit in inputs.values():
        machinery.systems.records.at(head).require(unit, declarations.unit(declaration))
    with machinery.systems.engine_of(declaration).session(machinery.systems.tables) as session:
        rows = session.persist(read_bound(session, declarations.expression(declaration), inputs, head))
        yield str(rows.limit(limit).to_pandas().to_string())
        yield f"rows        {int(rows.count().execute()):,}"
        verdict = declarations.contract(declaration).audit(rows)
        broken = ", ".join(f"{rule} ({count})" for rule, count in verdict.counts.items())
        yield f"contract    {'holds' if verdict.passed else f'broken: {broken}'}"
    yield f"definition  {declarations.definition(declaration).identity}"
    for column, found in declarations.lineage(declaration).items():
        yield f"  {column} <- {', '.join(found.value) or 'constant'}  (rows: {', '.join(found.rows) or 'all'})"


def _expression_named(machinery: Machinery, name: str) -> Split | FeatureView:
    asset, _, version = name.partition("@")
    candidates = [
        declaration
        for declaration in machinery.declarations
        if isinstance(declaration, Split | FeatureView) and f"{declaration.stage}/{declaration.name}" == asset
    ]
    chosen = [d for d in candidates if version in ("", str(d.version))]
    if not chosen:
        named = [
            f"{d.stage}/{d.name}@{d.version}" for d in machinery.declarations if isinstance(d, Split | FeatureView)
        ]
        raise ConfigError(f"there is no split or feature view {name!r}", remedy=choose(name, named))
    return chosen[-1]
