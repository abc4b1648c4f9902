"""A program that tells everything that the zone of its machine must not move, as one line of JSON.

python -m ml_assets_tests.engines.in_zone ENGINE
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir

from ml_assets.lib.core.digest import digest
from ml_assets.lib.declare import Declarations, load
from ml_assets.lib.declare.declarations import Frame
from ml_assets.lib.declare.identity import expr1
from ml_assets.lib.engines import engine
from ml_assets_tests.engines import operation_rows
from ml_assets_tests.engines.operations_on_time import TIME
from ml_assets_tests.engines.stores import NoTables
from ml_assets_tests.engines.table_of_operations import expression
from ml_assets_tests.spark import JARS, say

LITERALS: Final = {
    "of Python": datetime(2024, 7, 1, 12, 30, 0, 1, tzinfo=UTC),
    "of a zone": datetime(2024, 7, 1, 12, 30, tzinfo=ZoneInfo("America/New_York")),
    "text": "2024-07-01T12:30:00Z",
    "text with an offset": "2024-07-01T12:30:00+05:30",
}


def identities(declarations: Declarations) -> dict[str, list[str]]:
    """Of each declaration: how it is computed, and what it is judged by."""
    versions = sorted(declarations.feature_versions)
    return {
        f"{decl.stage}/{decl.name}@{getattr(decl, 'version', '')}": [
            declarations.definition(decl).identity,
            *(declarations.rules_hash(decl, version) for version in (versions if isinstance(decl, Frame) else [None])),
        ]
        for decl in declarations
    }


def all_of_time() -> ir.Table:
    """All operations on times as columns of one table."""
    rows = operation_rows.table("times")
    t = ibis.table(ibis.Schema.from_pyarrow(rows.schema), name="t")
    values = [case.value(t) for case in TIME.values()]
    values += [ibis.timestamp(value).cast("timestamp('UTC')") for value in LITERALS.values()]
    return t.select("id", **{f"v{number}": value for number, value in enumerate(values)})


def main(name: str) -> None:
    """Load the declarations of the demo, compute the operations on times."""
    table = all_of_time()
    with engine(name, threads=1, jars=JARS).session(NoTables()) as session:
        bound = session.bind(table, {"t": session.offer(operation_rows.table("times"))})
        kept = session.persist(bound)
        told = {
            "declarations": identities(load()),
            "expressions": {name: expr1(expression(case)) for name, case in TIME.items()} | {"all": expr1(table)},
            "streamed": digest(session.batches(bound)),
            "kept": digest(session.batches(kept)),
            "rows": session.batches(kept).read_all().num_rows,
        }
    say("told", json.dumps(told, sort_keys=True))


if __name__ == "__main__":
    main(sys.argv[1])
