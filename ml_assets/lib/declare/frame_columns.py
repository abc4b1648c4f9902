"""What is wrong with the columns of a frame: those of its spine, and those that each feature version adds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ml_assets.lib.core.errors import ContractMismatch, DeclarationError, DuplicateName
from ml_assets.lib.core.names import EVENT_TIMESTAMP, SPLIT
from ml_assets.lib.declare.columns import Column
from ml_assets.lib.declare.declarations import Frame

if TYPE_CHECKING:
    from ml_assets.lib.declare.registry import Declarations


def mistakes_of_spine(frame: Frame, columns: Mapping[str, Column]) -> Iterator[DeclarationError]:
    """What a frame's columns need to be beside being there."""
    where = f"{frame.contract.__name__} ({frame.contract.where})"
    for name in (EVENT_TIMESTAMP, SPLIT):
        if name in columns and columns[name].nullable:
            yield ContractMismatch(
                f"{frame.place}: {name} is nullable in {where}", remedy="leave out nullable=True and filter such rows"
            )
    if SPLIT in columns and columns[SPLIT].type != "string":
        yield ContractMismatch(f"{frame.place}: {SPLIT} is {columns[SPLIT].type} in {where}", remedy="make it a str")
    if frame.label in {EVENT_TIMESTAMP, SPLIT, *frame.contract.unique()}:
        yield ContractMismatch(
            f"{frame.place} has label {frame.label!r}, which is its key, its time or its part",
            remedy="name the column that is to be predicted",
        )


def mistakes_of_values(declarations: Declarations, frame: Frame, feature_version: str) -> Iterator[DeclarationError]:
    """Keys that the spine lacks, and columns of one name."""
    spine = {column.name: column.type for column in frame.contract.columns()}
    taken = {name.lower(): (name, f"the spine of {frame.name}") for name in spine}
    for ref in declarations.feature_versions[feature_version]:
        if (ref.name, ref.version) not in declarations.views:
            continue  # told where the feature version is written
        view = declarations.view(ref)
        types = {column.name: column.type for column in view.contract.columns()}
        for key in view.keys.keys:
            if key in types and spine.get(key) != types[key]:
                yield ContractMismatch(
                    f"{frame.place}: {ref.view} in {feature_version!r} is joined by {key!r} ({types[key]}), "
                    f"which the spine has {f'as {spine[key]}' if key in spine else 'not'}",
                    remedy=f"add {key} to the spine and to {frame.contract.__name__} with the same type",
                )
        for value in declarations.view_values(ref):
            name, there = taken.setdefault(value.lower(), (value, f"{ref.view} ({view.where})"))
            if there != f"{ref.view} ({view.where})":
                alike = "" if name == value else f", where it is {name!r} (case does not count),"
                yield DuplicateName(
                    f"{frame.place}: in feature version {feature_version!r} column {value!r} comes from {there}{alike} "
                    f"and from {ref.view} ({view.where})",
                    remedy="rename it in one of them, or choose columns: 'view@1[column, …]'",
                )
