"""Every mistake that can be told from declarations alone, each as an error with file, line, name and remedy.

Mistakes are yielded, not raised, so that a person sees all of them at once. What an expression computes is looked at
last, and only where its declaration is sound otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Final, TypeVar

from ml_assets.lib.core.errors import ContractMismatch, DeclarationError, DuplicateName, UnknownUpstream
from ml_assets.lib.core.names import EVENT_TIMESTAMP, SPLIT
from ml_assets.lib.core.partitioning import PERIODS, partition_fields
from ml_assets.lib.declare.columns import Column
from ml_assets.lib.declare.contracts import Contract
from ml_assets.lib.declare.declarations import Declaration, FeatureView, Frame, Model, Source, Split
from ml_assets.lib.declare.expressions import (
    mistakes_of_expression,
    mistakes_of_rule_expressions,
    mistakes_of_rules,
)
from ml_assets.lib.declare.frame_columns import mistakes_of_spine, mistakes_of_values
from ml_assets.lib.declare.models import (
    mistakes_of_label,
    mistakes_of_libraries,
    mistakes_of_model,
    mistakes_of_seed,
)
from ml_assets.lib.declare.versions import is_version, where_written

if TYPE_CHECKING:
    from ml_assets.lib.declare.registry import Declarations

TIMESTAMP: Final = "timestamp('UTC', 6)"

_LARGEST: Final = 2**53
"""From here on a whole number has no canonical JSON, and so no hash."""

_LONGEST: Final = timedelta(microseconds=_LARGEST)

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_OWNER = re.compile(r"team:[\w.-]+|[^@\s]+@[^@\s]+")

E = TypeVar("E", bound=DeclarationError)


def mistakes(declarations: Declarations) -> Iterator[DeclarationError]:
    """Everything that is wrong in *declarations*."""
    for decl in declarations:
        found = [*_common(decl), *_own(declarations, decl)]
        yield from found
        if not found and isinstance(decl, Split | FeatureView | Frame):
            yield from mistakes_of_expression(declarations, decl)
        elif not found and isinstance(decl, Source):
            yield from mistakes_of_rule_expressions(declarations, decl)
    yield from _joint_tables(declarations)


def mistakes_of_versions(declarations: Declarations, module: ModuleType) -> Iterator[DeclarationError]:
    """What ``versions.py`` (*module*) names and is not declared."""
    for version in declarations.split_versions:
        if version not in declarations.splits and is_version(version):
            where = where_written(module, version)
            yield _unknown(
                UnknownUpstream, f"{where}: split version {version!r} is listed", "declared split", declarations.splits
            )
    known = [view.ref.view for view in declarations.views.values()]
    for feature_version, refs in declarations.feature_versions.items():
        for ref in refs:
            where = where_written(module, str(ref))
            if (ref.name, ref.version) not in declarations.views:
                what = f"{where}: feature version {feature_version!r} names {ref.view}"
                yield _unknown(UnknownUpstream, what, "declared feature view", known)
                continue
            values = declarations.view_values(ref.whole)
            for column in ref.columns or ():
                if column not in values:
                    what = f"{where}: feature version {feature_version!r} chooses {column!r} of {ref.view}"
                    yield _unknown(UnknownUpstream, what, "value column of it", values)


def _common(decl: Declaration) -> Iterator[DeclarationError]:
    """Name, folder, owner, description and rules of any declaration."""
    if not _NAME.fullmatch(decl.name):
        yield DeclarationError(
            f"{decl.place} is no table name", remedy="use lower-case letters, digits and '_', beginning with a letter"
        )
    if f".{decl.stage}." not in f"{decl.module}.":
        yield DeclarationError(f"{decl.place} is not written in its stage's folder", remedy=f"move it to {decl.stage}/")
    if decl.owner and not _OWNER.fullmatch(decl.owner):
        yield DeclarationError(
            f"{decl.place} has owner {decl.owner!r}", remedy="write 'team:<name>' or an e-mail address"
        )
    if not decl.description:
        yield DeclarationError(f"{decl.place} has no description", remedy="write a docstring: it is shown in the UI")
    yield from mistakes_of_rules(decl)


def _own(declarations: Declarations, decl: Declaration) -> Iterator[DeclarationError]:
    """What only declarations of its kind can get wrong."""
    if isinstance(decl, Source):
        yield from _source(decl)
        yield from mistakes_of_libraries(decl)
        yield from _partitions(decl)
    elif isinstance(decl, Split):
        yield from _upstream(declarations, decl)
        yield from _split(declarations, decl)
        yield from mistakes_of_seed(decl)
    elif isinstance(decl, FeatureView):
        yield from _upstream(declarations, decl)
        yield from _view(decl)
        yield from _partitions(decl)
    elif isinstance(decl, Frame):
        yield from _upstream(declarations, decl)
        yield from _frame(declarations, decl)
        yield from mistakes_of_label(declarations, decl)
    elif isinstance(decl, Model):
        if decl.frame not in declarations.frames:
            what = f"{decl.place} learns from frame {decl.frame!r}"
            yield _unknown(UnknownUpstream, what, "frame", declarations.frames)
        yield from mistakes_of_model(declarations, decl)


def _upstream(declarations: Declarations, decl: Declaration) -> Iterator[DeclarationError]:
    """Parameters that name no source."""
    if not decl.parameters:
        yield UnknownUpstream(f"{decl.place} takes no table", remedy="name a source as the function's parameter")
    for name in decl.parameters:
        if name not in declarations.sources:
            yield _unknown(UnknownUpstream, f"{decl.place} takes {name!r}", "source", declarations.sources)


def _source(source: Source) -> Iterator[DeclarationError]:
    """Files against parameters, time columns against the contract."""
    if not source.files or set(source.files) != set(source.parameters):
        yield DeclarationError(
            f"{source.place} has files {_list(source.files)} and takes {_list(source.parameters)}",
            remedy="give each file a label and the function one parameter of that name",
        )
    types = {column.name: column.type for column in source.contract.columns()}
    if not types:
        yield ContractMismatch(
            f"{source.place}: {source.contract.__name__} ({source.contract.where}) has no columns",
            remedy="write a class on SourceContract with a column for each of the table",
        )
        return
    for name in source.known_at:
        if name not in types:
            yield _unknown(
                ContractMismatch, f"{source.place}: known_at names {name!r}", "column of its contract", types
            )
    if source.known_from is not None and source.always_known:
        yield DeclarationError(
            f"{source.place} says both known_from={source.known_from!r} and always_known=True",
            remedy="keep known_from if its rows become known over time, always_known if they are known beforehand",
        )
    if source.event_time is not None and source.known_from is None and not source.always_known:
        yield DeclarationError(
            f"{source.place} has an event_time and does not say when its rows become known",
            remedy="say known_from='<column>' (often the ingestion or event time), or always_known=True for reference "
            "data and timetables, whose rows are known before anything is asked",
        )
    yield from _times(source)


def _times(source: Source) -> Iterator[DeclarationError]:
    """Columns that say when something is known, against the contract."""
    columns = {column.name: column for column in source.contract.columns()}
    if source.known_from in columns and columns[source.known_from].nullable:
        yield ContractMismatch(
            f"{source.place}: known_from={source.known_from!r} is nullable in {source.contract.__name__} "
            f"({source.contract.where})",
            remedy="leave out nullable=True: a row of which nobody knows when it is known could never be used",
        )
    times = {*source.known_at.values(), *(name for name in (source.event_time, source.known_from) if name is not None)}
    for name in sorted(times):
        kind = columns[name].type if name in columns else "not a column"
        if kind != TIMESTAMP:
            yield ContractMismatch(
                f"{source.place}: time {name!r} is {kind} in {source.contract.__name__}",
                remedy="name a column of type Timestamp",
            )


def _partitions(decl: Source | FeatureView) -> Iterator[DeclarationError]:
    """What files are parted by, against the contract."""
    types = {column.name: column.type for column in decl.contract.columns()}
    try:
        fields = partition_fields(decl.partition_by)
    except ValueError as error:
        yield DeclarationError(
            f"{decl.place} has partition_by: {error}", remedy=f"name a column, or one of {_list(PERIODS)} of a time"
        )
        return
    for field in fields:
        if field.column not in types:
            what = f"{decl.place}: partition_by names {field.column!r}"
            yield _unknown(ContractMismatch, what, "column of its contract", types)
            continue
        kind = types[field.column]
        if field.period is not None and field.name in types:
            yield DuplicateName(
                f"{decl.place}: partition_by {field} is stored as {field.name}, which is also a column",
                remedy="rename the column, or use another period",
            )
        if (field.period is not None) != (kind == TIMESTAMP) or kind.startswith("float"):
            yield ContractMismatch(
                f"{decl.place}: partition_by says {field} and the column is {kind}",
                remedy="use a period of a time, as in 'month(at)', and the value of text, whole numbers or dates",
            )


def _split(declarations: Declarations, split: Split) -> Iterator[DeclarationError]:
    """The source and its key."""
    if not is_version(split.version):
        yield DeclarationError(
            f"{split.place} has version {split.version!r}, which cannot be a partition key",
            remedy="use letters, digits, '-' and single '_' between them",
        )
    if split.key == SPLIT:
        yield DuplicateName(
            f"{split.place} has key {SPLIT!r}, which is also the column that says the part",
            remedy=f"give the key another name in the contract of {split.of}",
        )
        return
    if split.of not in declarations.sources:
        yield _unknown(UnknownUpstream, f"{split.place} splits {split.of!r}", "source", declarations.sources)
        return
    contract = declarations.sources[split.of].contract
    if split.key not in contract.names():
        yield _unknown(
            ContractMismatch, f"{split.place} has key {split.key!r}", f"column of {contract.__name__}", contract.names()
        )
    elif contract.unique() != (split.key,):
        yield ContractMismatch(
            f"{split.place} has key {split.key!r}, but {_unique_in(contract)}",
            remedy=f'say `unique = ("{split.key}",)` in Config, or choose the unique column as key',
        )


def _view(view: FeatureView) -> Iterator[DeclarationError]:
    """Keys against the contract."""
    contract, keys = view.contract, (*view.keys.keys, EVENT_TIMESTAMP)
    columns = {column.name: column for column in contract.columns()}
    if not 1 <= view.version < _LARGEST:
        yield DeclarationError(f"{view.place} has version {view.version}", remedy="count versions from 1")
    if view.ttl is not None and not timedelta(0) < view.ttl < _LONGEST:
        yield DeclarationError(
            f"{view.place} has ttl {view.ttl!r}", remedy="give a time above 0 and below 285 years, or None for any age"
        )
    if EVENT_TIMESTAMP in view.keys.keys:
        yield DuplicateName(
            f"{view.place} has key {EVENT_TIMESTAMP!r}, which every view has beside its keys",
            remedy="leave it out of the entity",
        )
        return
    for key in keys:
        if key not in columns:
            yield ContractMismatch(
                f"{view.place}: {contract.__name__} ({contract.where}) has no column {key!r}",
                remedy=f"add the column, as every view has the keys of its entity and {EVENT_TIMESTAMP}",
            )
        elif columns[key].nullable:
            yield ContractMismatch(
                f"{view.place}: key column {key!r} is nullable in {contract.__name__} ({contract.where})",
                remedy="leave out nullable=True and filter such rows",
            )
    yield from _event_timestamp(view, columns.get(EVENT_TIMESTAMP))
    if set(contract.unique()) != set(keys):
        yield ContractMismatch(
            f"{view.place}: {_unique_in(contract)}, the view's keys are {_list(keys)}",
            remedy=f"say `unique = ({', '.join(repr(key) for key in keys)})` in Config, or correct the entity",
        )
    if not columns.keys() - set(keys):
        yield ContractMismatch(f"{view.place}: {contract.__name__} has keys only", remedy="add a value column")


def _event_timestamp(decl: FeatureView | Frame, column: Column | None) -> Iterator[DeclarationError]:
    if column is not None and column.type != TIMESTAMP:
        yield ContractMismatch(
            f"{decl.place}: {EVENT_TIMESTAMP} is {column.type} in {decl.contract.__name__}",
            remedy="make it a Timestamp",
        )


def _frame(declarations: Declarations, frame: Frame) -> Iterator[DeclarationError]:
    """Split table, spine, and what each feature version adds."""
    contract = frame.contract
    columns = {column.name: column for column in contract.columns()}
    splits = [split for split in declarations.splits.values() if split.name == frame.split]
    if not splits:
        names = {split.name for split in declarations.splits.values()}
        yield _unknown(UnknownUpstream, f"{frame.place} is split by {frame.split!r}", "split table", names)
    needed = [EVENT_TIMESTAMP, frame.label, SPLIT, *(split.key for split in splits)]
    for name in dict.fromkeys(needed):
        if name not in columns:
            yield ContractMismatch(
                f"{frame.place}: {contract.__name__} ({contract.where}) has no column {name!r}",
                remedy=f"add the column: a frame has its split's key, {EVENT_TIMESTAMP}, its label and {SPLIT}",
            )
    yield from _event_timestamp(frame, columns.get(EVENT_TIMESTAMP))
    yield from mistakes_of_spine(frame, columns)
    keys = sorted({split.key for split in splits})
    if splits and list(contract.unique()) != keys:
        yield ContractMismatch(
            f"{frame.place}: {_unique_in(contract)}, its split's key is {_list(keys)}",
            remedy="name the split's key in Config.unique",
        )
    for version in declarations.split_versions:
        split = declarations.splits.get(version)
        if splits and split is not None and split.name != frame.split:
            yield DeclarationError(
                f"{frame.place} is split by {frame.split}, but split version {version!r} splits {split.of}",
                remedy="keep to one split table, since every frame has every split version",
            )
    if frame.moments < 2:  # noqa: PLR2004  (the first cutoff and the last)
        yield DeclarationError(
            f"{frame.place} has moments={frame.moments!r}",
            remedy="give a whole number from 2: the leakage check looks at the first cutoff, the last, and between",
        )
    for feature_version in declarations.feature_versions:
        yield from mistakes_of_values(declarations, frame, feature_version)


def _joint_tables(declarations: Declarations) -> Iterator[DeclarationError]:
    """Units of one table name."""
    tables: dict[str, Declaration] = {}
    stored: list[Split | FeatureView] = [*declarations.splits.values(), *declarations.views.values()]
    for decl in stored:
        spelled = is_version(decl.version) if isinstance(decl, Split) else decl.version >= 1
        if not spelled or not _NAME.fullmatch(decl.name):
            continue  # told already
        table = declarations.unit(decl).table
        other = tables.setdefault(table.lower(), decl)
        if other is not decl:
            yield DuplicateName(
                f"{decl.place} would be stored as {table}, as {other.stage}/{other.name} ({other.where}) is",
                remedy="choose versions that differ in more than '-' and '_'",
            )


def _unknown(kind: Callable[..., E], what: str, thing: str, known: Iterable[str]) -> E:
    """An error about a name that is not declared."""
    return kind(
        f"{what}, which is no {thing}", remedy=f"use one of: {', '.join(sorted(known)) or '(none is declared)'}"
    )


def _unique_in(contract: type[Contract]) -> str:
    return f"{contract.__name__} ({contract.where}) is unique in {_list(contract.unique())}"


def _list(names: Iterable[str]) -> str:
    return f"({', '.join(names)})"
