"""Multipart uploads: parts that become one object."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import NamedTuple

from ml_assets.lib.devlake.access import find_repository
from ml_assets.lib.devlake.database import Database, Transaction
from ml_assets.lib.devlake.errors import UploadNotFound
from ml_assets.lib.devlake.files import Blob
from ml_assets.lib.devlake.names import check_branch_name, check_path
from ml_assets.lib.devlake.objects import entry_of, stage_entry
from ml_assets.lib.devlake.refs import branch_head
from ml_assets.lib.devlake.store import Store
from ml_assets.lib.devlake.tree import Entry


class Part(NamedTuple):
    """An uploaded part."""

    number: int
    blob: Blob


class Upload(NamedTuple):
    """What was said when an upload was begun: where its object will be, and what it will be beside its bytes."""

    branch: str
    path: str
    content_type: str
    metadata_json: str


class Uploads:
    """The open multipart uploads of all repositories."""

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store

    def create(self, repository: str, branch: str, path: str, *, content_type: str, metadata: Mapping[str, str]) -> str:
        """Start an upload. Returns its id. Whether the branch may be written to is asked on completion, as in lakeFS.

        Raises:
            BranchNotFound: There is no such branch.
            InvalidPath: The path is empty or too long.
        """
        check_branch_name(branch)
        check_path(path)
        upload = secrets.token_hex(16)

        def work(transaction: Transaction) -> str:
            find_repository(transaction, repository)
            branch_head(transaction, repository, branch)
            sql = "INSERT INTO upload (id, repository, branch, path, content_type, metadata) VALUES (?, ?, ?, ?, ?, ?)"
            transaction.run(sql, upload, repository, branch, path, content_type, json.dumps(dict(metadata)))
            return upload

        return self._database.write(work)

    def get(self, repository: str, upload: str) -> Upload:
        """An open upload.

        Raises:
            UploadNotFound: There is no such upload.
        """
        with self._database.read() as transaction:
            return _find(transaction, repository, upload)

    def put_part(self, repository: str, upload: str, number: int, blob: Blob) -> None:
        """Add a part, or replace the one of this number.

        Raises:
            UploadNotFound: There is no such upload.
        """

        def work(transaction: Transaction) -> None:
            _find(transaction, repository, upload)
            self._store.check_held(transaction, blob.address)
            sql = "INSERT OR REPLACE INTO part (upload, number, address, size, md5, sha256) VALUES (?, ?, ?, ?, ?, ?)"
            transaction.run(sql, upload, number, *blob)

        self._database.write(work)

    def parts(self, repository: str, upload: str) -> list[Part]:
        """The parts so far, by number.

        Raises:
            UploadNotFound: There is no such upload.
        """
        with self._database.read() as transaction:
            _find(transaction, repository, upload)
            return _parts(transaction, upload)

    def complete(
        self, repository: str, upload: str, *, etag: str | None = None, if_absent: bool = False, force: bool = False
    ) -> Entry:
        """Put the object of all uploaded parts on its branch, uncommitted.

        If it is refused, the upload stays open.

        Args:
            etag: The object's entity tag; that of its parts, if ``None``.

        Raises:
            UploadNotFound: There is no such upload.
            Vanished: A part was replaced meanwhile, and its bytes have been collected as garbage.
            BranchNotFound, ProtectedBranch, ReadOnlyRepository, PreconditionFailed: As :meth:`Objects.stage`.
        """
        joined = self._store.join([part.blob for part in self.parts(repository, upload)])
        blob = joined if etag is None else joined._replace(md5=etag)

        def work(transaction: Transaction) -> Entry:
            branch, path, content_type, metadata = _find(transaction, repository, upload)
            entry = entry_of(path, blob, content_type, json.loads(metadata))
            staged = stage_entry(transaction, self._store, repository, branch, entry, if_absent=if_absent, force=force)
            _forget(transaction, upload)
            return staged

        return self._database.write(work)

    def abort(self, repository: str, upload: str) -> None:
        """Forget an upload and its parts.

        Raises:
            UploadNotFound: There is no such upload.
        """

        def work(transaction: Transaction) -> None:
            _find(transaction, repository, upload)
            _forget(transaction, upload)

        self._database.write(work)


def _find(transaction: Transaction, repository: str, upload: str) -> Upload:
    sql = "SELECT branch, path, content_type, metadata FROM upload WHERE id = ? AND repository = ?"
    row = transaction.one(sql, upload, repository)
    if row is None:
        raise UploadNotFound
    return Upload(*row)


def _parts(transaction: Transaction, upload: str) -> list[Part]:
    sql = "SELECT number, address, size, md5, sha256 FROM part WHERE upload = ? ORDER BY number"
    return [Part(number, Blob(*blob)) for number, *blob in transaction.each(sql, upload)]


def _forget(transaction: Transaction, upload: str) -> None:
    transaction.run("DELETE FROM part WHERE upload = ?", upload)
    transaction.run("DELETE FROM upload WHERE id = ?", upload)
