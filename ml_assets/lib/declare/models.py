"""What can be told of a model from declarations alone: label, input, parameters, libraries, trusted types."""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from ml_assets.lib.core.errors import ContractMismatch, DeclarationError
from ml_assets.lib.core.names import SPLIT, SPLITS
from ml_assets.lib.declare.params import LARGEST, wrong_name, wrong_seed, wrong_value

if TYPE_CHECKING:
    from ml_assets.lib.declare.columns import Column
    from ml_assets.lib.declare.declarations import Frame, Model, Source, Split
    from ml_assets.lib.declare.registry import Declarations

METRICS: Final = ("roc_auc", "log_loss", "brier", "accuracy", "precision", "recall", "f1")
"""Figures of a model, each per split: ``test/roc_auc``."""

_MODEL_PARAMETERS: Final = ("train", "val", "params", "seed")

_WHOLE: Final = ("int64", "int32")
_LABELS: Final[Mapping[str, type]] = {"boolean": bool, "int64": int, "int32": int, "string": str}
"""Types that a label may have, with those of a positive class."""

_NUMBERS: Final = (*_WHOLE, "float64", "boolean")
_CATEGORIES: Final = (*_WHOLE, "boolean", "string")

_BINARY: Final = "make it a bool, or an Int32 with isin=(0, 1)"


def default_positive(kind: type) -> Any:
    """The value that counts as true where nobody names one; ``None`` for text."""
    return {bool: True, int: 1}.get(kind)


def input_columns(declarations: Declarations, model: Model, feature_version: str) -> tuple[str, ...]:
    """Columns of the model input: the categories that the frame has, then the views' other values in order of name."""
    spine = declarations.frames[model.frame].contract.names()
    refs = declarations.feature_versions[feature_version]
    values = {value for ref in refs for value in declarations.view_values(ref)}
    categories = [name for name in model.categories if name in spine or name in values]
    return *categories, *sorted(values - set(categories))


def is_trained_otherwise(declarations: Declarations, model: Model, feature_version: str) -> bool:
    """Whether *model* was once trained as doubles or scored as if every label were known, and is not any more."""
    frame = declarations.frames[model.frame]
    columns = {column.name: column for column in declarations.frame_columns(frame, feature_version)}
    types = {columns[name].type for name in input_columns(declarations, model, feature_version)}
    return columns[frame.label].nullable or not types <= {"float64", "string"}


def mistakes_of_model(declarations: Declarations, model: Model) -> Iterator[DeclarationError]:
    """What is wrong with *model*, whose frame is declared."""
    yield from _signature(model)
    yield from _floors(model)
    yield from _params(model)
    yield from mistakes_of_libraries(model)
    if not (no_tuples := list(_no_tuples(model, "categories", "trusted"))):
        yield from _trusted(model)
    yield from no_tuples
    if model.frame in declarations.frames and not no_tuples:
        yield from _categories(declarations, model)
        yield from _features(declarations, model)


def mistakes_of_label(declarations: Declarations, frame: Frame) -> Iterator[DeclarationError]:
    """What makes the label of a *frame* useless for the models that learn from it: they are binary classifiers."""
    column = next((column for column in frame.contract.columns() if column.name == frame.label), None)
    learned = any(model.frame == frame.name for model in declarations.models.values())
    if column is None or not (learned or frame.positive is not None):
        return
    what = f"{frame.place}: label {frame.label!r} of {frame.contract.__name__} ({frame.contract.where})"
    kind = _LABELS.get(column.type)
    if kind is None:
        yield ContractMismatch(
            f"{what} is {column.type}, and models here are classifiers of two classes", remedy=_BINARY
        )
        return
    positive = frame.positive
    if positive is not None and type(positive) is not kind:
        yield ContractMismatch(
            f"{what} is {column.type}, and positive={positive!r} is no value of it",
            remedy="name a value that the label can have",
        )
        return
    yield from _values_of_label(column, positive, what)


