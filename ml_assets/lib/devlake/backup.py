"""A copy of a lake in another folder, taken while clients go on, and the way back.

The database is copied first, in one snapshot, and then the files. Files are written before the rows that name them
and never change, so whatever the snapshot names is there by then; garbage collection, which alone removes files, is
kept out meanwhile. The other way round, a row could name a file that came too late for the copy. Small files are rows
of the database, and come with it.

The copied database gets its name last. So a folder that has one is a whole backup, killed or not, and a backup into
the same folder copies only what is new; until its end, the folder is still the backup that it was.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from ml_assets.lib.core.errors import LakeError
from ml_assets.lib.devlake import maintenance, small_files
from ml_assets.lib.devlake.database import FILE, Transaction, connect
from ml_assets.lib.devlake.files import OBJECTS, TEMPORARY, Blob, Files, StoredFile, blob_of, sync_folder
from ml_assets.lib.devlake.maintenance import Opened
from ml_assets.lib.devlake.state import ROOT_LOCK

NEW: Final = f"{FILE}.new"
"""What the database of a copy is called until all of its files are there."""

TOGETHER: Final = 64
"""Files that are made durable together."""

LARGE: Final = 1 << 18
"""Bytes beyond which a file is copied by itself, in pieces."""

_SETTLED: Final = frozenset({FILE, f"{FILE}-wal", f"{FILE}-shm"})
_OWN: Final = _SETTLED | {NEW, f"{NEW}-journal", OBJECTS, TEMPORARY}
_LOCKS: Final = frozenset({maintenance.LOCK, ROOT_LOCK})
"""What the folder of a copy may hold, and what does not count."""


@dataclass(slots=True)
class Copied:
    """What a copy holds: ``files`` with ``bytes`` in them, of which ``new_files`` and ``new_bytes`` came now.

    The database is ``database_bytes`` large. It is always copied, and has the small files.
    """

    database_bytes: int = 0
    files: int = 0
    bytes: int = 0
    new_files: int = 0
    new_bytes: int = 0

    def count(self, file: StoredFile, *, new: bool) -> None:
        """Add a file."""
        self.files, self.bytes = self.files + 1, self.bytes + file.size
        if new:
            self.new_files, self.new_bytes = self.new_files + 1, self.new_bytes + file.size


def backup(root: Path, folder: Path, *, link: bool = True) -> Copied:
    """Copy the lake in *root* to *folder*. A server may run on it, and its clients do not wait.

    A folder that holds an earlier backup, whole or broken off, is brought up to date.

    Args:
        link: On the same disk, give files a second name instead of copying them. They never change, so the copy is as
            good until the disk itself fails. Without, they are copied, and their hashes are compared on the way.

    Raises:
        LakeError: There is no lake, somebody else is looking after it, *folder* holds something else, or a file is
            damaged.
    """
    if folder.resolve().is_relative_to(root.resolve()):
        raise LakeError(f"{folder} is within the lake {root}", remedy="back it up to somewhere else")
    with _taken(folder) as found, maintenance.opened(root) as lake:
        if found - _OWN:
            raise LakeError(f"{folder} holds {min(found - _OWN)}, so it is no backup", remedy="name an empty folder")
        return _copy(lake, folder, link=link)


def restore(folder: Path, root: Path) -> Copied:
    """Bring the backup in *folder* back as a lake in *root*, which is empty, or where a restore was broken off.

    Files are copied, and their hashes are compared on the way.

    Raises:
        LakeError: There is no backup, *root* is not empty, or a file is damaged.
        SchemaVersionError: The backup was made by a newer version of this project.
    """
    with _taken(root) as found:
        if found & _SETTLED or (found and NEW not in found) or found - _OWN:
            raise LakeError(f"{root} is not empty", remedy="restore to an empty folder, and serve that with --root")
        with maintenance.opened(folder) as lake:
            return _copy(lake, root, link=False)


@contextmanager
def _taken(folder: Path) -> Iterator[set[str]]:
    """Keep servers and others from *folder*, which is made if it is missing. Gives what is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {path.name for path in folder.iterdir()} - _LOCKS
    try:
        held = FileLock(folder / ROOT_LOCK).acquire(timeout=0)
    except Timeout:
        raise LakeError(f"a server holds {folder}", remedy="stop it, or name another folder") from None
    with held, maintenance.exclusive(folder):
        yield found


def _copy(lake: Opened, folder: Path, *, link: bool) -> Copied:
    _copy_database(lake.connection, folder / NEW)
    copied = Copied((folder / NEW).stat().st_size)
    if not link:
        _compare_small(folder / NEW)
    with closing(Files(folder)) as files:
        waiting: list[StoredFile] = []
        for file in lake.store.files.stored():
            new = files.size(file.name) != file.size
            copied.count(file, new=new)
            if new and not (link and _is_linked(file, lake.store.files, files)):
                if file.size > LARGE:
                    _copy_large(file, lake.store.files, files)
                else:
                    waiting.append(file)
            if len(waiting) == TOGETHER:
                _copy_together(waiting, lake.store.files, files)
                waiting.clear()
        _copy_together(waiting, lake.store.files, files)
        files.sync()
    _settle(folder)
    return copied


def _copy_database(source: sqlite3.Connection, path: Path) -> None:
    """Write a snapshot of the database to *path*, durably."""
    Path(f"{path}-journal").unlink(missing_ok=True)
    path.write_bytes(b"")  # a broken-off one is replaced without ever being away: its name says what the folder is
    with closing(sqlite3.connect(path)) as copy:
        source.backup(copy)  # in one step: a snapshot, and writers of the source do not wait
    with path.open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(path.parent)


def _compare_small(path: Path) -> None:
    """Compare the hashes of the small files in a database."""
    with closing(sqlite3.connect(path)) as copy:
        transaction = Transaction(copy, {})
        for file in small_files.stored(transaction):
            _compare(file, blob_of(small_files.get(transaction, file.name) or b""))


def _is_linked(file: StoredFile, source: Files, target: Files) -> bool:
    try:
        target.adopt(file.name, source)
    except OSError:  # another disk, or one that knows no second names, or no more of them
        return False
    return True


def _copy_together(files: list[StoredFile], source: Files, target: Files) -> None:
    blobs = target.write_many([b"".join(source.chunks(file.name)) for file in files])
    for file, blob in zip(files, blobs, strict=True):
        _compare(file, blob)


def _copy_large(file: StoredFile, source: Files, target: Files) -> None:
    with target.writer() as writer:
        for chunk in source.chunks(file.name):
            writer.write(chunk)
        _compare(file, writer.finish())


def _compare(file: StoredFile, blob: Blob) -> None:
    if blob.address != file.name:
        raise LakeError(
            f"file {file.name} does not hold the bytes that were written",
            remedy="`ml-assets lake check` says which objects it concerns; restore them, or delete them, and try again",
        )


def _settle(folder: Path) -> None:
    """Let the new database take the place of the old one."""
    path = folder / FILE
    if path.exists():
        with suppress(sqlite3.DatabaseError), closing(connect(path)) as old:
            old.execute("PRAGMA journal_mode=DELETE")  # a log that stayed behind would be taken for the new one's
    for leftover in _SETTLED - {FILE}:
        (folder / leftover).unlink(missing_ok=True)
    (folder / NEW).rename(path)
    sync_folder(folder)
