"""What people write in ``defs``: plain functions with a decorator, which can be imported, called and tested alone.

The function's parameter names are the upstream tables, its docstring is the description. A declaration is called like
its function. Nothing is checked here beyond what the decorator alone can know: `ml_assets.lib.declare.registry.load`
sees the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from ml_assets.lib.core.errors import DeclarationError
from ml_assets.lib.declare.contracts import Contract, FeatureContract, FrameContract, SourceContract
from ml_assets.lib.declare.declarations import EngineName, Entity, FeatureView, Frame, Model, Params, Source, Split
from ml_assets.lib.declare.package_file import PackageFile
from ml_assets.lib.declare.rules import Rule
from ml_assets.lib.declare.where import of_function

if TYPE_CHECKING:
    import ibis.expr.types as ir

Expression = Callable[..., "ir.Table"]
"""A function of tables that gives a table and runs nothing."""

_C = TypeVar("_C", bound=Contract)


def _given(contract: type[_C] | None, kind: type[_C], function: Callable[..., Any]) -> type[_C]:
    """*contract*, which must be there and of the right *kind*.

    Raises:
        DeclarationError: It is missing, or not a contract of this kind.
    """
    if isinstance(contract, type) and issubclass(contract, kind):
        return contract
    said = "has no contract" if contract is None else f"has contract {contract!r}, which is no {kind.__name__}"
    raise DeclarationError(
        f"{of_function(function)}: {function.__name__} {said}",
        remedy=f"write a class on {kind.__name__} in defs/contracts and pass it as contract=…",
    )


def _known(engine: EngineName | None, function: Callable[..., Any]) -> EngineName | None:
    """*engine*, if there is one of this name.

    Raises:
        DeclarationError: There is none.
    """
    if engine is None or engine in get_args(EngineName):
        return engine
    raise DeclarationError(
        f"{of_function(function)}: {function.__name__} asks for the engine {engine!r}",
        remedy=f"choose of {', '.join(get_args(EngineName))}, or leave it to ML_ASSETS_ENGINE",
    )


def source(
    *,
    files: Mapping[str, PackageFile],
    contract: type[SourceContract] | None = None,
    name: str | None = None,
    event_time: str | None = None,
    known_from: str | None = None,
    always_known: bool = False,
    known_at: Mapping[str, str] | None = None,
    rules: tuple[Rule, ...] = (),
    libraries: tuple[str, ...] = (),
    append: bool = False,
    partition_by: tuple[str, ...] = (),
    owner: str = "",
    engine: EngineName | None = None,
) -> Callable[[Callable[..., Any]], Source]:
    """Declare a raw table; see `Source`. The name is the function's unless given."""

    def declare(function: Callable[..., Any]) -> Source:
        return Source(
            name=name or function.__name__,
            function=function,
            owner=owner,
            engine=_known(engine, function),
            rules=rules,
            contract=_given(contract, SourceContract, function),
            files=dict(files),
            event_time=event_time,
            known_from=known_from,
            always_known=always_known,
            known_at=dict(known_at or {}),
            libraries=libraries,
            append=append,
            partition_by=partition_by,
        )

    return declare


def split(
    version: str,
    *,
    of: str,
    key: str,
    seed: int | None = None,
    rules: tuple[Rule, ...] = (),
    owner: str = "",
    deterministic: bool = True,
    engine: EngineName | None = None,
) -> Callable[[Expression], Split]:
    """Declare a split version of the source *of*; see `Split`."""

    def declare(function: Expression) -> Split:
        return Split(
            name=of,
            function=function,
            owner=owner,
            engine=_known(engine, function),
            rules=rules,
            version=version,
            key=key,
            seed=seed,
            deterministic=deterministic,
        )

    return declare


def feature_view(
    *,
    version: int,
    keys: Entity,
    ttl: timedelta | None,
    contract: type[FeatureContract] | None = None,
    name: str | None = None,
    partition_by: tuple[str, ...] = (),
    rules: tuple[Rule, ...] = (),
    owner: str = "",
    deterministic: bool = True,
    engine: EngineName | None = None,
) -> Callable[[Expression], FeatureView]:
    """Declare a version of a feature view; see `FeatureView`. The name is the function's unless given."""

    def declare(function: Expression) -> FeatureView:
        return FeatureView(
            name=name or function.__name__,
            function=function,
            owner=owner,
            engine=_known(engine, function),
            rules=rules,
            version=version,
            keys=keys,
            ttl=ttl,
            contract=_given(contract, FeatureContract, function),
            partition_by=partition_by,
            deterministic=deterministic,
        )

    return declare


def frame(
    *,
    split: str,
    contract: type[FrameContract] | None = None,
    label: str = "label",
    positive: bool | int | str | None = None,
    name: str | None = None,
    rules: tuple[Rule, ...] = (),
    allow_stale: bool = False,
    owner: str = "",
    deterministic: bool = True,
    engine: EngineName | None = None,
) -> Callable[[Expression], Frame]:
    """Declare the training rows of a model; see `Frame`. The name is the function's unless given."""

    def declare(function: Expression) -> Frame:
        return Frame(
            name=name or function.__name__,
            function=function,
            owner=owner,
            engine=_known(engine, function),
            rules=rules,
            allow_stale=allow_stale,
            split=split,
            contract=_given(contract, FrameContract, function),
            label=label,
            positive=positive,
            deterministic=deterministic,
        )

    return declare


def model(
    *,
    frame: str,
    floors: Mapping[str, float] | None = None,
    params: Params | None = None,
    seed: int = 0,
    categories: tuple[str, ...] = (),
    libraries: tuple[str, ...] = (),
    trusted: tuple[str, ...] = (),
    name: str | None = None,
    owner: str = "",
) -> Callable[[Callable[..., Any]], Model]:
    """Declare a model; see `Model`. The name is the function's unless given."""

    def declare(function: Callable[..., Any]) -> Model:
        return Model(
            name=name or function.__name__,
            function=function,
            owner=owner,
            frame=frame,
            floors=dict(floors or {}),
            params=dict(params or {}),
            seed=seed,
            categories=categories,
            libraries=libraries,
            trusted=trusted,
        )

    return declare