def _values_of_label(column: Column, positive: Any, what: str) -> Iterator[DeclarationError]:
    """What is wrong with the values that the contract lets a label have."""
    lawful = _lawful(column)
    if positive is None and column.type == "string":
        yield ContractMismatch(
            f"{what} is text, and nobody says which value is positive",
            remedy="name it with the frame, as in @frame(positive='yes'), or " + _BINARY,
        )
    elif lawful is not None and len(lawful) != len((False, True)):
        yield ContractMismatch(
            f"{what} may have the values {_listed(lawful)}, and models here are classifiers of two classes",
            remedy=f"let isin name two values, or {_BINARY}",
        )
    elif lawful is not None and positive is None and set(lawful) != {0, 1}:
        yield ContractMismatch(
            f"{what} has the values {_listed(lawful)}, and nobody says which one is positive",
            remedy=f"name it with the frame, as in @frame(positive={lawful[-1]!r}), or {_BINARY}",
        )
    elif lawful is not None and positive is not None and positive not in lawful:
        yield ContractMismatch(
            f"{what} never is positive={positive!r}, only one of {_listed(lawful)}", remedy="name one of these values"
        )


def mistakes_of_libraries(decl: Source | Model) -> Iterator[DeclarationError]:
    """Libraries that are no installed distributions: their versions are part of the recipe."""
    if no_tuple := list(_no_tuples(decl, "libraries")):
        yield from no_tuple
        return
    for name in decl.libraries:
        if not _is_installed(name):
            yield DeclarationError(
                f"{decl.place} has the library {name!r}, and no distribution of this name is installed",
                remedy=_meant(name),
            )


def mistakes_of_seed(split: Split) -> Iterator[DeclarationError]:
    """A seed that a recipe cannot hold."""
    if split.seed is not None and (reason := wrong_seed(split.seed, LARGEST)):
        yield DeclarationError(
            f"{split.place}: {reason}", remedy="give a whole number from 0 to 2**53 - 1, or leave it out"
        )


def _signature(model: Model) -> Iterator[DeclarationError]:
    if model.parameters != _MODEL_PARAMETERS:
        yield DeclarationError(
            f"{model.place} takes {_listed(model.parameters)}", remedy="write (train, val, *, params, seed)"
        )


def _floors(model: Model) -> Iterator[DeclarationError]:
    for floor, value in model.floors.items():
        part, _, metric = floor.partition("/")
        if part not in SPLITS or metric not in METRICS:
            yield DeclarationError(
                f"{model.place} has a floor for unknown metric {floor!r}",
                remedy=f"write {'|'.join(SPLITS)} / {'|'.join(METRICS)}, as in 'test/roc_auc'",
            )
        if type(value) not in (int, float) or not math.isfinite(value):
            yield DeclarationError(
                f"{model.place} has the floor {value!r} for {floor!r}", remedy="give a finite number, as in 0.7"
            )
        elif value > 1 and metric != "log_loss":
            yield DeclarationError(
                f"{model.place} has the floor {value!r} for {floor!r}, which is never above 1",
                remedy="give a share, as in 0.7",
            )


def _params(model: Model) -> Iterator[DeclarationError]:
    for name, value in model.params.items():
        if reason := wrong_name(name):
            yield DeclarationError(
                f"{model.place}: params: {reason}", remedy="use a Python name other than 'recipe' and 'seed'"
            )
        elif reason := wrong_value(value):
            yield DeclarationError(
                f"{model.place}: params are not plain: {name}: {reason}",
                remedy="use None, booleans, finite numbers, texts, lists, tuples and dicts of them",
            )
    if reason := wrong_seed(model.seed):
        yield DeclarationError(f"{model.place}: {reason}", remedy="give a whole number from 0 to 2**32 - 1")


def _trusted(model: Model) -> Iterator[DeclarationError]:
    for name in model.trusted:
        parts = name.split(".")
        if len(parts) == 1 or not all(part.isidentifier() for part in parts):
            yield DeclarationError(
                f"{model.place} trusts {name!r}, which is no full name of a type",
                remedy="write module and name, as in trusted=('lightgbm.sklearn.LGBMClassifier',)",
            )
        elif importlib.util.find_spec(parts[0]) is None:
            yield DeclarationError(
                f"{model.place} trusts {name!r}, and no package {parts[0]!r} is installed",
                remedy="install it, or correct the name",
            )


