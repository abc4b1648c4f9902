"""Contracts: the only place where the columns of a table are spelled. Schemas, docs, checks and signatures follow.

A contract is written like a pandera model and *is* one where it matters: `Contract.to_pandera` gives the `pandera.ibis`
model, and `Contract.audit` judges with pandera's checks. The class itself only collects what was written, because
importing pandera costs more than importing Dagster, and every load of the code location would pay it.
"""

from __future__ import annotations

import sys
from types import new_class
from typing import TYPE_CHECKING, ClassVar, Self, cast

from ml_assets.lib.core.publication import CheckResult
from ml_assets.lib.core.recipe import Json
from ml_assets.lib.declare.columns import Column, written_columns, written_unique
from ml_assets.lib.declare.where import caller

if TYPE_CHECKING:
    import ibis
    import ibis.expr.types as ir
    import pyarrow as pa
    from pandera.ibis import DataFrameModel
    from pyiceberg.schema import Schema as IcebergSchema


class Contract:
    """What a table promises: exactly these columns, of these types, with these values, unique in ``Config.unique``.

    Every annotation is a column, also one whose name begins with ``_``. No column takes the place of anything that a
    contract has: what was written is collected, and removed from the class.

    Raises:
        DeclarationError: At definition; a column without description or type, of a type that has no Iceberg
            counterpart, of a name that a table cannot have, with a constraint that does not fit its type,
            ``Field(unique=True)``, or an unknown name in ``Config``.
        DuplicateName: At definition; two columns whose names differ in case only.
        ContractMismatch: At definition; ``Config.unique`` names a column that is not there or nullable.
    """

    _columns: ClassVar[tuple[Column, ...]] = ()
    _unique: ClassVar[tuple[str, ...]] = ()
    where: ClassVar[str] = ""
    may_be_empty: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        where = caller(sys._getframe(1))  # noqa: SLF001 (the line of the class statement; inspect would read the file)
        own = written_columns(cls, where)
        inherited = [base for base in cls.__bases__ if issubclass(base, Contract)]
        columns = {column.name: column for base in reversed(inherited) for column in base.columns()}
        columns |= {column.name: column for column in own}
        cls.where, cls._columns = where, tuple(columns.values())
        keys = next((base.unique() for base in inherited if base.unique()), ())
        cls._unique = written_unique(cls, where, cls._columns, keys)

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
