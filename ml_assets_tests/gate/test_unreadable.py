"""Files that a source cannot read, and functions that fail: refused with file, line and remedy; no branch is left."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from ml_assets.lib.core.errors import ContractError, FunctionError, MLAssetsError
from ml_assets.lib.declare.where import of_error
from ml_assets_tests.gate.trips import contracts
from ml_assets_tests.gate.world import SOURCE, Place, new_run, trips, write_trips

Function = Callable[[Path], Any]


def refusal(place: Place, folder: Path, function: Function) -> MLAssetsError:
    """What the gate says of a source that reads its file with *function*; the target stays, no branch is left."""
    work = place.work(SOURCE, path=write_trips(folder / "other.csv", trips(20)))
    work.declaration = replace(work.declaration, function=function)  # type: ignore[attr-defined]
    before, run = place.head, new_run()
    with pytest.raises(MLAssetsError) as told:
        place.machinery.gate.materialize(work, run)
    assert before == place.head
    assert place.left_by(run) == []
    return told.value


def raising(error: BaseException) -> Function:
    """A function that raises *error*."""

    def function(trips: Path) -> pa.Table:
        raise error

    return function


DATA = [
    ValueError("wrong"),
    KeyError("wrong"),
    IndexError("wrong"),
    OverflowError("wrong"),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "wrong"),
    OSError("wrong"),
    EOFError("wrong"),
    RuntimeError("wrong"),
    zlib.error("wrong"),
    lzma.LZMAError("wrong"),
    zipfile.BadZipFile("wrong"),
    pa.ArrowInvalid("wrong"),
    pa.ArrowTypeError("wrong"),
    pa.ArrowNotImplementedError("wrong"),
    pd.errors.ParserError("wrong"),
    duckdb.InvalidInputException("wrong"),
    type("PolarsError", (Exception,), {})("wrong"),
]
MISTAKES = [
    ZeroDivisionError("wrong"),
    NameError("wrong"),
    ImportError("wrong"),
    AttributeError("wrong"),
    AssertionError("wrong"),
    NotImplementedError("wrong"),
    TypeError("wrong"),
]


@pytest.mark.parametrize("error", DATA, ids=lambda error: type(error).__name__)
def test_whatever_a_reader_raises_is_a_refusal(place: Place, tmp_path: Path, error: Exception) -> None:
    """File, kind of error, line and remedy."""
    told = refusal(place, tmp_path, raising(error))
    assert isinstance(told, ContractError)
    assert told.problem.startswith(f"sources/trips cannot be read from other.csv: {type(error).__name__}: ")
    assert f"ml_assets_tests/gate/test_unreadable.py:{raising.__code__.co_firstlineno + 4}" in told.problem
    assert told.remedy == "correct the file; nothing was published"


@pytest.mark.parametrize("error", MISTAKES, ids=lambda error: type(error).__name__)
def test_a_mistake_in_the_function_is_told_as_one(place: Place, tmp_path: Path, error: Exception) -> None:
    """No file is to blame for it."""
    told = refusal(place, tmp_path, raising(error))
    assert isinstance(told, FunctionError)
    assert f"the function of sources/trips failed on other.csv: {type(error).__name__}: wrong" in told.problem
    assert f"ml_assets_tests/gate/test_unreadable.py:{raising.__code__.co_firstlineno + 4}" in told.problem
    assert "--traceback" in told.remedy


def test_a_type_error_of_a_library_is_the_files(place: Place, tmp_path: Path) -> None:
    """Numbers where text was expected (case F35)."""

    def function(trips: Path) -> pa.Table:
        return pa.array(pd.Series([1.5, 2.5]), type=pa.string(), from_pandas=True)

    told = refusal(place, tmp_path, function)
    assert isinstance(told, ContractError)
    assert "other.csv: ArrowTypeError" in told.problem
    assert "test_unreadable.py:" in told.problem


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (None, "nothing"),
        ([], "builtins.list"),
        (pd.DataFrame({"a": [1]}), "DataFrame"),
        (pa.record_batch({"a": [1]}), "RecordBatch"),
    ],
    ids=["nothing", "list", "frame", "batch"],
)
def test_what_is_no_table_is_told(place: Place, tmp_path: Path, found: object, named: str) -> None:
    """What must be returned, and what was."""
    told = refusal(place, tmp_path, lambda trips: found)
    assert isinstance(told, FunctionError)
    assert "must return a pyarrow.Table or RecordBatchReader, it returned " in told.problem
    assert named in told.problem
    assert "test_unreadable.py:" in told.problem


def rows() -> pa.Table:
    """Right rows."""
    table = pa.Table.from_pylist(trips(20))
    times = {name: pa.timestamp("us", tz="UTC") for name in ("started", "ended")}
    for name, kind in times.items():
        parsed = pa.array(pd.to_datetime(table[name].to_pandas(), utc=True)).cast(kind, safe=False)
        table = table.set_column(table.column_names.index(name), name, parsed)
    return table.select(contracts.Trips.names())


def test_a_stream_that_breaks_off_is_a_refusal(place: Place, tmp_path: Path) -> None:
    """Half of it may have been written by then."""

    def function(trips: Path) -> pa.RecordBatchReader:
        def batches() -> Iterator[pa.RecordBatch]:
            yield from rows().to_batches()
            raise RuntimeError("the connection is gone")

        return pa.RecordBatchReader.from_batches(rows().schema, batches())

    told = refusal(place, tmp_path, function)
    assert isinstance(told, ContractError)
    assert "sources/trips cannot be read from other.csv: RuntimeError: the connection is gone" in told.problem


@pytest.mark.parametrize("streamed", [False, True])
def test_a_file_that_changes_while_it_is_read_is_a_refusal(place: Place, tmp_path: Path, streamed: bool) -> None:
    """Also when it changes while the last batch is on its way."""

    def function(trips: Path) -> pa.Table | pa.RecordBatchReader:
        def batches() -> Iterator[pa.RecordBatch]:
            yield from rows().to_batches()
            trips.write_text("changed")

        if streamed:
            return pa.RecordBatchReader.from_batches(rows().schema, batches())
        trips.write_text("changed")
        return rows()

    assert "other.csv changed while sources/trips was read" in refusal(place, tmp_path, function).problem


def without_zone(table: pa.Table) -> pa.Table:
    """Local times (case R6)."""
    return table.set_column(2, "started", table["started"].cast(pa.timestamp("us")))


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (without_zone, "column 'started' is timestamp[us] and does not fit timestamp[us, tz=UTC]"),
        (lambda table: table.append_column("car", table["car"]), "column 'car' is there more than once"),
        (lambda table: table.drop(["car"]), "missing ['car']"),
        (lambda table: table.append_column("more", table["car"]), "unknown ['more']"),
        (lambda table: table.set_column(1, "car", table["minutes"]), "column 'car'"),
    ],
    ids=["zone", "twice", "missing", "unknown", "type"],
)
def test_an_arrow_table_of_other_columns_is_a_refusal(
    place: Place, tmp_path: Path, edit: Callable[[pa.Table], pa.Table], problem: str
) -> None:
    """A table that is no contract's is not written."""
    told = refusal(place, tmp_path, lambda trips: edit(rows()))
    assert isinstance(told, ContractError)
    assert "other.csv" in told.problem
    assert problem in told.problem


def test_where_an_error_left_the_code_of_people() -> None:
    """The innermost line in their package, also through a library; else where the function begins."""

    def inner() -> None:
        raise KeyError

    def outer(trips: Path) -> None:
        pd.Series([1]).map(lambda _value: inner())

    with pytest.raises(KeyError) as told:
        outer(Path())
    assert of_error(told.value, outer).endswith(f":{inner.__code__.co_firstlineno + 1}")
    assert of_error(KeyError(), outer).endswith(f":{outer.__code__.co_firstlineno}")
