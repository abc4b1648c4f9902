"""Values of a table as JSON, for verdicts and hashes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, time
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.recipe import Json

if TYPE_CHECKING:
    import ibis.expr.types as ir

EXAMPLES: Final = 10
"""Most failing rows that a verdict shows of one rule."""

_LARGEST: Final = 2**53 - 1
"""Beyond it a whole number has no canonical JSON."""


def plain(value: object) -> Json:  # noqa: PLR0911 (one return per kind of value)
    """*value* as JSON: times in ISO 8601; NaN, large numbers, decimals and bytes, which JSON lacks, as text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, tuple | list | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def plain_rows(table: ir.Table, limit: int) -> list[dict[str, Json]]:
    """At most *limit* rows of *table* as JSON: the first by its columns, so that equal tables show equal rows."""
    columns = [name for name, kind in table.schema().items() if not kind.is_nested()]
    rows = table.order_by(columns).limit(limit).to_pyarrow().to_pylist()
    return [{name: plain(value) for name, value in row.items()} for row in rows]