def _categories(declarations: Declarations, model: Model) -> Iterator[DeclarationError]:
    """Categories that are no column, or none that a model may look at."""
    frame, known = declarations.frames[model.frame], _columns(declarations, model)
    keys = {split.key for split in declarations.splits.values() if split.name == frame.split}
    for name in dict.fromkeys(model.categories):
        if name not in known:
            yield ContractMismatch(
                f"{model.place} has category {name!r}, which is no column of frame {model.frame}",
                remedy=f"use one of: {', '.join(sorted(known))}",
            )
        elif name in {frame.label, SPLIT, *keys}:
            yield ContractMismatch(
                f"{model.place} has category {name!r}, which is the frame's label, split or key",
                remedy="leave it out of categories: a model may not look at it",
            )
        elif known[name].type not in _CATEGORIES:
            yield ContractMismatch(
                f"{model.place} has category {name!r}, which is {known[name].type}",
                remedy="use text, whole numbers or booleans as categories",
            )
    if len(set(model.categories)) != len(model.categories):
        yield DeclarationError(f"{model.place} names a category twice", remedy="name each category once")


def _columns(declarations: Declarations, model: Model) -> dict[str, Column]:
    """Columns of the model's frame in any feature version."""
    frame = declarations.frames[model.frame]
    found = {column.name: column for column in frame.contract.columns()}
    for refs in declarations.feature_versions.values():
        for ref in refs:
            if (ref.name, ref.version) in declarations.views:
                values = declarations.view_values(ref)
                columns = declarations.view(ref).contract.columns()
                found |= {column.name: column for column in columns if column.name in values}
    return found


def _features(declarations: Declarations, model: Model) -> Iterator[DeclarationError]:
    """Values of views that are model input and of a type that no model takes."""
    told = set()
    for version, refs in declarations.feature_versions.items():
        for ref in refs:
            if (ref.name, ref.version) not in declarations.views:
                continue  # told where the feature version is written
            view = declarations.view(ref)
            values = set(declarations.view_values(ref)) - set(model.categories)
            for column in view.contract.columns():
                if column.name in values and column.type not in _NUMBERS and (ref.view, column.name) not in told:
                    told.add((ref.view, column.name))
                    remedy = "make a number of it in a view, as days since a day"
                    if column.type in _CATEGORIES:
                        remedy = f"name it in categories=({column.name!r},)"
                    yield ContractMismatch(
                        f"{model.place} learns from {column.name!r} of {ref.view} ({view.where}) in feature version "
                        f"{version!r}, which is {column.type}",
                        remedy=f"{remedy}, or choose the view's other columns: '{ref.view}[column, ...]'",
                    )


def _lawful(column: Column) -> tuple[Any, ...] | None:
    """The values that the contract lets a label have, if it says which."""
    if column.type == "boolean" and "isin" not in column.constraints:
        return False, True
    values = column.constraints.get("isin")
    return None if values is None else tuple(dict.fromkeys(values))


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False
    return True


def _meant(name: str) -> str:
    """The distribution that a person means who names what is imported, or misspells it."""
    modules = importlib.metadata.packages_distributions()
    if named := modules.get(name.partition(".")[0]):
        return f"do you mean {' or '.join(dict.fromkeys(named))}?"
    installed = {found for names in modules.values() for found in names}
    near = difflib.get_close_matches(name, installed, n=1)
    return f"do you mean {near[0]}?" if near else "install it, or name the distribution as pip does"


def _no_tuples(decl: Source | Model, *fields: str) -> Iterator[DeclarationError]:
    """Fields that are something else than a tuple of texts: a text alone, most of the time."""
    for field in fields:
        value: object = getattr(decl, field)
        if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
            yield DeclarationError(
                f"{decl.place} has {field}={value!r}, which is no tuple of texts",
                remedy=f"write {field}=('name',), with the comma",
            )


def _listed(values: Iterable[object]) -> str:
    return f"({', '.join(value if isinstance(value, str) else repr(value) for value in values)})"
