"""What people write in ``defs``: plain functions with a decorator, which can be imported, called and tested alone.

The function's parameter names are the upstream tables, its docstring is the description. A declaration is called like
its function. Nothing is checked here beyond what the decorator alone can know: `ml_assets.lib.declare.loading.load`
sees the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ml_assets.lib.declare.contracts import FeatureContract, FrameContract, SourceContract
from ml_assets.lib.declare.declarations import (
    MOMENTS,
    EngineName,
    Entity,
    FeatureView,
    Frame,
    Model,
    Params,
    Source,
    Split,
)
from ml_assets.lib.declare.given import declared
from ml_assets.lib.declare.package_file import PackageFile
from ml_assets.lib.declare.rule import Rule

if TYPE_CHECKING:
    import ibis.expr.types as ir

Expression = Callable[..., "ir.Table"]
"""A function of tables that gives a table and runs nothing."""


def _name(name: str | None, function: Callable[..., Any]) -> str:
    """*name*, or that of the *function*."""
    return getattr(function, "__name__", "") if name is None else name


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
        return declared(
            Source,
            function,
            name=_name(name, function),
            owner=owner,
            engine=engine,
            rules=rules,
            contract=contract,
            files=files,
            event_time=event_time,
            known_from=known_from,
            always_known=always_known,
            known_at={} if known_at is None else known_at,
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
        return declared(
            Split,
            function,
            name=of,
            owner=owner,
            engine=engine,
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
        return declared(
            FeatureView,
            function,
            name=_name(name, function),
            owner=owner,
            engine=engine,
            rules=rules,
            version=version,
            keys=keys,
            ttl=ttl,
            contract=contract,
            partition_by=partition_by,
            deterministic=deterministic,
        )

    return declare


def frame(
    *,
    split: str,
    contract: type[FrameContract] | None = None,
    label: str = "label",
    moments: int = MOMENTS,
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
        return declared(
            Frame,
            function,
            name=_name(name, function),
            owner=owner,
            engine=engine,
            rules=rules,
            allow_stale=allow_stale,
            split=split,
            contract=contract,
            label=label,
            moments=moments,
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
        return declared(
            Model,
            function,
            name=_name(name, function),
            owner=owner,
            frame=frame,
            floors={} if floors is None else floors,
            params={} if params is None else params,
            seed=seed,
            categories=categories,
            libraries=libraries,
            trusted=trusted,
        )

    return declare
