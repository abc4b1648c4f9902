"""Rows of pandas, Arrow, Polars or DuckDB as an Arrow table with exactly the columns and types of a contract."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # heavy: the code location loads without them
    import pandas as pd
    import pyarrow as pa

    from ml_assets.lib.declare.contracts import Contract

_EXACT: Final = 2**53
"""Beyond it, not every whole number is a float."""


def as_table(rows: Any, contract: type[Contract]) -> pa.Table:
    """*rows* with exactly the columns and types of *contract*; columns that it has not are left out.

    Every value stays what it is: whole numbers may become another width that holds them, times another zone or
    resolution that says the same moment. Of pandas, NaN becomes null.

    Args:
        rows: A pandas ``DataFrame``, an Arrow table or record batch, or what gives Arrow data (Polars, DuckDB).
        contract: The contract of the source.

    Raises:
        TypeError: *rows* are none of these.
        ValueError: A column is missing or there twice, is of another type, is a time without a zone, or has a value
            that its type cannot hold; with the column and, where there is one, the row, counted from 0.
    """
    import pyarrow as pa

    column_of, names = _columns_of(rows)
    schema = contract.arrow_schema()
    if missing := [name for name in schema.names if name not in names]:
        raise ValueError(
            f"{contract.__name__} has column {', '.join(map(repr, missing))}, which the rows lack; "
            f"they have {', '.join(map(repr, names)) or 'no column'}{_in_index(rows, missing)}"
        )
    if twice := [name for name in schema.names if names.count(name) > 1]:
        raise ValueError(f"the rows have column {', '.join(map(repr, twice))} more than once")
    return pa.table([_column(column_of(field.name), field) for field in schema], schema=schema)


def _columns_of(rows: Any) -> tuple[Callable[[str], Any], list[str]]:
    """How to get a column of *rows* by its name, and all names.

    Raises:
        TypeError: They are no rows.
    """
    import pandas as pd
    import pyarrow as pa

    if isinstance(rows, pd.DataFrame):
        return rows.__getitem__, [str(name) for name in rows.columns]
    if not isinstance(rows, pa.Table):
        if isinstance(rows, pd.Series) or (
            not hasattr(rows, "__arrow_c_stream__") and not isinstance(rows, pa.RecordBatch)
        ):
            raise TypeError(
                f"as_table takes a pandas DataFrame, an Arrow table or what gives Arrow data, not {type(rows).__name__}"
            )
        rows = pa.table(rows)
    return rows.column, rows.column_names


def _in_index(rows: Any, missing: list[str]) -> str:
    """A hint where pandas has the column in its index."""
    found = [name for name in getattr(getattr(rows, "index", None), "names", []) if name in missing]
    return f" ({', '.join(map(repr, found))} is in the index: use reset_index())" if found else ""


def _column(values: Any, field: pa.Field) -> pa.ChunkedArray:
    """*values* in the type of *field*.

    Raises:
        ValueError: They do not fit.
    """
    try:
        return _fitted(values, field.type)
    except (ValueError, TypeError, OverflowError) as error:
        row, why = _first_wrong(values, field.type, error)
        place = "" if row is None else f", row {row} ({str(_item(values, row))[:40]!r})"
        raise ValueError(f"column {field.name!r}{place}: {why}") from error


def _first_wrong(values: Any, wanted: pa.DataType, error: Exception) -> tuple[int | None, Exception]:
    """The first row that does not fit by itself, found by halving, and why; none where only all together do not."""
    start, end = 0, len(values)
    while end - start > 1:
        middle = (start + end) // 2
        for low, high in ((start, middle), (middle, end)):
            try:
                _fitted(_part(values, low, high), wanted)
            except (ValueError, TypeError, OverflowError) as found:
                start, end, error = low, high, found
                break
        else:
            return None, error
    return (start, error) if end > start else (None, error)


def _part(values: Any, start: int, end: int) -> Any:
    return values.iloc[start:end] if hasattr(values, "iloc") else values.slice(start, end - start)


def _item(values: Any, row: int) -> Any:
    return values.iloc[row] if hasattr(values, "iloc") else values[row].as_py()


def _fitted(values: Any, wanted: pa.DataType) -> pa.ChunkedArray:
    """*values* as *wanted*, if that changes none.

    Raises:
        ValueError: It would; ``pyarrow.ArrowInvalid`` is one.
        TypeError: pandas' objects are of several types.
    """
    import pyarrow as pa

    found = values if isinstance(values, pa.ChunkedArray) else _of_pandas(values, wanted)
    if pa.types.is_dictionary(found.type):
        found = found.cast(found.type.value_type)
    if pa.types.is_null(found.type) or found.type == wanted:
        return found.cast(wanted)
    if not _may_become(found.type, wanted):
        raise ValueError(_mismatch(found.type, wanted))
    fitted = found.cast(wanted)
    _check_kept(found, fitted)
    return fitted


def _check_kept(found: pa.ChunkedArray, fitted: pa.ChunkedArray) -> None:
    """What Arrow's cast does not check: hours of a day, and whole numbers that came as floats and may be rounded.

    Raises:
        ValueError: Something was lost.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(found.type) and pa.types.is_date(fitted.type) and fitted.cast(found.type) != found:
        raise ValueError("a time of day, which a date cannot hold")
    if pa.types.is_floating(found.type) and pa.types.is_integer(fitted.type):
        largest = pc.max(pc.abs_checked(found)).as_py()
        if largest is not None and largest > _EXACT:
            raise ValueError("a whole number beyond 2**53 that came as a float, which may be rounded; read it as Int64")


def _of_pandas(values: pd.Series[Any], wanted: pa.DataType) -> pa.ChunkedArray:
    """A column of pandas, its type inferred by Arrow; NaN is null.

    Raises:
        ValueError: Among its objects is a time without a zone, which Arrow takes as UTC beside others that have one.
    """
    import pandas as pd
    import pyarrow as pa

    if values.dtype == object and pa.types.is_timestamp(wanted):
        for value in values:
            if isinstance(value, datetime) and value.tzinfo is None and not pd.isna(value):
                raise ValueError(_NAIVE)
    array = pa.array(values, from_pandas=True)
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _may_become(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values of type *found* mean something as *wanted*; whether each fits, the cast tells."""
    from pyarrow import types

    if types.is_timestamp(wanted):
        return bool(types.is_timestamp(found) and found.tz is not None)
    if types.is_integer(wanted) or types.is_floating(wanted):
        return bool(types.is_integer(found) or types.is_floating(found))
    if types.is_string(wanted):
        return bool(types.is_string(found) or types.is_large_string(found) or types.is_string_view(found))
    naive = types.is_timestamp(found) and found.tz is None
    return bool(types.is_date32(wanted) and (types.is_date(found) or naive))


_NAIVE = (
    "a time without a zone, which is no moment; give its zone, as in dt.tz_localize('America/New_York'), "
    "or 'UTC' if that is what it is"
)


def _mismatch(found: pa.DataType, wanted: pa.DataType) -> str:
    """Why a type cannot become another."""
    from pyarrow import types

    if types.is_timestamp(wanted) and types.is_timestamp(found):
        return _NAIVE
    return f"{found} does not become {wanted}; convert it where the file is read"
