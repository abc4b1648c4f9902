"""Runs the table of operations on one engine: each value is Python's, and where Python has none, there is an error."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pytest

from ml_assets.lib.core.errors import EngineError
from ml_assets.lib.engines import Session
from ml_assets_tests.engines import operation_rows, totals_pack


def _unbound(rows: pa.Table) -> ir.Table:
    return ibis.table(ibis.Schema.from_pyarrow(rows.schema), name="t")


def expression(case: operation_rows.Case) -> ir.Table:
    """The operation as a column ``v`` beside ``id``, over an unbound table."""
    t = _unbound(operation_rows.table(case.table))
    return t.select("id", v=case.value(t))


def total(case: totals_pack.Relation) -> ir.Table:
    """The case's expression over an unbound table."""
    return case.build(_unbound(totals_pack.TABLE))


def check_values(session: Session, case: operation_rows.Case, *, refused: int) -> None:
    """Compare *case* with Python, row by row; of the rows without an answer at most *refused* are tried, each alone."""
    rows = operation_rows.table(case.table)
    expected, undefined = {}, []
    for row in rows.to_pylist():
        try:
            expected[row["id"]] = case.python(row)
        except operation_rows.Undefined:
            undefined.append(row["id"])
    found = _values(session, case, rows, expected)
    shown = {row["id"]: {name: value for name, value in row.items() if name != "id"} for row in rows.to_pylist()}
    wrong = {str(shown[i]): (found[i], value) for i, value in expected.items() if _bits(found[i]) != _bits(value)}
    assert not wrong, f"(found, expected) of {len(wrong)} rows: {dict(list(wrong.items())[:5])}"
    for i in undefined[:: max(1, len(undefined) // refused)][:refused]:
        with pytest.raises(EngineError):
            _values(session, case, rows, [i])


def check_total(session: Session, case: totals_pack.Relation) -> None:
    """Compare the rows of *case* with Python's."""
    expected = totals_pack.multiset(case.python(totals_pack.TABLE.to_pylist()))
    bound = session.bind(total(case), {"t": session.offer(totals_pack.TABLE)})
    found = totals_pack.multiset(tuple(row.values()) for row in session.batches(bound).read_all().to_pylist())
    assert found == expected


def check_undefined(session: Session, build: Callable[[ir.Table], ir.Table]) -> None:
    """*build* of the table ends with an error of the engine, streamed and kept."""
    bound = session.bind(build(_unbound(totals_pack.TABLE)), {"t": session.offer(totals_pack.TABLE)})
    with pytest.raises(EngineError):
        session.batches(bound).read_all()
    with pytest.raises(EngineError):
        session.persist(bound)


def _values(session: Session, case: operation_rows.Case, rows: pa.Table, ids: Iterable[int]) -> dict[int, Any]:
    """The value of *case* in each of the rows *ids*, by id."""
    kept = rows.take(pa.array(sorted(ids), pa.int64()))
    bound = session.bind(expression(case), {"t": session.offer(kept)})
    return {row["id"]: row["v"] for row in session.batches(bound).read_all().to_pylist()}


def _bits(value: Any) -> Any:
    """What makes two values one: type, and of floats the bits, but for the sign of zero, as in a digest."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else struct.pack("<d", value + 0.0)
    return type(value), value
