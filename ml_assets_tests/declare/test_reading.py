"""Reading files for a source: what is right stays right, and what cannot be held is told, never changed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ml_assets.lib.declare import Field, Int32, SourceContract, Timestamp, as_table, read_csv

TYPES = {"key": "str", "number": "Int64", "share": "float64"}
HEADER = "key,number,share\n"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Facts(SourceContract):
    """One column of each type."""

    key: str = Field(description="Text.", nullable=True)
    number: int = Field(description="Whole.", nullable=True)
    small: Int32 = Field(description="Whole, of 32 bits.", nullable=True)
    share: float = Field(description="Real.", nullable=True)
    flag: bool = Field(description="Boolean.", nullable=True)
    day: date = Field(description="Date.", nullable=True)
    at: Timestamp = Field(description="Moment.", nullable=True)


GOOD: dict[str, Any] = {
    "key": "a",
    "number": 1,
    "small": 2,
    "share": 0.5,
    "flag": True,
    "day": date(2026, 1, 1),
    "at": NOON,
}


def written(folder: Path, content: str | bytes, name: str = "facts.csv") -> Path:
    """A file."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def zipped(folder: Path, **files: str) -> Path:
    """A zip of *files*."""
    path = folder / "facts.csv.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.csv", content)
    return path


RIGHT: dict[str, tuple[str | bytes, list[tuple[Any, ...]]]] = {
    "plain": (f"{HEADER}a,1,0.5\nb,NA,NA\n", [("a", 1, 0.5), ("b", None, None)]),
    "byte order mark": (f"\ufeff{HEADER}a,1,0.5\n", [("a", 1, 0.5)]),
    "windows lines": (f"{HEADER}a,1,0.5\n".replace("\n", "\r\n"), [("a", 1, 0.5)]),
    "quoted newline and comma": (f'{HEADER}"a\nb, ""c""",1,0.5\n', [('a\nb, "c"', 1, 0.5)]),
    "trailing comma everywhere": ("key,number,share,\na,1,0.5,\n", [("a", 1, 0.5)]),
    "other columns, other order": ("x,share,number,key\n9,0.5,1,a\n", [("a", 1, 0.5)]),
    "blank lines": (f"\n{HEADER}\na,1,0.5\n   \nb,2,1\n\n", [("a", 1, 0.5), ("b", 2, 1.0)]),
    "no rows": (HEADER, []),
    "no last newline": (f"{HEADER}a,1,0.5", [("a", 1, 0.5)]),
    "texts that look like nulls": (
        f"{HEADER}null,1,0.5\n,2,1\nnan,3,1\n",
        [("null", 1, 0.5), ("", 2, 1), ("nan", 3, 1)],
    ),
    "empty numbers": (f"{HEADER}a,,\n", [("a", None, None)]),
    "whole numbers with a point": (f"{HEADER}a,1.0,1\nb,NA,1\n", [("a", 1, 1.0), ("b", None, 1.0)]),
    "text that looks like a number": (f"{HEADER}007,1,1e3\n", [("007", 1, 1000.0)]),
    "large whole numbers": (f"{HEADER}a,{2**63 - 1},1\nb,{2**53 + 1},1\n", [("a", 2**63 - 1, 1), ("b", 2**53 + 1, 1)]),
    "large and null": (f"{HEADER}a,{2**53 + 1},1\nb,NA,1\n", [("a", 2**53 + 1, 1), ("b", None, 1)]),
    "infinite where it says so": (f"{HEADER}a,1,inf\n", [("a", 1, float("inf"))]),
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_is_right_is_read(tmp_path: Path, case: str) -> None:
    """The rows of the file, and nothing else."""
    content, rows = RIGHT[case]
    frame = read_csv(written(tmp_path, content), TYPES)[list(TYPES)].astype(object)
    assert [tuple(None if pd.isna(cell) else cell for cell in row) for row in frame.itertuples(index=False)] == rows


@pytest.mark.parametrize(("suffix", "packed"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_a_compressed_file_is_read(tmp_path: Path, suffix: str, packed: Callable[[bytes], bytes]) -> None:
    """By its name, with the same checks; half of it is refused by name."""
    content = packed(f"{HEADER}a,1,0.5\n".encode())
    assert len(read_csv(written(tmp_path, content, f"facts.csv.{suffix}"), TYPES)) == 1
    with pytest.raises(ValueError, match=r"facts\.csv\.\w+ cannot be read: "):
        read_csv(written(tmp_path, content[:-9], f"facts.csv.{suffix}"), TYPES)
    with pytest.raises(ValueError, match=r"facts\.csv\.\w+ cannot be read: "):
        read_csv(written(tmp_path, b"no archive", f"facts.csv.{suffix}"), TYPES)
    with pytest.raises(ValueError, match="more than once"):
        read_csv(written(tmp_path, packed(b"key,key,number,share\n"), f"facts.csv.{suffix}"), TYPES)


WRONG: dict[str, tuple[str | bytes, str]] = {
    "a column twice": ("key,share,number,share\na,1,2,3\n", "has column 'share' more than once"),
    "another column twice": ("key,x,number,x,share\na,1,2,3,4\n", "has column 'x' more than once"),
    "short line": (f"{HEADER}a,1,0.5\nb,2\n", "line 3 has 2 fields, its header has 3"),
    "short line after a quoted newline": (f'{HEADER}"a\nb",1,0.5\nb,2\n', "line 4 has 2 fields"),
    "long line": (f"{HEADER}a,1,0.5,9\n", "line 2 has 4 fields, its header has 3"),
    "trailing comma in one line": (f"{HEADER}a,1,0.5\na,1,0.5,\n", "line 3 has 4 fields"),
    "trailing comma in all lines but the header": (f"{HEADER}a,1,0.5,\n", "line 2 has 4 fields"),
    "semicolons": (
        "key;number;share\na;1;0,5\n",
        "no column 'key', 'number', 'share'; its header is 'key;number;share'",
    ),
    "unknown column": ("key,number\na,1\n", "it has no column 'share'"),
    "empty": ("", "it is empty"),
    "blank": ("\n\n", "it is empty"),
    "text among whole numbers": (f"{HEADER}a,1,1\nb,x,1\n", "line 3, column 'number': 'x' is not a whole number"),
    "fraction": (f"{HEADER}a,1.5,1\n", "line 2, column 'number': '1.5' is not a whole number"),
    "beyond 64 bits": (f"{HEADER}a,{2**63},1\n", "line 2, column 'number': '9223372036854775808'"),
    "large beside a point": (f"{HEADER}a,1.0,1\nb,{2**53 + 1}.0,1\n", "line 2, column 'number'"),
    "text among numbers": (f"{HEADER}a,1,0.5\nb,2,abc\n", "line 3, column 'share': 'abc' is not a number"),
    "beyond all floats": (f"{HEADER}a,1,1e999\n", "line 2, column 'share': '1e999' is not a number"),
    "latin-1": (f"{HEADER}Zürich,1,1\n".encode("latin-1"), "can't decode byte"),
    "UTF-16": (f"{HEADER}a,1,1\n".encode("utf-16"), "can't decode byte"),
    "gzip under a csv name": (gzip.compress(HEADER.encode()), "can't decode byte"),
    "open quote": (f'{HEADER}"a,1,0.5\n', "unexpected end of data"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, case: str) -> None:
    """File, line and column; no row is lost, moved or invented."""
    content, told = WRONG[case]
    with pytest.raises(ValueError, match=r"^facts\.csv cannot be read: ") as error:
        read_csv(written(tmp_path, content), TYPES)
    assert told in str(error.value)


def test_large_whole_numbers_are_not_rounded(tmp_path: Path) -> None:
    """Pandas leads a column with a point in it through floats: refused where that loses something."""
    path = written(tmp_path, f"{HEADER}a,1.0,1\nb,{2**53 + 1},1\n")
    try:
        read = read_csv(path, TYPES)["number"].tolist()
    except ValueError:
        return
    assert read == [1, 2**53 + 1]


def test_a_zip_has_one_file(tmp_path: Path) -> None:
    """Which of several is meant, nobody knows."""
    assert len(read_csv(zipped(tmp_path, facts=f"{HEADER}a,1,0.5\n"), TYPES)) == 1
    for files in ({}, {"one": HEADER, "two": HEADER}):
        with pytest.raises(ValueError, match=rf"facts\.csv\.zip cannot be read: .*this one has {len(files)}"):
            read_csv(zipped(tmp_path, **files), TYPES)


def test_a_type_that_wraps_is_not_taken(tmp_path: Path) -> None:
    """Pandas' int32 makes other numbers of those that it cannot hold."""
    with pytest.raises(TypeError, match="choose of str, Int64, float64, boolean"):
        read_csv(written(tmp_path, HEADER), {"number": "int32"})


def test_a_long_cell_is_read(tmp_path: Path) -> None:
    """The csv module's own limit is not ours."""
    assert read_csv(written(tmp_path, f"{HEADER}{'x' * 200_000},1,1\n"), TYPES)["key"].str.len().tolist() == [200_000]


def frame(**columns: Any) -> pd.DataFrame:
    """Two good rows, with other *columns*."""
    return pd.DataFrame({**{name: pd.Series([value, value]) for name, value in GOOD.items()}, **columns})


FITS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "as it is": ({}, [1, 1]),
    "NaN is null": ({"number": [1.0, np.nan]}, [1, None]),
    "nullable": ({"number": pd.Series([1, None], dtype="Int64")}, [1, None]),
    "narrow": ({"number": np.array([1, 2], "int8")}, [1, 2]),
    "all null": ({"number": [None, None]}, [None, None]),
    "arrow": ({"number": pd.Series([1, None], dtype="int32[pyarrow]")}, [1, None]),
    "categories of text": ({"key": pd.Categorical(["x", None])}, ["x", None]),
    "arrow text": ({"key": pd.Series(["x", None], dtype="string[pyarrow]")}, ["x", None]),
    "whole to real": ({"share": [1, 2]}, [1.0, 2.0]),
    "midnight is a day": ({"day": pd.to_datetime(["2026-01-01", "2026-01-02"])}, [date(2026, 1, 1), date(2026, 1, 2)]),
    "another zone": ({"at": pd.to_datetime(pd.Series([NOON, None])).dt.tz_convert("Asia/Tokyo")}, [NOON, None]),
    "objects of zones": (
        {"at": pd.Series([NOON, NOON.astimezone(timezone(timedelta(hours=5)))], dtype=object)},
        [NOON, NOON],
    ),
}


@pytest.mark.parametrize("case", FITS)
def test_values_that_fit_stay_what_they_are(case: str) -> None:
    """From pandas and as Arrow alike."""
    columns, expected = FITS[case]
    name = next(iter(columns), "number")
    table = as_table(frame(**columns), Facts)
    assert table.schema == Facts.arrow_schema()
    assert table[name].to_pylist() == expected
    assert as_table(table, Facts) == table
    assert as_table(table.to_batches()[0], Facts) == table


NAIVE = datetime(2026, 1, 1, 12)  # noqa: DTZ001 (what is to be refused)

MISFITS: dict[str, tuple[str, Any, str]] = {
    "local times": ("at", [NAIVE, NAIVE], "without a zone"),
    "local times of numpy": ("at", np.array([NAIVE, NAIVE], "datetime64[us]"), "without a zone"),
    "local times as objects": ("at", pd.Series([NAIVE, NAIVE], dtype=object), "without a zone"),
    "local beside moments": ("at", pd.Series([NOON, NAIVE], dtype=object), "row 1"),
    "texts as times": ("at", ["2026-01-01T00:00Z"] * 2, "string does not become timestamp"),
    "numbers as times": ("at", [1, 2], "int64 does not become timestamp"),
    "days as times": ("at", [date(2026, 1, 1)] * 2, "does not become timestamp"),
    "nanoseconds": ("at", pd.to_datetime([NOON, NOON]) + pd.to_timedelta([0, 1], "ns"), "row 1"),
    "text among numbers": ("number", [1, "x"], "column 'number', row 1 ('x')"),
    "texts as numbers": ("number", ["1", "2"], "row 0"),
    "fraction": ("number", [1.0, 1.5], "column 'number', row 1 ('1.5')"),
    "infinite": ("number", [1.0, np.inf], "row 1"),
    "beyond 53 bits": ("number", [1.0, 1e17], "row 1"),
    "beyond 64 bits": ("number", np.array([1, 2**63], "uint64"), "row 1"),
    "beyond 64 bits as objects": ("number", pd.Series([1, 2**70], dtype=object), "row 1"),
    "beyond 32 bits": ("small", [1, 2**31], "column 'small', row 1 ('2147483648')"),
    "booleans as numbers": ("number", [True, False], "bool does not become int64"),
    "numbers as booleans": ("flag", [1, 0], "int64 does not become bool"),
    "numbers as text": ("key", [1, 2], "int64 does not become string"),
    "bytes as text": ("key", [b"a", b"b"], "binary does not become string"),
    "numbers among texts": ("key", ["a", 1], "row 1"),
    "whole numbers that are no floats": ("share", [1, 2**53 + 1], "row 1"),
    "decimals as floats": ("share", [Decimal("0.1")] * 2, "decimal128"),
    "booleans as floats": ("share", [True, False], "bool does not become double"),
    "hours as days": ("day", pd.to_datetime(["2026-01-01T00:00", "2026-01-02T01:00"]), "row 1"),
    "moments as days": ("day", pd.to_datetime([NOON, NOON]), "does not become date32"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_values_that_do_not_fit_are_refused(case: str) -> None:
    """With the column; from Arrow as from pandas."""
    name, values, told = MISFITS[case]
    with pytest.raises(ValueError, match=rf"^column '{name}'") as error:
        as_table(frame(**{name: values}), Facts)
    assert told in str(error.value)
    good = as_table(frame(), Facts)
    try:
        arrow = pa.array(pd.Series(values), from_pandas=True)
    except (ValueError, TypeError, OverflowError):
        return  # Arrow itself holds no such column
    if case == "local beside moments":
        return  # Arrow has taken it as UTC: nobody can see it any more
    with pytest.raises(ValueError, match=rf"^column '{name}'"):
        as_table(good.set_column(good.column_names.index(name), name, arrow), Facts)


def test_columns_are_those_of_the_contract() -> None:
    """Others are left out; a missing one, or one that is there twice, is named."""
    good = frame(more=[1, 2])
    assert as_table(good, Facts).column_names == list(GOOD)
    with pytest.raises(ValueError, match="Facts has column 'small', which the rows lack; they have 'key', 'number'"):
        as_table(good.drop(columns="small"), Facts)
    with pytest.raises(ValueError, match="'small' is in the index: use reset_index"):
        as_table(good.set_index("small"), Facts)
    twice = pd.concat([good, good[["share"]]], axis=1)
    with pytest.raises(ValueError, match="have column 'share' more than once"):
        as_table(twice, Facts)
    table = as_table(good, Facts)
    with pytest.raises(ValueError, match="have column 'share' more than once"):
        as_table(table.append_column("share", table["share"]), Facts)


@pytest.mark.parametrize(
    "wrong", [None, [1], {"key": [1]}, "x", pd.Series([1])], ids=lambda wrong: type(wrong).__name__
)
def test_what_is_no_table_is_refused(wrong: object) -> None:
    """A mistake of the function, told by type."""
    with pytest.raises(TypeError, match=f"as_table takes a pandas DataFrame.*not {type(wrong).__name__}"):
        as_table(wrong, Facts)


def test_what_gives_arrow_data_is_taken() -> None:
    """DuckDB and streams, with the same rules."""
    table = as_table(frame(), Facts)
    assert as_table(table.to_reader(), Facts) == table
    relation = duckdb.connect().from_arrow(table)
    assert as_table(relation.arrow(), Facts).drop("at") == table.drop("at")
    naive = table.set_column(6, "at", table["at"].cast(pa.timestamp("us")))
    with pytest.raises(ValueError, match=r"column 'at', row 0.*without a zone"):
        as_table(naive.to_reader(), Facts)


def test_no_rows_are_a_table() -> None:
    """With all columns, whatever pandas thinks their types are."""
    assert as_table(frame().iloc[:0], Facts).num_rows == 0


def test_declarations_load_without_pandas() -> None:
    """A code location loads fast."""
    code = "import ml_assets.lib.declare, sys; sys.exit('pandas' in sys.modules or 'pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
