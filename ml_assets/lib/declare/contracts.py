"""Contracts: the only place where the columns of a table are spelled. Schemas, docs, checks and signatures follow.

A contract is written like a pandera model and *is* one where it matters: `Contract.to_pandera` gives the `pandera.ibis`
model, and `Contract.audit` judges with pandera's checks. The class itself only collects what was written, because
importing pandera costs more than importing Dagster, and every load of the code location would pay it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from inspect import get_annotations
from types import MappingProxyType, new_class
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self, cast, get_type_hints

from ml_assets.lib.core.errors import ContractMismatch, DeclarationError
from ml_assets.lib.core.publication import CheckResult
from ml_assets.lib.core.recipe import Json
from ml_assets.lib.declare.plain import plain
from ml_assets.lib.declare.where import caller

if TYPE_CHECKING:
    import ibis
    import ibis.expr.types as ir
    import pyarrow as pa
    from pandera.ibis import DataFrameModel
    from pyiceberg.schema import Schema as IcebergSchema

Timestamp = Annotated[datetime, "timestamp('UTC', 6)"]
"""A moment: microseconds, UTC."""

Int32 = Annotated[int, "int32"]
"""A whole number of 32 bits; a plain ``int`` has 64."""

_TYPES: Final[Mapping[Any, str]] = MappingProxyType(
    {
        int: "int64",
        Int32: "int32",
        float: "float64",
        str: "string",
        bool: "boolean",
        date: "date",
        Timestamp: "timestamp('UTC', 6)",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a contract.

    Attributes:
        name: Its name.
        type: Its type as Ibis spells it: ``int64``, ``int32``, ``float64``, ``string``, ``boolean``, ``date`` or
            ``timestamp('UTC', 6)``.
        nullable: Whether a null is lawful.
        description: What it means, with its unit.
        constraints: What each value must keep, by pandera's name; values as written.
    """

    name: str
    type: str
    nullable: bool = False
    description: str = ""
    constraints: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Json]:
        """What a table is judged by: everything but the description."""
        return {
            "name": self.name,
            "type": self.type,
            "nullable": self.nullable,
            "constraints": {name: plain(value) for name, value in self.constraints.items()},
        }


@dataclass(frozen=True, slots=True)
class _Field:
    """What `Field` was given, until the class is complete."""

    description: str
    nullable: bool
    unique: bool
    constraints: Mapping[str, Any]


def Field(  # noqa: N802 (spelled as pandera spells it)
    *,
    description: str = "",
    nullable: bool = False,
    unique: bool = False,
    gt: object = None,
    ge: object = None,
    lt: object = None,
    le: object = None,
    isin: object = None,
    str_matches: str | None = None,
) -> Any:
    """Describe one column of a contract.

    Args:
        description: What the column means, with its unit. Required.
        nullable: Whether a null is lawful. Other constraints ask nothing of a null.
        unique: Always refused: pandera does not check it on Ibis tables. Use ``class Config: unique = (…)``.
        gt: Values are greater.
        ge: Values are greater or equal.
        lt: Values are less.
        le: Values are less or equal.
        isin: The values that may occur.
        str_matches: Regular expression that matches from the beginning of each value.
    """
    given = {"gt": gt, "ge": ge, "lt": lt, "le": le, "isin": isin, "str_matches": str_matches}
    constraints = {name: value for name, value in given.items() if value is not None}
    if isin is not None:
        constraints["isin"] = tuple(isin)  # type: ignore[arg-type] # anything iterable; a wrong one fails here, where it is written
    return _Field(description, nullable, unique, constraints)


