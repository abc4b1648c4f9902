"""Is a lake whole? Looks at everything it has, and names what is broken.

The database itself; that every name leads to what it names (:mod:`check_references`); that every tree and range hashes
to its id, and is sorted and cut as it should be (:mod:`check_trees`); that every object has its bytes, with their size
and hash (:mod:`check_bytes`). What has to be remembered is kept in tables on disk, so memory is bounded.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from ml_assets.lib.devlake import check_bytes, check_references, check_trees, maintenance
from ml_assets.lib.devlake.database import FILE
from ml_assets.lib.devlake.findings import Findings


def check(root: Path, say: Callable[[str], None], *, hashes: bool = True) -> Findings:
    """Look at everything in the lake in *root*. A server may run on it.

    Args:
        say: Is given one line for each problem, as it is found.
        hashes: Read all bytes and compare their hashes; without, only their sizes are compared.

    Raises:
        LakeError: There is no lake, or somebody else is looking after it.
        SchemaVersionError: It was written by a newer version of this project.
    """
    findings = Findings(say)
    try:
        with maintenance.opened(root) as lake:
            lake.connection.execute("ATTACH '' AS checks")
            lake.connection.executescript(check_trees.TABLES + check_bytes.TABLES)
            with lake.read() as transaction:
                for (line,) in transaction.each("PRAGMA main.integrity_check"):
                    if line != "ok":
                        findings.problem(f"database: {line}")
                check_references.check(transaction, findings)
                check_trees.check(transaction, findings)
                check_bytes.gather(transaction)
            with lake.read() as transaction:
                check_bytes.check(transaction, lake.store, findings, hashes=hashes)
    except sqlite3.DatabaseError as error:
        findings.problem(f"database: {root / FILE}: {error}")
    return findings
