"""Garbage collection: removes the files, and the rows of trees, that nothing needs any more.

Needed is what branches (hidden ones too), staging, open uploads and retained commits name; see :mod:`retention`.
Commits are never removed: of old ones the bytes go, and reading them is then 410, as in lakeFS.

Clients may go on meanwhile. What is garbage is found in a snapshot, which holds nobody up. It is then removed in small
batches, each in a transaction beside which nobody writes, and after another look at what is needed by now. Every write
that names a file looks in its own transaction whether the file is there (:meth:`Store.check_held`). So the one that
comes second sees the first: either the file is needed and stays, or the write is refused. The grace period for young
files is there so that it is not refused in vain: an upload has its file before its row.

Killed at any moment, it leaves a lake that is whole. That an old commit's file is about to go is recorded before it
goes, so that a check can tell collected bytes from lost ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from ml_assets.lib.devlake import maintenance, marks, small_files
from ml_assets.lib.devlake.database import Row, Transaction
from ml_assets.lib.devlake.files import StoredFile
from ml_assets.lib.devlake.maintenance import Opened
from ml_assets.lib.devlake.marks import is_marked

GRACE: Final = timedelta(hours=24)
"""As in lakeFS."""

FILES: Final = 500
"""Files that are removed while writers wait."""

RANGES: Final = 50
"""Ranges of rows that are removed while writers wait."""

PAUSE_S: Final = 0.1
"""Between two batches. SQLite asks for a lock that is taken ten times a second: long enough for who waits to get it."""

_TABLES: Final = """
CREATE TABLE marks.garbage (name TEXT PRIMARY KEY, size INTEGER, expired INTEGER) WITHOUT ROWID;
CREATE TABLE marks.small_garbage (name TEXT PRIMARY KEY, size INTEGER, expired INTEGER) WITHOUT ROWID;
CREATE TABLE marks.loose_range (id BLOB PRIMARY KEY) WITHOUT ROWID;
"""


@dataclass(slots=True, kw_only=True)
class Report:
    """What was found, and what of it was removed (in a dry run: would be).

    Attributes:
        kept: Files that are needed. All ``_bytes`` are those of the files counted in the attribute before.
        young: Files that nothing names, but too young to be garbage yet.
        removed: Files that were removed.
        expired: Those of them that old commits name.
        ranges: Ranges of rows that no commit names, of deleted repositories.
        leftover_bytes: Of uploads that were never finished.
    """

    kept: int = 0
    kept_bytes: int = 0
    young: int = 0
    young_bytes: int = 0
    removed: int = 0
    removed_bytes: int = 0
    expired: int = 0
    expired_bytes: int = 0
    ranges: int = 0
    leftover_bytes: int = 0


def collect(root: Path, *, dry_run: bool = False, grace: timedelta = GRACE) -> Report:
    """Collect the garbage of the lake in *root*.

    Args:
        dry_run: Only report.
        grace: Files that were written within this time are left alone. It should be longer than any upload takes from
            its last byte to its answer; if it is too short, such an upload is refused (503), and nothing else happens.

    Raises:
        LakeError: There is no lake, somebody else is looking after it, or it is too damaged to tell what is garbage.
    """
    now_ns = time.time_ns()
    before = now_ns / 1e9 - grace.total_seconds()
    with maintenance.opened(root) as lake:
        marks.attach(lake.connection)
        lake.connection.executescript(_TABLES)
        collection = _Collection(lake, now_ns, before)
        found = collection.find(dry_run=dry_run)
        return found if dry_run else collection.remove(found)


@dataclass(frozen=True, slots=True)
class _Collection:
    lake: Opened
    now_ns: int
    before: float

    def find(self, *, dry_run: bool) -> Report:
        """What is garbage at the moment."""
        report = Report(leftover_bytes=self.lake.store.files.drop_leftovers(self.before, dry_run=dry_run))
        with self.lake.read() as transaction:
            self.mark(transaction)
            report.ranges = transaction.run(
                "INSERT INTO marks.loose_range "
                "SELECT DISTINCT range FROM entry WHERE range NOT IN (SELECT id FROM marks.known_range)"
            )
        with self.lake.read() as transaction:  # the small ones last: until then no snapshot grows old
            for file in self.lake.store.files.stored():
                self.judge(transaction, file, "garbage", report)
            for file in small_files.stored(transaction):
                self.judge(transaction, file, "small_garbage", report)
        return report

    def judge(self, transaction: Transaction, file: StoredFile, table: str, report: Report) -> None:
        """Count a file, and note in *table* if it is garbage."""
        name, size, mtime = file
        if is_marked(transaction, "kept", name):
            report.kept, report.kept_bytes = report.kept + 1, report.kept_bytes + size
        elif mtime >= self.before:
            report.young, report.young_bytes = report.young + 1, report.young_bytes + size
        else:
            expired = is_marked(transaction, "known", name)
            transaction.run(f"INSERT INTO marks.{table} VALUES (?, ?, ?)", name, size, expired)
            _count(report, size, expired=expired)

    def remove(self, found: Report) -> Report:
        """Remove what is still garbage."""
        report = replace(found, removed=0, removed_bytes=0, expired=0, expired_bytes=0, ranges=0)
        self.remove_files("garbage", lambda _, name: self.lake.store.files.remove(name, self.before), report)
        self.remove_files("small_garbage", lambda tx, name: small_files.remove(tx, name, self.before), report)
        for ranges in self.batches("loose_range", "id", RANGES):
            with self.lake.write() as transaction:
                self.mark(transaction)
                report.ranges += sum(_drop_range(transaction, range_id) for (range_id,) in ranges)
        self.tidy()
        return report

    def remove_files(self, table: str, remove: Callable[[Transaction, str], bool], report: Report) -> None:
        """Remove what *table* names and nothing needs by now."""
        for files in self.batches(table, "name", FILES):
            self.announce([name for name, _, expired in files if expired])
            with self.lake.write() as transaction:
                self.mark(transaction)
                for name, size, expired in files:
                    if not is_marked(transaction, "kept", name) and remove(transaction, name):
                        _count(report, size, expired=expired)

    def announce(self, names: list[str]) -> None:
        """Record that these files, which old commits name, are about to go."""
        seconds = self.now_ns // 1_000_000_000
        with self.lake.write() as transaction:
            transaction.run_many("INSERT OR REPLACE INTO collected VALUES (?, ?)", [(name, seconds) for name in names])

    def tidy(self) -> None:
        """Remove trees that no commit names, and records of files that came back or that nothing names any more."""
        with self.lake.read() as transaction:
            stale = [row for row in transaction.each("SELECT name FROM collected") if self.is_stale(transaction, *row)]
        with self.lake.write() as transaction:
            self.mark(transaction)
            transaction.run("DELETE FROM tree WHERE id NOT IN (SELECT id FROM marks.known_tree)")
            transaction.run_many("DELETE FROM collected WHERE name = ?", stale)

    def is_stale(self, transaction: Transaction, name: str) -> bool:
        named = is_marked(transaction, "kept", name) or is_marked(transaction, "known", name)
        return not named or self.lake.store.size(name) is not None

    def mark(self, transaction: Transaction) -> None:
        marks.mark(transaction, self.lake.store, self.now_ns)

    def batches(self, table: str, key: str, most: int) -> Iterator[list[Row]]:
        """The rows of a table of marks, *most* at a time, with a pause between."""
        sql = f"SELECT * FROM marks.{table} WHERE {key} > ? ORDER BY {key} LIMIT {most}"
        rows = self.lake.connection.execute(sql.replace("> ?", "IS NOT NULL")).fetchall()
        while rows:
            yield rows
            time.sleep(PAUSE_S)
            rows = self.lake.connection.execute(sql, (rows[-1][0],)).fetchall()


def _drop_range(transaction: Transaction, range_id: bytes) -> bool:
    if transaction.one("SELECT 1 FROM marks.known_range WHERE id = ?", range_id) is not None:
        return False
    transaction.run("DELETE FROM entry WHERE range = ?", range_id)
    return True


def _count(report: Report, size: int, *, expired: bool) -> None:
    report.removed, report.removed_bytes = report.removed + 1, report.removed_bytes + size
    if expired:
        report.expired, report.expired_bytes = report.expired + 1, report.expired_bytes + size