class Contract:
    """What a table promises: exactly these columns, of these types, with these values, unique in ``Config.unique``.

    Raises:
        DeclarationError: At definition; a column without description or of a type that has no Iceberg counterpart,
            ``Field(unique=True)``, or an unknown name in ``Config``.
        ContractMismatch: At definition; ``Config.unique`` names a column that is not there.
    """

    _columns: ClassVar[tuple[Column, ...]] = ()
    _unique: ClassVar[tuple[str, ...]] = ()
    where: ClassVar[str] = ""
    may_be_empty: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.where = caller(sys._getframe(1))  # noqa: SLF001 (the line of the class statement; inspect would read the file)
        own = get_annotations(cls)
        hints = get_type_hints(cls, include_extras=True) if own else {}
        columns = {column.name: column for column in cls._columns}
        columns |= {name: cls._column(name, hints[name]) for name in own if not name.startswith("_")}
        cls._columns = tuple(columns.values())
        cls._unique = cls._read_config()

    @classmethod
    def _column(cls, name: str, hint: object) -> Column:
        """One written column.

        Raises:
            DeclarationError: It is not complete or asks for something that would not be checked.
        """
        asked = cls.__dict__.get(name)
        if not isinstance(asked, _Field) or not asked.description:
            raise DeclarationError(
                f"{cls.where}: column {name!r} of contract {cls.__name__} has no description",
                remedy=f'write `{name}: … = Field(description="what it means, with its unit")`',
            )
        if asked.unique:
            raise DeclarationError(
                f"{cls.where}: column {name!r} of contract {cls.__name__} says Field(unique=True), "
                "which is never checked on a table",
                remedy=f'write `class Config: unique = ("{name}",)` in {cls.__name__}',
            )
        if hasattr(Contract, name):
            raise DeclarationError(
                f"{cls.where}: column {name!r} of contract {cls.__name__} has the name of something every contract has",
                remedy="choose another column name",
            )
        try:
            spelled = _TYPES[hint]
        except (KeyError, TypeError):
            raise DeclarationError(
                f"{cls.where}: column {name!r} of contract {cls.__name__} has type {hint}, which a table cannot have",
                remedy="use int, Int32, float, str, bool, date or Timestamp; a null is lawful by Field(nullable=True)",
            ) from None
        return Column(
            name=name,
            type=spelled,
            nullable=asked.nullable,
            description=asked.description,
            constraints=asked.constraints,
        )

    @classmethod
    def _read_config(cls) -> tuple[str, ...]:
        """The unique columns.

        Raises:
            DeclarationError: Another name than ``unique`` in ``Config``.
            ContractMismatch: A unique column is not a column.
        """
        config = cls.__dict__.get("Config")
        if config is None:
            return cls._unique
        unknown = sorted(name for name in vars(config) if not name.startswith("__") and name != "unique")
        if unknown:
            raise DeclarationError(
                f"{cls.where}: Config of contract {cls.__name__} says {', '.join(unknown)}, which means nothing here",
                remedy="keep `unique` only: a contract is always strict and never coerces",
            )
        unique = tuple(getattr(config, "unique", ()))
        missing = [name for name in unique if name not in {column.name for column in cls._columns}]
        if missing:
            raise ContractMismatch(
                f"{cls.where}: Config.unique of contract {cls.__name__} names {', '.join(missing)}, which it lacks",
                remedy="add the column or correct the name",
            )
        return unique

    @classmethod
    def columns(cls) -> tuple[Column, ...]:
        """The columns in the order in which they are written."""
        return cls._columns

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in cls._columns)

    @classmethod
    def unique(cls) -> tuple[str, ...]:
        """The columns in which no two rows agree; empty where nothing was said."""
        return cls._unique

    @classmethod
    def of(
        cls, name: str, columns: tuple[Column, ...], *, unique: tuple[str, ...], description: str, where: str
    ) -> type[Self]:
        """A contract that follows from declarations instead of being written."""
        made = cast("type[Self]", new_class(name, (cls,), exec_body=lambda body: body.update(__doc__=description)))
        made._columns, made._unique, made.where = columns, unique, where  # noqa: SLF001 (of this very class)
        return made

    @classmethod
    def ibis_schema(cls) -> ibis.Schema:
        """The columns as an Ibis schema; every column nullable, because nulls are judged, not typed."""
        import ibis

        return ibis.schema({column.name: column.type for column in cls._columns})

    @classmethod
    def arrow_schema(cls) -> pa.Schema:
        """The columns as an Arrow schema; every column nullable, as in `ibis_schema`."""
        import pyarrow as pa

        types = {
            "int64": pa.int64(),
            "int32": pa.int32(),
            "float64": pa.float64(),
            "string": pa.string(),
            "boolean": pa.bool_(),
            "date": pa.date32(),
            "timestamp('UTC', 6)": pa.timestamp("us", tz="UTC"),
        }
        return pa.schema([(column.name, types[column.type]) for column in cls._columns])

    @classmethod
    def iceberg_schema(cls) -> IcebergSchema:
        """The columns as an Iceberg schema with ids from 1 and descriptions as docs.

        No column is required: a null must reach the branch in order to be shown by the audit.
        """
        from pyiceberg import types
        from pyiceberg.schema import Schema

        spelled = {
            "int64": types.LongType(),
            "int32": types.IntegerType(),
            "float64": types.DoubleType(),
            "string": types.StringType(),
            "boolean": types.BooleanType(),
            "date": types.DateType(),
            "timestamp('UTC', 6)": types.TimestamptzType(),
        }
        return Schema(
            *(
                types.NestedField(i, column.name, spelled[column.type], required=False, doc=column.description)
                for i, column in enumerate(cls._columns, start=1)
            )
        )

    @classmethod
    def rules_json(cls) -> Json:
        """What a table is judged by, as JSON: columns, types, nulls, constraints, unique keys; no descriptions."""
        return {"columns": [column.as_json() for column in cls._columns], "unique": list(cls._unique)}

    @classmethod
    def to_pandera(cls) -> type[DataFrameModel]:
        """The same contract as a `pandera.ibis` model: strict, with failure cases capped."""
        from ml_assets.lib.declare.audit import pandera_model

        return pandera_model(cls)

    @classmethod
    def audit(cls, table: ir.Table) -> CheckResult:
        """Judge *table* in its engine; nothing but counts and a few examples leaves it.

        Returns:
            The result of check ``contract``. Rules are ``<column>: <constraint>``, ``<column>: missing``,
            ``<column>: extra``, ``<column>: type``, ``<column>: null``, ``unique(<columns>)`` and ``rows``. Each count
            is the number of failing rows; of ``unique``: of rows beyond the first of their key; of ``rows`` (there is
            none) and of structure: 1. ``rows_failed`` is the sum of the counts, the figure ``rows`` is the number of
            rows.
        """
        from ml_assets.lib.declare.audit import audit

        return audit(cls, table)


class SourceContract(Contract):
    """The contract of a source: raw facts, each with the time it became known."""


class SplitContract(Contract):
    """The contract of a split index; made from the split's declaration, never written."""


class FeatureContract(Contract):
    """The contract of a feature view: keys, ``event_timestamp`` and values; unique in keys and ``event_timestamp``."""

    may_be_empty = True  # of a fact that nobody has seen yet, as on the first day


class FrameContract(Contract):
    """The contract of a frame's spine and of ``split``; the values' columns come from the views' contracts."""
