"""Schemas of tables: the Arrow types that rows have outside, and how a table's schema becomes another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pyarrow as pa
from pyarrow import types
from pyiceberg.exceptions import ResolveError
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema, assign_fresh_schema_ids, promote
from pyiceberg.table import Transaction
from pyiceberg.table.update import (
    AddSchemaUpdate,
    AssertCurrentSchemaId,
    SetCurrentSchemaUpdate,
    UpdatesAndRequirements,
    UpdateTableMetadata,
)
from pyiceberg.types import IcebergType, NestedField

from ml_assets.lib.core.errors import TableError

_FAMILIES: tuple[Callable[[pa.DataType], bool], ...] = (
    types.is_integer,
    types.is_floating,
    types.is_decimal,
    lambda kind: types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind),
    lambda kind: types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind),
    types.is_date,
    types.is_time,
    lambda kind: types.is_timestamp(kind) and kind.tz is None,
    lambda kind: types.is_timestamp(kind) and kind.tz is not None,
    lambda kind: types.is_list(kind) or types.is_large_list(kind),
    types.is_struct,
    types.is_map,
)
"""Types that may be cast into one another where no value changes; not text to number, nor local time to UTC."""


def arrow_schema(schema: Schema, *, field_ids: bool = False) -> pa.Schema:
    """*schema* as rows have it outside of tables: ``string`` and ``binary``, never large; times in microseconds, UTC.

    Args:
        schema: Of a table.
        field_ids: Keep ids and docs in the fields' metadata, as data files need them.
    """
    fields = schema_to_pyarrow(schema, include_field_ids=field_ids)
    small = [field.with_type(_small(field.type)) for field in fields]
    return pa.schema(small if field_ids else [field.remove_metadata() for field in small])


def _small(kind: pa.DataType) -> pa.DataType:
    if types.is_large_string(kind):
        return pa.string()
    if types.is_large_binary(kind):
        return pa.binary()
    if types.is_list(kind) or types.is_large_list(kind):
        return pa.list_(kind.value_field.with_type(_small(kind.value_type)))
    if types.is_struct(kind):
        return pa.struct([field.with_type(_small(field.type)) for field in kind])
    if types.is_map(kind):
        key, item = kind.key_field, kind.item_field
        return pa.map_(key.with_type(_small(key.type)), item.with_type(_small(item.type)))
    return kind


def conform(rows: pa.Table | pa.RecordBatchReader, schema: pa.Schema, *, where: str) -> Iterator[pa.RecordBatch]:
    """The batches of *rows* with exactly *schema*: columns by name, types by a cast that changes no value.

    Args:
        rows: Read once, batch by batch.
        schema: Names, order, types and nullability.
        where: The table, for errors.

    Raises:
        TableError: A column is missing, too many or there twice, a type or value does not fit, or a required column
            holds a null.
    """
    given = rows.schema.names
    if sorted(given) != sorted(schema.names):
        missing, unknown = sorted(set(schema.names) - set(given)), sorted(set(given) - set(schema.names))
        twice = sorted({name for name in given if given.count(name) > 1})
        raise TableError(
            f"{where}: the rows have other columns than the schema: missing {missing}, unknown {unknown}"
            + (f", more than once {twice}" if twice else ""),
            remedy="give exactly the columns of the schema, each once",
        )
    for batch in rows.to_batches() if isinstance(rows, pa.Table) else rows:
        columns = [_conformed(batch.column(field.name), field, where) for field in schema]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _conformed(column: pa.Array, field: pa.Field, where: str) -> pa.Array:
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.type != field.type:
        if not _castable(column.type, field.type):
            raise _does_not_fit(column, field, where, "these types are not cast into one another")
        try:
            column = column.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise _does_not_fit(column, field, where, str(error)) from error
    if not field.nullable and column.null_count:
        raise TableError(
            f"{where}: required column {field.name!r} holds {column.null_count} nulls",
            remedy="fill them, or declare the column nullable",
        )
    return column


def _castable(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether Arrow's safe cast keeps every value or fails. It rounds floats silently, hence no narrower ones."""
    if types.is_floating(given) and types.is_floating(wanted):
        return bool(given.bit_width <= wanted.bit_width)
    return types.is_null(given) or any(family(given) and family(wanted) for family in _FAMILIES)


