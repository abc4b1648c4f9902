"""How the files of a table are parted, as declarations spell it: ``carrier``, or a period of a time, ``month(at)``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

PERIODS: Final = ("year", "month", "day", "hour")
"""Of a time, in UTC."""
_SPELLED: Final = re.compile(rf"(?:({'|'.join(PERIODS)})\((\w+)\)|(\w+))")


@dataclass(frozen=True, slots=True)
class PartitionField:
    """Rows that are equal in this lie in the same files.

    Attributes:
        column: The column.
        period: ``year``, ``month``, ``day`` or ``hour`` of it; ``None`` means its value.
    """

    column: str
    period: str | None = None

    def __str__(self) -> str:
        return self.column if self.period is None else f"{self.period}({self.column})"

    @property
    def name(self) -> str:
        """Name of the field in Iceberg's partition spec: ``carrier``, ``at_month``."""
        return self.column if self.period is None else f"{self.column}_{self.period}"


def partition_fields(partition_by: Sequence[str]) -> tuple[PartitionField, ...]:
    """What *partition_by* spells.

    Raises:
        ValueError: It is no column and no period of one, or a column is there twice.
    """
    fields = []
    for text in partition_by:
        found = _SPELLED.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no column and no period of one, as in 'month(at)'")
        fields.append(PartitionField(found[3]) if found[3] else PartitionField(found[2], found[1]))
    columns = [field.column for field in fields]
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise ValueError(f"{', '.join(twice)} is there twice")
    return tuple(fields)
