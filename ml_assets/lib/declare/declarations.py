"""The kinds of declarations: what a decorator of `ml_assets.lib.declare.decorators` makes of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Final, Literal

from ml_assets.lib.core.errors import DeclarationError
from ml_assets.lib.core.names import Unit
from ml_assets.lib.declare.contracts import FeatureContract, FrameContract, SourceContract
from ml_assets.lib.declare.package_file import PackageFile
from ml_assets.lib.declare.rule import Rule
from ml_assets.lib.declare.versions import ViewRef
from ml_assets.lib.declare.where import of_function, user

Params = Mapping[str, Any]
"""Parameters of a model, as its function receives them."""

MOMENTS: Final = 8
"""At how many moments the leakage check of a frame falsifies the future, unless its declaration asks for more."""

EngineName = Literal["duckdb", "spark"]


@dataclass(frozen=True, slots=True)
class Entity:
    """Something that features describe: a flight, a route, an aircraft.

    Attributes:
        name: Its name.
        keys: The columns that identify it, in order.
        description: What it is.

    Raises:
        DeclarationError: The keys are no tuple of different texts.
    """

    name: str
    keys: tuple[str, ...]
    description: str = ""

    def __post_init__(self) -> None:
        keys: object = self.keys
        names = list(keys) if isinstance(keys, tuple | list) else [None]
        texts = all(isinstance(text, str) for text in (self.name, self.description, *names))
        if not texts or len({str(name).lower() for name in names}) < len(names):
            where = user()
            raise DeclarationError(
                f"{where}: entity {self.name!r} has keys {keys!r}; they are a tuple of different column names",
                remedy="write Entity('user', ('user_id',), 'Who it is')",
            )
        object.__setattr__(self, "keys", tuple(names))


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
        known_from: Column that says when the row becomes known: often the ingestion or event time. Before that moment
            the row does not exist for anybody who asks.
        always_known: Whether every row is known before anything is asked, as of reference data or a timetable. A source
            with an ``event_time`` says one of the two.
        known_at: For a column that becomes known later than its row: the column that says when.
        libraries: Distributions on whose version the result depends.
        append: Whether the rows of each new file are appended to the table instead of replacing what is in it: for
            prediction logs and other tables that come in batches. A file that is in the table is not appended again.
        partition_by: What the table's files are parted by: columns, or a period of a time, as in ``month(started)``.
    """

    stage: ClassVar[str] = "sources"

    contract: type[SourceContract]
    files: Mapping[str, PackageFile]
    event_time: str | None = None
    known_from: str | None = None
    always_known: bool = False
    known_at: Mapping[str, str] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    append: bool = False
    partition_by: tuple[str, ...] = ()

    @property
    def knowledge(self) -> dict[str, Any]:
        """When what is known, as JSON: part of what the source, and every frame made from it, is judged by."""
        return {"known_from": self.known_from, "always_known": self.always_known, "known_at": dict(self.known_at)}

    @property
    def known_times(self) -> dict[str, str]:
        """For each column that is known later than its row the column that says when, which is known then, too."""
        return {**{time: time for time in self.known_at.values()}, **self.known_at}


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
        label: Column to be predicted, of two values: a bool, 0 and 1, or two others of which *positive* is one. Rows
            without a label are predicted, and left out of training and scores.
        positive: The value of the label that counts as true; ``None`` means ``True`` or 1.
        moments: At how many moments the leakage check falsifies the future; at least 2, the first and the last cutoff.
        deterministic: False opts out of the refusals of `ml_assets.lib.declare.determinism`.
    """

    stage: ClassVar[str] = "frames"

    split: str
    contract: type[FrameContract]
    label: str = "label"
    moments: int = MOMENTS
    positive: bool | int | str | None = None
    deterministic: bool = True


@dataclass(frozen=True, kw_only=True)
class Model(Declaration):
    """A classifier. ``function(train: pd.DataFrame, val: pd.DataFrame, *, params: Params, seed: int)`` fits it.

    Attributes:
        frame: Name of the frame it learns from.
        floors: Lowest lawful value per metric, as ``test/roc_auc``.
        params: Parameters and their defaults, as JSON has values; run config may set them. One that is ``None`` may be
            set to anything.
        seed: Seed of the fit, from 0 to 2**32 - 1.
        categories: Columns of spine or views that are model input as categories, in the frame's types; one of a view is
            left out where the feature version has no such view.
        libraries: Distributions on whose version the result depends.
        trusted: Types that may be in the model's file beside those of scikit-learn, by full name. Whoever names a type
            lets it run code when the model is read.
    """

    stage: ClassVar[str] = "models"

    frame: str
    floors: Mapping[str, float] = field(default_factory=dict)
    params: Params = field(default_factory=dict)
    seed: int = 0
    categories: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
