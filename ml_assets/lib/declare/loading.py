"""Finds what is declared in a package and checks it as a whole. Needs no lake and computes no row."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType, ModuleType
from typing import Final, TypeVar

from ml_assets.lib.core.errors import DeclarationError, DuplicateName, MLAssetsError
from ml_assets.lib.declare.declarations import Declaration, FeatureView, Frame, Model, Source, Split
from ml_assets.lib.declare.registry import Declarations
from ml_assets.lib.declare.validation import mistakes, mistakes_of_versions
from ml_assets.lib.declare.versions import read_versions
from ml_assets.lib.declare.where import in_package

DEFS: Final = "ml_assets.defs"
FOLDERS: Final = ("sources", "splits", "features", "frames", "models")
"""Folders below the package in which declarations are looked for: the stages that are declared."""

D = TypeVar("D", bound=Declaration)
K = TypeVar("K", bound=Hashable)


def load(package: ModuleType | str = DEFS) -> Declarations:
    """Everything declared below *package*, checked as a whole. Needs no lake, computes no row, imports no pandera.

    Raises:
        DeclarationError: Something is wrong in what is declared; several mistakes at once are told together.
    """
    declarations, wrong = examine(package)
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        listed = "".join(f"\n  {number}. {error}" for number, error in enumerate(wrong, 1))
        raise DeclarationError(
            f"{len(wrong)} mistakes in {declarations.package}:{listed}\n", remedy="correct each of them"
        )
    return declarations


def examine(package: ModuleType | str = DEFS) -> tuple[Declarations, tuple[DeclarationError, ...]]:
    """Everything declared below *package*, and everything that is wrong with it.

    Raises:
        DeclarationError: A module cannot be imported, because a contract or decorator in it is wrong by itself.
    """
    if isinstance(package, str):
        package = _imported(package, package)
    found = list(_found(package))
    module = _imported(f"{package.__name__}.versions", package.__name__)
    versions = read_versions(module)
    declarations = Declarations(
        package=package.__name__,
        sources=_by(found, Source, lambda source: source.name),
        splits=_by(found, Split, lambda split: split.version),
        views=_by(found, FeatureView, lambda view: (view.name, view.version)),
        frames=_by(found, Frame, lambda frame: frame.name),
        models=_by(found, Model, lambda model: model.name),
        split_versions=versions.splits,
        feature_versions=versions.features,
    )
    told = (_duplicates(found, declarations), mistakes_of_versions(declarations, module), mistakes(declarations))
    return declarations, (*versions.mistakes, *chain.from_iterable(told))


def _found(package: ModuleType) -> Iterator[Declaration]:
    """Declarations in the modules below the stage folders of *package*, each where it is written."""
    for stage in FOLDERS:
        for module in _modules(package, stage):
            for item in vars(module).values():
                if isinstance(item, Declaration) and item.module == module.__name__:
                    yield item


def _modules(package: ModuleType, stage: str) -> Iterator[ModuleType]:
    """The folder *stage* of *package* and all modules below it, by name; nothing where there is none."""
    if importlib.util.find_spec(f"{package.__name__}.{stage}") is None:
        return
    folder = _imported(f"{package.__name__}.{stage}", package.__name__)
    yield folder
    for info in sorted(pkgutil.walk_packages(folder.__path__, f"{folder.__name__}."), key=lambda info: info.name):
        yield _imported(info.name, package.__name__)


def _imported(name: str, package: str) -> ModuleType:
    """The module *name* of *package*.

    Raises:
        DeclarationError: It cannot be imported; told with the line of the package where that came to pass.
    """
    try:
        return importlib.import_module(name)
    except MLAssetsError:
        raise
    except Exception as error:  # whatever a person's module may raise
        where = in_package(error, package) or name
        raise DeclarationError(
            f"{where}: {name} cannot be imported: {type(error).__name__}: {error}", remedy="correct that line"
        ) from error


def _by(found: Sequence[Declaration], kind: type[D], key: Callable[[D], K]) -> Mapping[K, D]:
    """Declarations of one kind by their key; the first of those with one key."""
    by: dict[K, D] = {}
    for decl in found:
        if isinstance(decl, kind):
            by.setdefault(key(decl), decl)
    return MappingProxyType(by)


def _duplicates(found: Sequence[Declaration], declarations: Declarations) -> Iterator[DeclarationError]:
    """Declarations whose key another one has."""
    kept = {id(decl) for decl in declarations}
    for decl in found:
        if id(decl) not in kept:
            twins = (other for other in found if other is not decl and _key(other) == _key(decl))
            yield DuplicateName(
                f"{decl.place} is declared a second time, first at {next(twins).where}",
                remedy="give one of them another name or version",
            )


def _key(decl: Declaration) -> tuple[object, ...]:
    """What no two declarations may share."""
    if isinstance(decl, Split):
        return decl.stage, decl.version
    return decl.stage, decl.name, getattr(decl, "version", None)
