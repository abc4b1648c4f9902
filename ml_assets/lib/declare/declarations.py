"""What people write in ``defs``: plain functions with a decorator, which can be imported, called and tested alone.

The function's parameter names are the upstream tables, its docstring is the description. A declaration is called like
its function. Nothing is checked here beyond what the decorator alone can know: `ml_assets.lib.declare.registry.load`
sees the whole.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, get_args

from ml_assets.lib.core.errors import DeclarationError
from ml_assets.lib.core.names import Unit
from ml_assets.lib.declare.contracts import Contract, FeatureContract, FrameContract, SourceContract
from ml_assets.lib.declare.package_file import PackageFile
from ml_assets.lib.declare.rules import Rule
from ml_assets.lib.declare.versions import ViewRef
from ml_assets.lib.declare.where import of_function

if TYPE_CHECKING:
    import ibis.expr.types as ir

Params = Mapping[str, Any]
"""Parameters of a model, as its function receives them."""

EngineName = Literal["duckdb", "spark"]

Expression = Callable[..., "ir.Table"]
"""A function of tables that gives a table and runs nothing."""


@dataclass(frozen=True, slots=True)
class Entity:
    """Something that features describe: a flight, a route, an aircraft.

    Attributes:
        name: Its name.
        keys: The columns that identify it, in order.
        description: What it is.
    """

    name: str
    keys: tuple[str, ...]
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What all declarations have in common.

    Attributes:
        name: Name of the dataset within its stage.
        function: What was decorated.
        owner: ``team:…`` or an e-mail address; empty where nobody was named.
        rules: What is judged beside the contract.
        allow_stale: Whether inputs may be older than their own inputs; what was stale is recorded then.
        engine: What computes and judges it: ``duckdb``, ``spark``, or ``None`` for that of the settings. Each gives the
            same rows, so it is no part of what determines them.
    """

    stage: ClassVar[str]

    name: str
    function: Callable[..., Any]
    owner: str = ""
    rules: tuple[Rule, ...] = ()
    allow_stale: bool = False
    engine: EngineName | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    @property
    def description(self) -> str:
        """The function's docstring."""
        return inspect.getdoc(self.function) or ""

    @property
    def module(self) -> str:
        """Dotted name of the module it is written in."""
        return self.function.__module__

    @property
    def where(self) -> str:
        """``file:line`` of the function."""
        return of_function(self.function)

    @property
    def place(self) -> str:
        """``file:line: stage/name``, with which every error about it begins."""
        return f"{self.where}: {self.stage}/{self.name}"

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the function's parameters, in order."""
        return tuple(inspect.signature(self.function).parameters)


@dataclass(frozen=True, kw_only=True)
class Source(Declaration):
    """A table as it comes in. ``function(**paths: Path) -> pa.Table``; its parameters are the labels of the files.

    Attributes:
        contract: Columns of the table.
        files: File per label; the first is the main one, which run config ``path`` replaces.
        event_time: Column that says when the fact happened.
        known_at: For a column that is known later than the row as a whole: the column that says when.
        libraries: Distributions on whose version the result depends.
        append: Whether the rows of each new file are appended to the table instead of replacing what is in it: for
            prediction logs and other tables that come in batches. A file that is in the table is not appended again.
        partition_by: What the table's files are parted by: columns, or a period of a time, as in ``month(started)``.
    """

    stage: ClassVar[str] = "sources"

    contract: type[SourceContract]
    files: Mapping[str, PackageFile]
    event_time: str | None = None
    known_at: Mapping[str, str] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    append: bool = False
    partition_by: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Split(Declaration):
    """Which key belongs to train, val or test. ``function(<source>: ir.Table) -> ir.Table`` of key, ``split``.

    Attributes:
        version: The split version: a partition key.
        key: Column that identifies a row of the source.
        seed: Seed, where chance plays a part; recorded, and part of the recipe.
        deterministic: False opts out of the refusals of `ml_assets.lib.declare.determinism`.
    """

    stage: ClassVar[str] = "splits"

    version: str
    key: str
    seed: int | None = None
    deterministic: bool = True

    @property
    def place(self) -> str:
        """As of every declaration, with the version."""
        return f"{self.where}: {self.stage}/{self.name}@{self.version}"

    @property
    def of(self) -> str:
        """The source that is split, which is also the name of the split table."""
        return self.name


@dataclass(frozen=True, kw_only=True)
class FeatureView(Declaration):
    """Values of an entity, each with the moment it becomes known. ``function(<source>: ir.Table, …) -> ir.Table``.

    Attributes:
        version: Version of the view; its definition never changes under one.
        keys: The entity.
        ttl: Oldest age at which a value still counts; ``None`` means any age.
        contract: Keys, ``event_timestamp`` and values.
        partition_by: As of a `Source`. It may change under a version: it moves no row.
        deterministic: False opts out of the refusals of `ml_assets.lib.declare.determinism`.
    """

    stage: ClassVar[str] = "features"

    version: int
    keys: Entity
    ttl: timedelta | None
    contract: type[FeatureContract]
    partition_by: tuple[str, ...] = ()
    deterministic: bool = True

    @property
    def place(self) -> str:
        """As of every declaration, with the version."""
        return f"{self.where}: {self.stage}/{self.name}@{self.version}"

    @property
    def ref(self) -> ViewRef:
        """The view at this version, with all of its values."""
        return ViewRef(self.name, self.version)

    @property
    def unit(self) -> Unit:
        """What publishing the view publishes."""
        return Unit(self.stage, self.name, str(self.version))


@dataclass(frozen=True, kw_only=True)
class Frame(Declaration):
    """The training rows of one model. ``function(<source>: ir.Table, …) -> ir.Table`` is the spine.

    Attributes:
        split: Name of the split table, which is that of the source it splits.
        contract: Columns of the spine, and ``split``.
        label: Column to be predicted.
        deterministic: False opts out of the refusals of `ml_assets.lib.declare.determinism`.
    """

    stage: ClassVar[str] = "frames"

    split: str
    contract: type[FrameContract]
    label: str = "label"
    deterministic: bool = True


@dataclass(frozen=True, kw_only=True)
class Model(Declaration):
    """A classifier. ``function(train: pd.DataFrame, val: pd.DataFrame, *, params: Params, seed: int)`` fits it.

    Attributes:
        frame: Name of the frame it learns from.
        floors: Lowest lawful value per metric, as ``test/roc_auc``.
        params: Parameters and their defaults; run config may set them.
        seed: Seed of the fit.
        categories: Spine columns that are model input, as categories.
        libraries: Distributions on whose version the result depends.
    """

    stage: ClassVar[str] = "models"

    frame: str
    floors: Mapping[str, float] = field(default_factory=dict)
    params: Params = field(default_factory=dict)
    seed: int = 0
    categories: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()


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
        )

    return declare
