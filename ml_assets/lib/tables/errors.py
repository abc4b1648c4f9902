"""The one place that turns exceptions of PyIceberg and of PyArrow's S3 client into errors of the project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from pyiceberg.exceptions import (
    CommitFailedException,
    NoSuchTableError,
    TableAlreadyExistsError,
    ValidationError,
    ValidationException,
)
from pyparsing import ParseBaseException

from ml_assets.lib.core.errors import (
    AccessDenied,
    BrokenClosure,
    CommitRaced,
    LakeUnavailable,
    MLAssetsError,
    NoSuchTable,
    TableError,
)
from ml_assets.lib.core.refs import Ref


@contextmanager
def translated(table: str, ref: Ref) -> Iterator[None]:
    """Turn every exception of the clients inside the block into one of the project's errors.

    Raises:
        NoSuchTable: *ref* has no such table.
        CommitRaced: Somebody else committed the table on this branch.
        BrokenClosure: A file of the table is missing.
        AccessDenied: The S3 gateway refuses.
        LakeUnavailable: The S3 gateway gave no usable answer.
        TableError: Anything else that PyIceberg refuses.
    """
    where = f"{table} at {ref}"
    try:
        yield
    except MLAssetsError:
        raise
    except NoSuchTableError as error:
        raise NoSuchTable(
            f"{where}: no such table", remedy="list them with `ml-assets table`, or materialize it"
        ) from error
    except (CommitFailedException, TableAlreadyExistsError) as error:
        raise CommitRaced(f"{where}: {error}", remedy="start again on a new branch; one writer per branch") from error
    except (ValidationError, ValidationException, ValueError, ParseBaseException, pa.ArrowException) as error:
        raise TableError(f"{where}: {error}", remedy="compare what was asked with the table's schema") from error
    except OverflowError as error:  # PyIceberg's statistics are Python's dates
        raise TableError(f"{where}: {error}", remedy="keep dates and times in the years 1 to 9999") from error
    except PermissionError as error:
        raise AccessDenied(f"{where}: {error}", remedy="ask for the permission, or write on a run branch") from error
    except FileNotFoundError as error:
        raise BrokenClosure(f"{where}: {error}", remedy="publish the unit anew with --recompute") from error
    except OSError as error:
        raise LakeUnavailable(f"{where}: {error}", remedy="check that the lake is up, then start again") from error
