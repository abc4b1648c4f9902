"""What the database of a lake looks like, in each version: made new, brought up to date, or refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ml_assets.lib.core.errors import LakeError

VERSION: Final = 4

_FIRST: Final = """
CREATE TABLE repository (
    name TEXT PRIMARY KEY, storage_namespace TEXT NOT NULL, default_branch TEXT NOT NULL, created INTEGER NOT NULL,
    read_only INTEGER NOT NULL, metadata TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE used_namespace (storage_namespace TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE branch (
    repository TEXT NOT NULL, name TEXT NOT NULL, commit_id TEXT NOT NULL, hidden INTEGER NOT NULL,
    PRIMARY KEY (repository, name)) STRICT, WITHOUT ROWID;
CREATE TABLE tag (
    repository TEXT NOT NULL, name TEXT NOT NULL, commit_id TEXT NOT NULL,
    PRIMARY KEY (repository, name)) STRICT, WITHOUT ROWID;
CREATE TABLE history (
    repository TEXT NOT NULL, id TEXT NOT NULL, committer TEXT NOT NULL, message TEXT NOT NULL, tree TEXT NOT NULL,
    created_ns INTEGER NOT NULL, parents TEXT NOT NULL, metadata TEXT NOT NULL, notes TEXT NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (repository, id)) STRICT, WITHOUT ROWID;
CREATE TABLE tree (id TEXT PRIMARY KEY, ranges TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE entry (
    range BLOB NOT NULL, key TEXT NOT NULL, identity BLOB NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    address TEXT NOT NULL, mtime INTEGER NOT NULL, content_type TEXT NOT NULL, metadata TEXT NOT NULL,
    PRIMARY KEY (range, key)) STRICT, WITHOUT ROWID;
-- A staged row without identity is a deletion.
CREATE TABLE staging (
    repository TEXT NOT NULL, branch TEXT NOT NULL, key TEXT NOT NULL, identity BLOB, size INTEGER, etag TEXT,
    address TEXT, mtime INTEGER, content_type TEXT, metadata TEXT,
    PRIMARY KEY (repository, branch, key)) STRICT, WITHOUT ROWID;
CREATE TABLE upload (
    id TEXT PRIMARY KEY, repository TEXT NOT NULL, branch TEXT NOT NULL, path TEXT NOT NULL, content_type TEXT NOT NULL,
    metadata TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE part (
    upload TEXT NOT NULL, number INTEGER NOT NULL, address TEXT NOT NULL, size INTEGER NOT NULL, md5 TEXT NOT NULL,
    sha256 TEXT NOT NULL, PRIMARY KEY (upload, number)) STRICT, WITHOUT ROWID;
CREATE TABLE protection (
    repository TEXT NOT NULL, pattern TEXT NOT NULL, PRIMARY KEY (repository, pattern)) STRICT, WITHOUT ROWID;
"""

_RETENTION: Final = """
CREATE TABLE retention (
    repository TEXT PRIMARY KEY, default_days INTEGER NOT NULL, branch_days TEXT NOT NULL) STRICT, WITHOUT ROWID;
-- Files that garbage collection has removed although old commits name them.
CREATE TABLE collected (name TEXT PRIMARY KEY, seconds INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""

_HOOKS: Final = """
CREATE TABLE action_run (
    repository TEXT NOT NULL, id TEXT NOT NULL, event TEXT NOT NULL, branch TEXT NOT NULL, source_ref TEXT NOT NULL,
    commit_id TEXT NOT NULL, started_ns INTEGER NOT NULL, ended_ns INTEGER NOT NULL, passed INTEGER NOT NULL,
    PRIMARY KEY (repository, id)) STRICT, WITHOUT ROWID;
-- One that was skipped started at 0.
CREATE TABLE hook_run (
    repository TEXT NOT NULL, run TEXT NOT NULL, id TEXT NOT NULL, action TEXT NOT NULL, hook TEXT NOT NULL,
    started_ns INTEGER NOT NULL, ended_ns INTEGER NOT NULL, passed INTEGER NOT NULL, output TEXT NOT NULL,
    PRIMARY KEY (repository, run, id)) STRICT, WITHOUT ROWID;
"""

_SMALL_FILES: Final = """
-- With a rowid: what is added comes last, and only the index is in the order of the digests.
CREATE TABLE small_file (digest BLOB PRIMARY KEY, mtime INTEGER NOT NULL, content BLOB NOT NULL) STRICT
"""

STEPS: Final[Mapping[int, str]] = {0: _FIRST, 1: _RETENTION, 2: _HOOKS, 3: _SMALL_FILES}
"""What leads from a version to the next one. A file without a schema has version 0."""


class SchemaVersionError(LakeError):
    """The database was written by a newer version of this project."""


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the database to this version, in one transaction: a new one by way of all older versions.

    One that has this version is only read, so nobody who writes is in the way.

    Raises:
        SchemaVersionError: It has a newer version. It is left as it is.
    """
    try:
        if _version(connection, path) == VERSION:
            return
        connection.execute("BEGIN IMMEDIATE")
        for older in range(_version(connection, path), VERSION):
            for statement in STEPS[older].split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={older + 1}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.close()
        raise


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise SchemaVersionError(
            f"{path} has schema version {version}, this version of ml_assets knows {VERSION}",
            remedy="upgrade ml_assets, or use another state folder",
        )
    return version
