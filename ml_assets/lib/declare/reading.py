"""For the functions of sources: read a CSV file strictly, and give rows the exact columns and types of a contract.

Nothing is guessed and nothing is lost without a word: what a column cannot hold as it is, is an error that names it.
pandas and Arrow are imported by the first call.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from ml_assets.lib.declare.fitting import as_table

if TYPE_CHECKING:  # heavy: the code location loads without them
    import pandas as pd

__all__ = ["as_table", "read_csv"]

_NULL: Final = "NA"
_EXACT: Final = 2**53
"""Whole numbers beyond this are not exact as floating-point numbers, through which pandas may lead them."""

_TYPES: Final = {
    "str": "text",
    "Int64": "a whole number of 64 bits, written without a point",
    "float64": "a number",
    "boolean": "true or false",
}
"""What a column may be read as, and how a person calls it."""

_LONGEST_CELL: Final = 2**31 - 1

_OPENERS: Final[Mapping[str, Callable[[Path], Any]]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def read_csv(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """The *columns* of a CSV file in UTF-8, or of a zip, gz, bz2 or xz with one. Only the text ``NA`` is null.

    Whole numbers are ``Int64`` whatever width their column will have; among numbers an empty cell is null, too.

    Args:
        path: The file. Its first line names the columns, each once, and every line has as many fields.
        columns: Name and type of each column to read: ``str``, ``Int64``, ``float64`` or ``boolean``.

    Raises:
        TypeError: A type that is none of these.
        ValueError: The file is empty or no CSV, lacks a column or has one twice, a line has too few or too many
            fields, or a cell is not of its column's type; with the file and, where there is one, line and column.
    """
    import pandas as pd

    if unknown := sorted({*columns.values()} - {*_TYPES}):
        raise TypeError(f"read_csv cannot read columns as {', '.join(unknown)}: choose of {', '.join(_TYPES)}")
    types: dict[Any, str] = dict(columns)
    nulls = {name: [_NULL] if kind == "str" else [_NULL, ""] for name, kind in columns.items()}
    csv.field_size_limit(_LONGEST_CELL)
    try:
        _check_lines(path, columns)
        frame = pd.read_csv(
            path, usecols=list(columns), dtype=types, index_col=False, keep_default_na=False, na_values=nulls
        )
    except (ValueError, TypeError, OverflowError) as error:
        where = _wrong_cell(path, columns) if not isinstance(error, _BrokenLines | UnicodeError) else None
        raise ValueError(f"{path.name} cannot be read: {where or error}") from error
    except (csv.Error, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    if _may_be_rounded(frame) and (where := _wrong_cell(path, columns, exact=True)):
        raise ValueError(f"{path.name} cannot be read: {where}")
    return frame


class _BrokenLines(ValueError):
    """The lines do not fit the header."""


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    """The text of the file, without a byte order mark."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            if len(names) != 1:
                raise _BrokenLines(f"a zip must have one file, this one has {len(names)}: {', '.join(names[:5])}")
            with archive.open(names[0]) as file:
                yield io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    else:
        with _OPENERS.get(path.suffix.lower(), partial(open, mode="rb"))(path) as file:
            yield io.TextIOWrapper(file, encoding="utf-8-sig", newline="")


def _records(text: TextIO) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line on which it ends; blank lines are none."""
    reader = csv.reader(text, strict=True)
    for record in reader:
        if len(record) > 1 or (record and record[0].strip()):
            yield reader.line_num, record


def _check_lines(path: Path, columns: Mapping[str, str]) -> None:
    """The header has every column once, and every line has as many fields as the header.

    Raises:
        ValueError: They do not.
    """
    with _text(path) as text:
        records = _records(text)
        _, header = next(records, (0, []))
        if not header:
            raise _BrokenLines("it is empty; a header is expected")
        if twice := [name for name, times in Counter(header).items() if times > 1 and name.strip()]:
            raise _BrokenLines(f"its header has column {', '.join(map(repr, twice))} more than once")
        if missing := [name for name in columns if name not in header]:
            raise _BrokenLines(
                f"it has no column {', '.join(map(repr, missing))}; its header is {', '.join(header[:20])!r}"
            )
        width = len(header)
        for line, record in records:
            if len(record) != width:
                raise _BrokenLines(f"line {line} has {len(record)} fields, its header has {width}")


def _may_be_rounded(frame: pd.DataFrame) -> bool:
    """Whether pandas may have read a number as another one: a large whole number, or one beyond all floats."""
    for column in map(frame.__getitem__, frame.columns):
        if str(column.dtype) == "Int64" and bool((column.ge(_EXACT) | column.le(-_EXACT)).any()):
            return True
        if str(column.dtype) == "float64" and bool(column.isin((float("inf"), float("-inf"))).any()):
            return True
    return False


def _wrong_cell(path: Path, columns: Mapping[str, str], *, exact: bool = False) -> str | None:
    """The first cell that is not of its column's type, as a person reads it.

    With *exact*, a whole number must be written without a point: one that is makes pandas read the whole column as
    floats, which round large numbers.
    """
    with _text(path) as text:
        records = _records(text)
        _, header = next(records)
        places = [(header.index(name), name, kind) for name, kind in columns.items() if kind != "str"]
        for line, record in records:
            for place, name, kind in places:
                cell = record[place].strip()
                if cell not in ("", _NULL) and not _is_of(cell, kind, exact=exact):
                    return f"line {line}, column {name!r}: {cell[:40]!r} is not {_TYPES[kind]}"
    return None


def _is_of(cell: str, kind: str, *, exact: bool) -> bool:
    """Whether *cell* can be read as *kind* without being changed."""
    if kind == "boolean":
        return cell.lower() in {"true", "false", "1", "0", "1.0", "0.0"}
    if kind == "Int64":
        whole = re.fullmatch(r"([+-]?\d+)(\.0*)?", cell, re.ASCII)
        return whole is not None and -(2**63) <= int(whole[1]) < 2**63 and not (exact and whole[2])
    try:
        number = float(cell)
    except ValueError:
        return False
    return "_" not in cell and (abs(number) != float("inf") or "inf" in cell.lower())
