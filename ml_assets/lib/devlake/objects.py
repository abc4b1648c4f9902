"""Reading and staging objects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Callable, Iterator, Mapping, Sequence

from ml_assets.lib.devlake import history, small_files, staging, tree
from ml_assets.lib.devlake.access import find_repository, staging_head
from ml_assets.lib.devlake.database import Database, Transaction
from ml_assets.lib.devlake.errors import Gone, Invalid, ObjectNotFound, PreconditionFailed
from ml_assets.lib.devlake.files import Blob, blob_of
from ml_assets.lib.devlake.history import Commit
from ml_assets.lib.devlake.names import check_branch_name, check_path, check_ref
from ml_assets.lib.devlake.nodes import RowNodes
from ml_assets.lib.devlake.page import BEGINNING, CommonPrefix, Page, Window, fold, page
from ml_assets.lib.devlake.refs import Resolved, branch_head, resolve
from ml_assets.lib.devlake.store import Store
from ml_assets.lib.devlake.tree import Entry

MAX_DELETED = 1000


def _trust(_sha256: str) -> None:
    """Anything is welcome."""


class Objects:
    """The objects of all repositories."""

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store

    def stat(self, repository: str, ref: str, path: str) -> Entry:
        """The object at *path*; on a branch, with its uncommitted changes.

        Raises:
            RefNotFound: Nothing answers to *ref*.
            ObjectNotFound: There is no such object.
        """
        check_ref(ref)
        check_path(path)
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            return _existing(transaction, repository, resolve(transaction, repository, ref), path)

    def list(self, repository: str, ref: str, window: Window = BEGINNING) -> Page[Entry | CommonPrefix]:
        """Objects by path; on a branch, with its uncommitted changes.

        Raises:
            RefNotFound: Nothing answers to *ref*.
        """
        check_ref(ref)
        prefix, after, delimiter, amount = window
        for argument, value in (("prefix", prefix), ("delimiter", delimiter)):
            if value:
                check_path(value, argument)
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            resolved = resolve(transaction, repository, ref)
            committed = history.load(transaction, repository, resolved.commit_id).tree

            def scan(start: str) -> Iterator[Entry]:
                entries = tree.scan(RowNodes(transaction), committed, start)
                if resolved.branch is None:
                    return entries
                return _overlaid(entries, staging.scan(transaction, repository, resolved.branch, start))

            return page((item for item in fold(scan, after, prefix, delimiter) if item[0] != after), amount)

    def check_writable(self, repository: str, branch: str, path: str, *, force: bool = False) -> None:
        """Refuse what :meth:`stage` would refuse, before any bytes are received.

        Raises:
            BranchNotFound, InvalidPath, ProtectedBranch, ReadOnlyRepository: As there.
        """
        check_branch_name(branch)
        check_path(path)
        with self._database.read() as transaction:
            staging_head(transaction, repository, branch, force=force)

    async def upload(
        self,
        repository: str,
        branch: str,
        path: str,
        chunks: AsyncIterable[bytes],
        *,
        content_type: Callable[[], str],
        metadata: Mapping[str, str],
        verify: Callable[[str], None] = _trust,
        if_absent: bool = False,
        force: bool = False,
    ) -> Entry:
        """Put what *chunks* gives on a branch, uncommitted. See :meth:`stage` for the refusals.

        Args:
            content_type: Is asked when all of *chunks* has come.
            verify: Is given the hex SHA-256 of all of *chunks*; raises to refuse it.
        """
        received = await self._store.receive_large(chunks)
        blob = received if isinstance(received, Blob) else blob_of(received)
        verify(blob.sha256)
        entry = entry_of(path, blob, content_type(), metadata)
        check_branch_name(branch)
        check_path(path)

        def work(transaction: Transaction) -> Entry:
            if not isinstance(received, Blob):
                small_files.put(transaction, blob.address, received, entry.mtime)
            return self._stage(transaction, repository, branch, entry, if_absent=if_absent, force=force)

        return await asyncio.wrap_future(self._database.submit(work))

    def stage(
        self,
        repository: str,
        branch: str,
        path: str,
        blob: Blob,
        *,
        content_type: str,
        metadata: Mapping[str, str],
        if_absent: bool = False,
        force: bool = False,
    ) -> Entry:
        """Put a stored object on a branch, uncommitted.

        Raises:
            BranchNotFound: There is no such branch.
            InvalidPath: The path is empty or too long.
            ProtectedBranch: The branch is protected.
            ReadOnlyRepository: The repository is read-only, and *force* is not set.
            PreconditionFailed: There is an object, and *if_absent* is set.
        """
        check_branch_name(branch)
        check_path(path)
        entry = entry_of(path, blob, content_type, metadata)
        return self._database.write(
            lambda transaction: self._stage(transaction, repository, branch, entry, if_absent=if_absent, force=force)
        )

    def link(
        self,
        repository: str,
        branch: str,
        path: str,
        address: str,
        *,
        size: int,
        etag: str,
        mtime: int | None,
        content_type: str,
        metadata: Mapping[str, str],
        force: bool = False,
    ) -> Entry:
        """Put an object on a branch whose bytes are in the store already.

        Raises:
            Invalid: The store does not hold *size* bytes at *address*.
        """
        if self._store.size(address) != size:
            raise Invalid(f"link address invalid: no {size} bytes are stored there")
        entry = tree.entry(
            path,
            size=size,
            etag=etag,
            address=address,
            mtime=int(time.time()) if mtime is None else mtime,
            content_type=content_type,
            metadata=metadata,
        )
        check_branch_name(branch)
        check_path(path)
        return self._database.write(
            lambda transaction: self._stage(transaction, repository, branch, entry, if_absent=False, force=force)
        )

    def delete(self, repository: str, branch: str, path: str, *, force: bool = False) -> None:
        """Remove an object from a branch, uncommitted. One that is not there is no error.

        Raises:
            BranchNotFound: There is no such branch.
            ProtectedBranch: The branch is protected.
        """
        check_path(path)
        self.delete_many(repository, branch, [path], force=force)

    def delete_many(self, repository: str, branch: str, paths: Sequence[str], *, force: bool = False) -> None:
        """Remove objects from a branch, uncommitted, all or none. Those that are not there are no error.

        Raises:
            BranchNotFound: There is no such branch.
            InvalidPath: A path is empty or too long.
            Invalid: There are more than 1000.
            ProtectedBranch: The branch is protected.
        """
        check_branch_name(branch)
        if len(paths) > MAX_DELETED:
            raise Invalid(f"request size exceeded, max paths is set to {MAX_DELETED}")
        for path in paths:
            check_path(path)

        def work(transaction: Transaction) -> None:
            head = history.load(transaction, repository, staging_head(transaction, repository, branch, force=force))
            for path in paths:
                staging.remove(transaction, repository, branch, head, path)

        self._database.write(work)

    def copy(
        self,
        repository: str,
        branch: str,
        path: str,
        *,
        source_repository: str | None = None,
        source_ref: str,
        source_path: str,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
        force: bool = False,
    ) -> Entry:
        """Put a copy of an object on a branch, uncommitted. No bytes are copied.

        Args:
            source_repository: *repository*, if ``None``.
            content_type: The source's, if ``None``.
            metadata: The source's, if ``None``.

        Raises:
            ObjectNotFound: There is no such source.
            Gone: Its bytes have been collected as garbage.
            BranchNotFound, InvalidPath, ProtectedBranch, ReadOnlyRepository, PreconditionFailed: As :meth:`stage`.
        """
        check_branch_name(branch)
        check_ref(source_ref)
        check_path(source_path)
        check_path(path)
        origin = source_repository or repository

        def work(transaction: Transaction) -> Entry:
            find_repository(transaction, repository)
            branch_head(transaction, repository, branch)
            find_repository(transaction, origin)
            source = _existing(transaction, origin, resolve(transaction, origin, source_ref), source_path)
            if self._store.within(transaction).size(source.address) is None:
                raise Gone(f"the bytes of object {source.address} are missing from the store")
            entry = _renewed(source, content_type, metadata)._replace(key=path, mtime=int(time.time()))
            return self._stage(transaction, repository, branch, entry, if_absent=if_absent, force=force)

        return self._database.write(work)

    def set_metadata(self, repository: str, branch: str, path: str, metadata: Mapping[str, str]) -> Entry:
        """Replace the user's metadata of an object, uncommitted.

        Raises:
            ObjectNotFound: There is no such object.
            ProtectedBranch, ReadOnlyRepository: As :meth:`stage`.
        """
        check_branch_name(branch)
        check_path(path)

        def work(transaction: Transaction) -> Entry:
            head = staging_head(transaction, repository, branch, force=False)
            old = _existing(transaction, repository, Resolved(head, branch, staging=False), path)
            entry = _renewed(old, None, metadata)
            staging.put(transaction, repository, branch, entry)
            return entry

        return self._database.write(work)

    def _stage(
        self, transaction: Transaction, repository: str, branch: str, entry: Entry, *, if_absent: bool, force: bool
    ) -> Entry:
        return stage_entry(transaction, self._store, repository, branch, entry, if_absent=if_absent, force=force)


def entry_of(path: str, blob: Blob, content_type: str, metadata: Mapping[str, str]) -> Entry:
    """The entry of *blob* at *path*, of now."""
    return tree.entry(
        path,
        size=blob.size,
        etag=blob.md5,
        address=blob.address,
        mtime=int(time.time()),
        content_type=content_type,
        metadata=metadata,
    )


def stage_entry(
    transaction: Transaction,
    store: Store,
    repository: str,
    branch: str,
    entry: Entry,
    *,
    if_absent: bool,
    force: bool,
) -> Entry:
    """Stage *entry*, unless :meth:`Objects.stage` says why not."""
    head = staging_head(transaction, repository, branch, force=force)
    if if_absent:
        commit = history.load(transaction, repository, head)
        if _find(transaction, repository, commit, branch, entry.key) is not None:
            raise PreconditionFailed("path already exists")
    store.check_held(transaction, entry.address)
    staging.put(transaction, repository, branch, entry)
    return entry


def _renewed(old: Entry, content_type: str | None, metadata: Mapping[str, str] | None) -> Entry:
    """*old* with another content type or metadata; ``None`` keeps them."""
    return tree.entry(
        old.key,
        size=old.size,
        etag=old.etag,
        address=old.address,
        mtime=old.mtime,
        content_type=old.content_type if content_type is None else content_type,
        metadata=old.metadata if metadata is None else metadata,
    )


def _find(transaction: Transaction, repository: str, commit: Commit, branch: str | None, path: str) -> Entry | None:
    if branch is not None:
        staged = staging.get(transaction, repository, branch, path)
        if staged is not None:
            return staged.entry
    return tree.get(RowNodes(transaction), commit.tree, path)


def _existing(transaction: Transaction, repository: str, resolved: Resolved, path: str) -> Entry:
    commit = history.load(transaction, repository, resolved.commit_id)
    entry = _find(transaction, repository, commit, resolved.branch, path)
    if entry is None:
        raise ObjectNotFound
    return entry


def _overlaid(entries: Iterator[Entry], staged: Iterator[staging.Staged]) -> Iterator[Entry]:
    """*entries* with what is *staged* laid over them, both by key."""
    entry = next(entries, None)
    for key, replacement in staged:
        while entry is not None and entry.key < key:
            yield entry
            entry = next(entries, None)
        if entry is not None and entry.key == key:
            entry = next(entries, None)
        if replacement is not None:
            yield replacement
    if entry is not None:
        yield entry
        yield from entries