def _does_not_fit(column: pa.Array, field: pa.Field, where: str, why: str) -> TableError:
    return TableError(
        f"{where}: column {field.name!r} is {column.type} and does not fit {field.type}: {why}",
        remedy="cast it where the rows are made",
    )


def evolved(current: Schema, last_column_id: int, wanted: Schema) -> Schema:
    """*wanted*, with the field ids that make old files readable under it.

    A column keeps its id while its name stays and its type stays or is promoted (int to long, float to double, a wider
    decimal). Otherwise it is a new column under the old name: old values are not read into it.

    Args:
        current: The table's schema.
        last_column_id: The highest id that the table ever gave.
        wanted: Names, order, types, nullability, docs and identifier fields; its ids do not matter.
    """
    ids = count(last_column_id + 1)
    known = {field.name: field for field in current.fields}
    fields = [_evolved(known.get(field.name), field, lambda: next(ids)) for field in wanted.fields]
    keys = wanted.identifier_field_names()
    return Schema(*fields, identifier_field_ids=[field.field_id for field in fields if field.name in keys])


def refuse_loss(current: Schema, wanted: Schema, *, where: str) -> None:
    """Check that rows written under *current* keep every value, and break no promise, under *wanted*.

    Args:
        current: The table's schema.
        wanted: As `evolved` gives it.
        where: The table, for errors.

    Raises:
        TableError: A column would go, or be required of rows that may lack it.
    """
    known = {field.field_id: field for field in current.fields}
    kept = {field.field_id for field in wanted.fields}
    gone = [field.name for number, field in known.items() if number not in kept]
    strict = [
        field.name
        for field in wanted.fields
        if field.required and not (field.field_id in known and known[field.field_id].required)
    ]
    if gone or strict:
        raise TableError(
            f"{where}: the rows that are there would lose the columns {gone} and lack the required ones {strict}",
            remedy="keep the columns of the table with their types, and let new ones be nullable",
        )


def _evolved(known: NestedField | None, wanted: NestedField, fresh_id: Callable[[], int]) -> NestedField:
    kind: IcebergType = wanted.field_type
    if known is not None and _equal(known.field_type, kind):
        return wanted.model_copy(update={"field_id": known.field_id, "field_type": known.field_type})
    if known is not None and _promotes(known.field_type, kind):
        return wanted.model_copy(update={"field_id": known.field_id})
    field_id = fresh_id()
    fresh = kind if kind.is_primitive else assign_fresh_schema_ids(kind, fresh_id)
    return wanted.model_copy(update={"field_id": field_id, "field_type": fresh})


def _equal(one: IcebergType, other: IcebergType) -> bool:
    """Equal but for the ids inside."""
    plain = [schema_to_pyarrow(kind, include_field_ids=False) for kind in (one, other)]
    return bool(plain[0] == plain[1])


def _promotes(old: IcebergType, new: IcebergType) -> bool:
    try:
        promote(old, new)
    except ResolveError:
        return False
    return True


class ReplaceSchema(UpdateTableMetadata["ReplaceSchema"]):
    """Makes *schema* the table's current one, inside a transaction."""

    def __init__(self, transaction: Transaction, schema: Schema) -> None:
        super().__init__(transaction)
        self._schema = schema

    def _commit(self) -> UpdatesAndRequirements:
        metadata = self._transaction.table_metadata
        required = (AssertCurrentSchemaId(current_schema_id=metadata.current_schema_id),)
        for known in metadata.schemas:
            if known == self._schema:
                same = known.schema_id == metadata.current_schema_id
                return ((), ()) if same else ((SetCurrentSchemaUpdate(schema_id=known.schema_id),), required)
        new = self._schema.model_copy(update={"schema_id": 1 + max(known.schema_id for known in metadata.schemas)})
        return (AddSchemaUpdate(schema_=new), SetCurrentSchemaUpdate(schema_id=new.schema_id)), required
