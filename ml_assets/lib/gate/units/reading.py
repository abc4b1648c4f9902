"""Calls the function of a source. It is a person's code on a person's file: whatever it raises becomes a refusal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.errors import ContractError, FunctionError, MLAssetsError, TableError
from ml_assets.lib.declare.where import is_own, of_error, of_function

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from ml_assets.lib.core.names import Unit
    from ml_assets.lib.declare.declarations import Source

_MISTAKES: Final = (
    NameError,
    ImportError,
    AttributeError,
    ZeroDivisionError,
    NotImplementedError,
    AssertionError,
    SyntaxError,
    RecursionError,
)
"""What no file is to blame for, but the function."""


def rows_of(
    source: Source, unit: Unit, files: Mapping[str, Path], check_files: Callable[[], None]
) -> pa.RecordBatchReader:
    """The rows that *source* reads from *files*, in the columns of its contract, batch by batch.

    Args:
        source: The declaration.
        unit: Its unit, for errors.
        files: The files by label.
        check_files: Called when all is read: raises if the files are others by now.

    Raises:
        ContractError: The files cannot be read, or hold something else than the contract says; the reader raises it
            too.
        FunctionError: The function has a mistake, or returns no table; the reader raises it too.
    """
    import pyarrow as pa

    from ml_assets.lib.tables.schemas import conform

    with _refused(source, unit, files):
        found = source.function(**files)
    if not isinstance(found, pa.Table | pa.RecordBatchReader):
        raise FunctionError(
            f"the function of {unit} must return a pyarrow.Table or RecordBatchReader, it returned "
            f"{_called(found)} ({of_function(source.function)})",
            remedy="return as_table(rows, contract) of ml_assets.lib.declare; nothing was published",
        )
    if twice := [name for name, times in Counter(found.schema.names).items() if times > 1]:
        raise ContractError(
            f"{unit} cannot be read from {_named(files)}: column {', '.join(map(repr, twice))} is there more than once",
            remedy="give each column once; nothing was published",
        )
    schema = source.contract.arrow_schema()

    def batches() -> Iterator[pa.RecordBatch]:
        with _refused(source, unit, files):
            yield from conform(found, schema, where=_named(files))
        check_files()

    return pa.RecordBatchReader.from_batches(schema, batches())


def _called(found: object) -> str:
    return "nothing" if found is None else f"{type(found).__module__}.{type(found).__name__}"


def _named(files: Mapping[str, Path]) -> str:
    return ", ".join(path.name for path in files.values())


@contextmanager
def _refused(source: Source, unit: Unit, files: Mapping[str, Path]) -> Iterator[None]:
    """What the function of *source* raises, as a refusal that says where.

    Raises:
        ContractError: The data is to blame.
        FunctionError: The function is.
    """
    import pyarrow as pa

    try:
        yield
    except TableError as error:
        raise ContractError(
            f"{unit} cannot be read from {error.problem} ({of_function(source.function)})",
            remedy=f"{error.remedy}; nothing was published",
        ) from error
    except (MLAssetsError, MemoryError):
        raise
    except Exception as error:  # a person's function, and the readers that it calls, may raise anything
        told = f"{type(error).__name__}: {error} ({of_error(error, source.function)})"
        if not isinstance(error, pa.ArrowException) and (
            isinstance(error, _MISTAKES) or (isinstance(error, TypeError) and is_own(error, source.function))
        ):
            raise FunctionError(
                f"the function of {unit} failed on {_named(files)}: {told}",
                remedy="correct the function; nothing was published; `ml-assets --traceback …` shows all of it",
            ) from error
        raise ContractError(
            f"{unit} cannot be read from {_named(files)}: {told}", remedy="correct the file; nothing was published"
        ) from error
