"""Partitioned tables: the spec, and rows told apart by it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.partitioning import (
    PARTITION_FIELD_ID_START,
    PartitionField,
    PartitionFieldValue,
    PartitionKey,
    PartitionSpec,
)
from pyiceberg.schema import Schema
from pyiceberg.table import Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import (
    AddPartitionSpecUpdate,
    AssertLastAssignedPartitionId,
    SetDefaultSpecUpdate,
    UpdatesAndRequirements,
    UpdateTableMetadata,
)
from pyiceberg.transforms import parse_transform

from ml_assets.lib.core.errors import TableError
from ml_assets.lib.core.partitioning import PartitionField as Spelled
from ml_assets.lib.core.partitioning import partition_fields

IDENTITY: Final = "identity"


class ReplaceSpec(UpdateTableMetadata["ReplaceSpec"]):
    """Makes files that are written from now on be parted by *partition_by*, inside a transaction.

    Args:
        transaction: In which the table has its schema already.
        partition_by: Columns, or periods of times, as in ``month(at)``.
        where: The table, for errors.

    Raises:
        TableError: They are not columns of the table, or not of a type that can be parted so.
    """

    def __init__(self, transaction: Transaction, partition_by: Sequence[str], *, where: str) -> None:
        super().__init__(transaction)
        metadata = transaction.table_metadata
        try:
            fields = partition_fields(partition_by)
        except ValueError as error:
            raise TableError(f"{where} cannot be partitioned: {error}", remedy="correct partition_by") from error
        self._wanted = [_field(spelled, metadata.schema(), where) for spelled in fields]

    def _commit(self) -> UpdatesAndRequirements:
        metadata = self._transaction.table_metadata
        fields = tuple(_numbered(self._wanted, metadata))
        for known in metadata.partition_specs:
            if known.fields == fields:
                same = known.spec_id == metadata.default_spec_id
                return ((), ()) if same else ((SetDefaultSpecUpdate(spec_id=known.spec_id),), ())
        spec = PartitionSpec(*fields, spec_id=1 + max(known.spec_id for known in metadata.partition_specs))
        required = (AssertLastAssignedPartitionId(last_assigned_partition_id=metadata.last_partition_id),)
        return (AddPartitionSpecUpdate(spec=spec), SetDefaultSpecUpdate(spec_id=spec.spec_id)), required


def _field(spelled: Spelled, schema: Schema, where: str) -> PartitionField:
    """The field of a spec, without a number."""
    if spelled.column not in schema.column_names:
        raise TableError(
            f"{where} cannot be partitioned by {spelled}: it has no such column", remedy=f"use {schema.column_names}"
        )
    source = schema.find_field(spelled.column)
    transform = parse_transform(spelled.period or IDENTITY)
    if not transform.can_transform(source.field_type):
        raise TableError(
            f"{where} cannot be partitioned by {spelled}: {spelled.column} is {source.field_type}",
            remedy="use a period of a time, or the value of a column that has few",
        )
    return PartitionField(source_id=source.field_id, field_id=0, transform=transform, name=spelled.name)


def _numbered(wanted: Sequence[PartitionField], metadata: TableMetadata) -> Iterator[PartitionField]:
    """The fields, each with the number it ever had, or a new one."""
    ever = [field for spec in metadata.partition_specs for field in spec.fields]
    known = {(field.source_id, str(field.transform), field.name): field.field_id for field in ever}
    last = metadata.last_partition_id or PARTITION_FIELD_ID_START - 1
    for field in wanted:
        number = known.get((field.source_id, str(field.transform), field.name))
        if number is None:
            number = last = last + 1
        yield PartitionField(field.source_id, number, field.transform, field.name)


def refuse_lost_partitions(spec: PartitionSpec, wanted: Schema, *, where: str) -> None:
    """Check that the columns that files are parted by stay: the files that go are recorded by their values once more.

    Raises:
        TableError: One goes, or becomes another column under its name.
    """
    kept = {field.field_id for field in wanted.fields}
    if gone := [field.name for field in spec.fields if field.source_id not in kept]:
        raise TableError(
            f"{where} is partitioned by {gone}, whose columns would go or get another type",
            remedy="publish it once with another partition_by, then change the columns",
        )


Values = tuple[Any, ...]
"""What the rows of one partition have in common, one value for each field of the spec."""


def partition_key(values: Values, spec: PartitionSpec, schema: Schema) -> PartitionKey:
    """The partition as PyIceberg records it, and names folders by it."""
    pairs = zip(spec.fields, values, strict=True)
    return PartitionKey([PartitionFieldValue(field, value) for field, value in pairs], spec, schema)


def parted(rows: pa.Table, spec: PartitionSpec, schema: Schema) -> Iterator[tuple[Values, pa.Table]]:
    """The rows of each partition that there is among *rows*, copied, in their order."""
    if not rows.num_rows:
        return
    keys = [_values(rows, field, schema).combine_chunks() for field in spec.fields]
    codes = [np.asarray(pc.dictionary_encode(key, null_encoding="encode").indices) for key in keys]
    order = np.lexsort(codes)  # stable
    differs = np.any([code[order][1:] != code[order][:-1] for code in codes], axis=0)
    starts = np.flatnonzero(np.concatenate([[True], differs]))
    whole = rows.combine_chunks()
    for start, end in pairwise([*starts, rows.num_rows]):
        yield tuple(key[order[start]].as_py() for key in keys), whole.take(order[start:end])


def _values(rows: pa.Table, field: PartitionField, schema: Schema) -> pa.ChunkedArray:
    """What the field's transform gives; PyIceberg's own transforms of Arrow need a library of their own."""
    values: pa.ChunkedArray = rows.column(schema.find_field(field.source_id).name)
    return _SINCE_1970.get(str(field.transform), lambda column: column)(values)


def _months(times: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.add(pc.multiply(_years(times), 12), pc.subtract(pc.month(times), 1))


def _years(times: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.subtract(pc.year(times), 1970)


def _days(times: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.floor_temporal(times, unit="day").cast(pa.date32()).cast(pa.int32())


def _hours(times: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.divide(pc.floor_temporal(times, unit="hour").cast(pa.int64()), 3_600_000_000)


_SINCE_1970: Final = {"year": _years, "month": _months, "day": _days, "hour": _hours}
"""Iceberg counts periods from 1970 on, in UTC, negative ones too."""
