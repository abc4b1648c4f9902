"""The columns of a contract, as they are written: collected and checked when the class is complete."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from inspect import get_annotations
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, get_origin, get_type_hints

from ml_assets.lib.core.errors import ContractMismatch, DeclarationError, DuplicateName
from ml_assets.lib.core.recipe import Json
from ml_assets.lib.declare.constraints import WrongConstraint, constraints
from ml_assets.lib.declare.plain import plain
from ml_assets.lib.declare.where import caller

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
        constraints: What each value must keep, by pandera's name; values of the column's type, times in UTC.
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
class WrittenField:
    """What `Field` was given, until the class is complete."""

    description: Any
    nullable: Any
    unique: Any
    constraints: Mapping[str, Any]
    where: str


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
        gt: Values are greater. A bound is a value of the column's type; a time has a zone.
        ge: Values are greater or equal.
        lt: Values are less.
        le: Values are less or equal.
        isin: The values that may occur, as a tuple.
        str_matches: Regular expression that matches from the beginning of each value; ``$`` is the end of the value.
            It may have what every engine reads alike; see `ml_assets.lib.declare.pattern`.
    """
    given = {"gt": gt, "ge": ge, "lt": lt, "le": le, "isin": isin, "str_matches": str_matches}
    asked = {name: value for name, value in given.items() if value is not None}
    where = caller(sys._getframe(1))  # noqa: SLF001 (the line of the call; inspect would read the file)
    return WrittenField(description, nullable, unique, asked, where)


_RESERVED: Final = frozenset({
    "Config",
    "_file", "_pos", "_deleted", "_spec_id", "_partition", "_row_id", "_last_updated_sequence_number",
    "_change_type", "_change_ordinal", "_commit_snapshot_id",
})  # fmt: skip
"""Names that a column cannot have: Iceberg's own, and the class that says what is unique."""


def written_columns(contract: type, where: str) -> tuple[Column, ...]:
    """The columns that are written in the class *contract* itself; what they were written as is removed from it.

    Args:
        contract: The class, just made.
        where: ``file:line`` of the class.

    Raises:
        DeclarationError: A column is not complete, or asks for something that no table has or nobody would check.
    """
    fields = {name: value for name, value in vars(contract).items() if isinstance(value, WrittenField)}
    for name in fields:
        if name.startswith("__"):
            continue  # Python may not let go of it; such a column is refused
        delattr(contract, name)  # so that what every contract has is found again under this name
    annotations = get_annotations(contract)
    hints = _hints(contract, where) if annotations else {}
    names = [name for name in annotations if get_origin(hints[name]) is not ClassVar and hints[name] is not ClassVar]
    if untyped := [name for name in fields if name not in names]:
        raise DeclarationError(
            f"{fields[untyped[0]].where}: column {untyped[0]!r} of contract {contract.__name__} has no type",
            remedy=f"write `{untyped[0]}: … = Field(…)`",
        )
    return tuple(_column(contract, name, hints[name], fields.get(name), where) for name in names)


def _hints(contract: type, where: str) -> dict[str, Any]:
    try:
        return get_type_hints(contract, include_extras=True)
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise DeclarationError(
            f"{where}: the types of contract {contract.__name__} cannot be read: {error}",
            remedy="import the names that its types use, outside of `if TYPE_CHECKING`",
        ) from error


def _column(contract: type, name: str, hint: object, asked: WrittenField | None, where: str) -> Column:
    """One written column.

    Raises:
        DeclarationError: It is not complete or asks for something that would not be checked.
    """
    where = where if asked is None else asked.where
    what = f"{where}: column {name!r} of contract {contract.__name__}"
    if name in _RESERVED or name.startswith(("__", f"_{contract.__name__.lstrip('_')}__")):
        raise DeclarationError(
            f"{what} has a name that is taken by Python, Iceberg or this project", remedy="choose another column name"
        )
    if asked is None or not asked.description:
        raise DeclarationError(
            f"{what} has no description",
            remedy=f'write `{name}: … = Field(description="what it means, with its unit")`',
        )
    for argument, kind in (("description", str), ("nullable", bool), ("unique", bool)):
        if not isinstance(given := getattr(asked, argument), kind):
            raise DeclarationError(
                f"{what} has {argument}={given!r}, which is no {kind.__name__}", remedy=f"give a {kind.__name__}"
            )
    if asked.unique:
        raise DeclarationError(
            f"{what} says Field(unique=True), which is never checked on a table",
            remedy=f'write `class Config: unique = ("{name}",)` in {contract.__name__}',
        )
    try:
        spelled = _TYPES[hint]
    except (KeyError, TypeError):
        raise DeclarationError(
            f"{what} has type {hint}, which a table cannot have",
            remedy="use int, Int32, float, str, bool, date or Timestamp; a null is lawful by Field(nullable=True)",
        ) from None
    try:
        kept = constraints(spelled, asked.constraints)
    except WrongConstraint as error:
        raise DeclarationError(f"{what} {error.problem}", remedy=error.remedy) from None
    return Column(name=name, type=spelled, nullable=asked.nullable, description=asked.description, constraints=kept)


def written_unique(
    contract: type, where: str, columns: Sequence[Column], inherited: tuple[str, ...]
) -> tuple[str, ...]:
    """The columns in which no two rows of *contract* agree; *inherited* where it says nothing.

    Raises:
        DeclarationError: Another name than ``unique`` in ``Config``, or something else than a tuple of texts in it.
        DuplicateName: Columns that differ in case only, or a unique column that is named twice.
        ContractMismatch: A unique column is not a column, or nullable.
    """
    if alike := same_but_for_case(column.name for column in columns):
        raise DuplicateName(
            f"{where}: columns {' and '.join(map(repr, alike))} of contract {contract.__name__} differ in case only, "
            "which no engine tells apart",
            remedy="rename one of them",
        )
    config = vars(contract).get("Config")
    what = f"{where}: Config of contract {contract.__name__}"
    if config is not None:
        unknown = sorted(name for name in vars(config) if not name.startswith("__") and name != "unique")
        if unknown:
            raise DeclarationError(
                f"{what} says {', '.join(unknown)}, which means nothing here",
                remedy="keep `unique` only: a contract is always strict and never coerces",
            )
    unique = inherited if config is None else getattr(config, "unique", ())
    if not isinstance(unique, tuple | list) or not all(isinstance(name, str) for name in unique):
        raise DeclarationError(
            f"{what} says unique = {unique!r}, which is no tuple of column names",
            remedy=f"write `unique = ({unique!r},)`" if isinstance(unique, str) else "write `unique = ('id',)`",
        )
    _require_keys(contract, where, columns, unique)
    return tuple(unique)


def _require_keys(contract: type, where: str, columns: Sequence[Column], unique: Sequence[str]) -> None:
    """Refuse unique columns that are not there, named twice, or nullable."""
    what = f"{where}: Config.unique of contract {contract.__name__} names"
    nullable = {column.name: column.nullable for column in columns}
    if twice := sorted({name for name in unique if list(unique).count(name) > 1}):
        raise DuplicateName(f"{what} {', '.join(twice)} twice", remedy="name each column once")
    if missing := [name for name in unique if name not in nullable]:
        raise ContractMismatch(
            f"{what} {', '.join(missing)}, which it lacks", remedy="add the column or correct the name"
        )
    if lax := [name for name in unique if nullable[name]]:
        raise ContractMismatch(
            f"{what} {', '.join(lax)}, which may be null", remedy="leave out nullable=True: a key is never null"
        )


def same_but_for_case(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two of *names* that differ in case only."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            return other, name
    return None
