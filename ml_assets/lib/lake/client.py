"""`Lake`: one repository of a lakeFS server, in the words of the project."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import lakefs
import lakefs_sdk
from pydantic import SecretStr

from ml_assets.lib.core.errors import BadRef, LakeError, RefExists, RefNotFound
from ml_assets.lib.core.refs import Branch, Commit, Ref, RefAtTime, Tag
from ml_assets.lib.lake.connection import PAGE, Connection
from ml_assets.lib.lake.types import BranchInfo, CommitInfo, DiffBase, DiffRow, Stat, TagInfo

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

T = TypeVar("T")

TIMEOUT_S: Final = 60.0
_DOTS: Final[Mapping[DiffBase, str]] = {"merge-base": "three_dot", "left": "two_dot"}
_LOG_PAGE: Final = 100
"""The log is mostly read near its beginning, and lakeFS loads each commit of a page."""
_REF_EXPRESSION: Final = re.compile(r"[^\s/~^@$:?*\[\\]+((~\d*|\^\d*)*|[@$])")


class Lake:
    """Branch, commit, merge, diff and objects of one repository.

    One method per verb of lakeFS, which makes the class longer than others. No method keeps state: threads may share
    it.

    Args:
        endpoint: Root of the server, ``http://host:port``.
        repository: Name of the repository.
        access_key_id: Names the user.
        secret_access_key: Proves it; shows in no ``repr`` and no error.
        timeout_s: Limit for one request, in seconds.

    Raises:
        LakeError: From every method: `LakeUnavailable` without a usable answer (a write may have landed then),
            `LakeBusy` after the last retry, `AccessDenied`, `RefNotFound` for a missing repository or ref.
    """

    def __init__(
        self,
        endpoint: str,
        repository: str,
        access_key_id: str,
        secret_access_key: str | SecretStr,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        secret = secret_access_key if isinstance(secret_access_key, SecretStr) else SecretStr(secret_access_key)
        self.repository = repository
        self.connection = Connection(endpoint, access_key_id, secret, timeout_s=timeout_s)
        self._sdk = self.connection.sdk

    def __repr__(self) -> str:
        return f"Lake({self.endpoint!r}, {self.repository!r})"

    @property
    def endpoint(self) -> str:
        """Root of the server, without a slash behind it."""
        return self.connection.endpoint

    @property
    def calls(self) -> Counter[str]:
        """REST requests sent so far, by name of the operation; repeated ones count each time."""
        return self.connection.calls

    @property
    def gateway(self) -> S3FileSystem:
        """The S3 side of the server: paths are ``<repository>/<ref>/<path>``."""
        return self.connection.gateway

    def ensure_repository(self, storage_namespace: str | None = None) -> None:
        """Make the repository unless it is there; several may try at once.

        Args:
            storage_namespace: Where its bytes go; ``None`` means a folder of its name under the server's default.
        """
        if self._is_there():
            return
        if storage_namespace is None:
            storage = self.connection.ask("server configuration", self._sdk.config_api.get_config).storage_config
            prefix = (storage and storage.default_namespace_prefix) or "local://"
            storage_namespace = f"{prefix if prefix.endswith('/') else f'{prefix}/'}{self.repository}"
        repository = lakefs.Repository(self.repository, self.connection.wrapper)
        try:
            self.connection.change(f"create repository {self.repository!r}", repository.create, storage_namespace)
        except LakeError:
            # It may have landed, or somebody else is at it: lakeFS takes the storage namespace first (and tells the
            # second one so), and shows the repository a little later.
            for _ in range(10):
                if self._is_there():
                    return
                time.sleep(0.2)
            raise

    def _is_there(self) -> bool:
        try:
            self._ask("look for the repository", self._sdk.repositories_api.get_repository)
        except RefNotFound:
            return False
        return True

    # Refs

    def head(self, branch: Branch) -> Commit:
        """The commit that *branch* is at."""
        return Commit(self._ask(f"head of {branch}", self._sdk.branches_api.get_branch, branch.name).commit_id)

    def resolve(self, text: str) -> Commit:
        """The commit that *text* means: a ref expression, optionally with a moment (``main@2026-11-20T10:00Z``).

        With a moment: the newest commit of the ref's first-parent line that was made by then.

        Raises:
            BadRef: Not a ref expression, or no such time.
            RefNotFound: No such ref, or its line began later.
        """
        asked = RefAtTime.parse(text)
        if asked.at is None:
            return self.info(asked.ref).id
        commit = None
        for commit in self.log(asked.ref):
            if commit.created <= asked.at:
                return commit.id
        began = f": its line began at {commit.created:%Y-%m-%dT%H:%M:%SZ}" if commit else ""
        raise RefNotFound(
            f"{asked.ref!r} had no commit at {asked.at:%Y-%m-%dT%H:%M:%SZ}{began}", remedy="ask for a later moment"
        )

    def info(self, ref: Ref | str) -> CommitInfo:
        """The commit that *ref* is at, with what was said about it."""
        return CommitInfo.of(self._ask(f"commit of {ref}", self._sdk.commits_api.get_commit, _expression(ref)))

    def log(
        self, ref: Ref | str, *, first_parent: bool = True, amount: int | None = None, objects: Sequence[str] = ()
    ) -> Iterator[CommitInfo]:
        """Commits from *ref* backwards, newest first.

        Args:
            ref: Where to begin.
            first_parent: Stay on the line that others were merged into.
            amount: At most so many; ``None`` means all.
            objects: Only commits that changed one of these paths; none given means all commits.
        """
        rows = self._rows(
            f"log of {ref}",
            self._sdk.refs_api.log_commits,
            _expression(ref),
            limit=amount,
            page=_LOG_PAGE,
            first_parent=first_parent,
            objects=list(objects) or None,
        )
        return map(CommitInfo.of, rows)

    def branches(self, prefix: str = "", *, hidden: bool = False) -> Iterator[BranchInfo]:
        """Branches whose name begins with *prefix*, in order of name; with *hidden*, the hidden ones too."""
        list_branches = self._sdk.branches_api.list_branches
        rows = self._rows(f"branches {prefix}*", list_branches, prefix=prefix, show_hidden=hidden)
        return map(BranchInfo.of, rows)

    def branch(self, name: Branch, source: Ref, *, hidden: bool = False) -> bool:
        """Make the branch *name* at *source*. False: there is one of this name, wherever it is at.

        Raises:
            RefExists: The name belongs to a tag.
        """
        creation = lakefs_sdk.BranchCreation(name=name.name, source=str(source), hidden=hidden)
        try:
            self._change(f"branch {name} from {source}", self._sdk.branches_api.create_branch, creation)
        except RefExists as taken:
            try:
                self.head(name)
            except RefNotFound:
                raise taken from None
            return False
        return True

    def drop(self, branch: Branch) -> None:
        """Remove *branch* and what is uncommitted on it; fine if there is none. Its commits stay readable."""
        try:
            self._change(f"drop {branch}", self._sdk.branches_api.delete_branch, branch.name)
        except RefNotFound:
            return

    def tags(self, prefix: str = "") -> Iterator[TagInfo]:
        """Tags whose name begins with *prefix*, in order of name."""
        rows = self._rows(f"tags {prefix}*", self._sdk.tags_api.list_tags, prefix=prefix)
        return map(TagInfo.of, rows)

    def tag(self, tag: Tag, commit: Commit) -> None:
        """Give *commit* a name for ever; fine if it has this one already.

        Raises:
            RefExists: The name belongs to another commit, or to a branch.
        """
        creation = lakefs_sdk.TagCreation(id=tag.name, ref=commit.id)
        try:
            self._change(f"tag {commit.short} as {tag}", self._sdk.tags_api.create_tag, creation)
        except RefExists as taken:
            try:
                known = self._ask(f"commit of tag {tag}", self._sdk.tags_api.get_tag, tag.name).commit_id
            except RefNotFound:
                raise taken from None
            if known != commit.id:
                raise

    def delete_tag(self, tag: Tag) -> None:
        """Remove *tag*; fine if there is none."""
        try:
            self._change(f"delete tag {tag}", self._sdk.tags_api.delete_tag, tag.name)
        except RefNotFound:
            return

    # Changes

    def commit(self, branch: Branch, message: str, metadata: Mapping[str, str], *, allow_empty: bool = False) -> Commit:
        """Commit all that is uncommitted on *branch*.

        Raises:
            NothingToCommit: Nothing is, and *allow_empty* is not said.
        """
        creation = lakefs_sdk.CommitCreation(message=message, metadata=dict(metadata), allow_empty=allow_empty)
        return Commit(self._change(f"commit on {branch}", self._sdk.commits_api.commit, branch.name, creation).id)

    def uncommitted(self, branch: Branch, limit: int | None = None) -> Iterator[DiffRow]:
        """Objects that differ between *branch* and its head, in order of path, at most *limit*."""
        rows = self._rows(f"uncommitted on {branch}", self._sdk.branches_api.diff_branch, branch.name, limit=limit)
        return map(DiffRow.of, rows)

    def diff(
        self, left: Ref, right: Ref, *, base: DiffBase = "merge-base", prefix: str = "", limit: int | None = None
    ) -> Iterator[DiffRow]:
        """Committed objects that differ, in order of path.

        Args:
            left: Compared with; for the merge base: the destination of a merge.
            right: What may have changed; for the merge base: its source.
            base: ``merge-base``: what *right* changed since they parted and *left* did not change alike; ``conflict``
                where both did, differently. ``left``: whatever differs between the two.
            prefix: Only paths that begin with it.
            limit: At most so many rows.
        """
        rows = self._rows(
            f"difference {left} to {right}",
            self._sdk.refs_api.diff_refs,
            str(left),
            str(right),
            limit=limit,
            prefix=prefix,
            type=_DOTS[base],
        )
        return map(DiffRow.of, rows)

    def merge_base(self, one: Ref, other: Ref) -> Commit:
        """The commit at which the histories of the two part."""
        find = self._sdk.refs_api.find_merge_base
        # The other two fields of the answer are not read: lakeFS sends them swapped.
        return Commit(self._ask(f"merge base of {one} and {other}", find, str(one), str(other)).base_commit_id)

    def merge(
        self,
        source: Branch | Commit,
        into: Branch,
        message: str,
        metadata: Mapping[str, str],
        *,
        allow_empty: bool = False,
    ) -> Commit:
        """Merge what is committed at *source*. Always makes a commit, which is returned; never resolves a conflict.

        Raises:
            Conflict: Both sides changed the same object (`diff` lists them).
            DirtyBranch: *into* has uncommitted objects.
            NothingToCommit: *source* brings nothing, and *allow_empty* is not said.
            HookRefused: A hook of the repository said no.
        """
        merge = lakefs_sdk.Merge(message=message, metadata=dict(metadata), allow_empty=allow_empty)
        into_branch = self._sdk.refs_api.merge_into_branch
        return Commit(
            self._change(f"merge {source} into {into}", into_branch, str(source), into.name, merge=merge).reference
        )

    def absorb(self, source: Commit, into: Branch, message: str, metadata: Mapping[str, str]) -> Commit:
        """Take over all that *source* changed, but where both changed an object, *into*'s stays: never to publish.

        The commit has one parent: *source* does not count as merged.

        Raises:
            DirtyBranch, NothingToCommit: As `merge`.
        """
        merge = lakefs_sdk.Merge(message=message, metadata=dict(metadata), strategy="dest-wins", squash_merge=True)
        into_branch = self._sdk.refs_api.merge_into_branch
        return Commit(
            self._change(f"absorb {source} into {into}", into_branch, str(source), into.name, merge=merge).reference
        )

    def revert(self, branch: Branch, commit: Commit) -> None:
        """Add a commit to *branch* that takes back what *commit* changed against its first parent.

        Raises:
            Conflict: Something was built on it since.
            DirtyBranch: *branch* has uncommitted objects.
            NothingToCommit: It is taken back already.
        """
        creation = lakefs_sdk.RevertCreation(ref=commit.id, parent_number=1)
        revert_branch = self._sdk.branches_api.revert_branch
        self._change(f"revert {commit.short} on {branch}", revert_branch, branch.name, creation)

    # Objects

    def read(self, ref: Ref, path: str) -> bytes | None:
        """The bytes of an object, uncommitted ones of a branch included; ``None`` if *ref* has none at *path*."""
        return self._found(ref, bytes, f"read {path!r} at {ref}", self._sdk.objects_api.get_object, path)

    def stat(self, ref: Ref, path: str) -> Stat | None:
        """Checksum, size and time of an object; ``None`` if *ref* has none at *path*."""
        return self._found(ref, Stat.of, f"stat {path!r} at {ref}", self._sdk.objects_api.stat_object, path)

    def ls(self, ref: Ref, prefix: str) -> Iterator[Stat]:
        """Objects whose path begins with *prefix*, in order of path, uncommitted ones of a branch included."""
        list_objects = self._sdk.objects_api.list_objects
        return map(Stat.of, self._rows(f"list {prefix!r} at {ref}", list_objects, str(ref), prefix=prefix))

    def folders(self, ref: Ref, prefix: str) -> Iterator[str]:
        """Names of the folders in *prefix*, which is empty or ends in a slash."""
        list_objects = self._sdk.objects_api.list_objects
        rows = self._rows(f"list {prefix!r} at {ref}", list_objects, str(ref), prefix=prefix, delimiter="/")
        return (row.path[len(prefix) : -1] for row in rows if row.path_type == "common_prefix")

    def put(self, branch: Branch, path: str, data: bytes, *, if_absent: bool = False) -> Stat:
        """Write an object, uncommitted.

        Args:
            branch: Where.
            path: Path inside the branch.
            data: All of it.
            if_absent: Only if there is none; the server decides in one step.

        Raises:
            ObjectExists: *if_absent*, and there is one.
        """
        upload, condition = self._sdk.objects_api.upload_object, "*" if if_absent else None
        where = f"write {path!r} on {branch}"
        return Stat.of(self._change(where, upload, branch.name, path, if_none_match=condition, content=data))

    def delete(self, branch: Branch, paths: Iterable[str]) -> None:
        """Remove objects, uncommitted; those that are not there are fine."""
        rest = list(paths)
        while rest:
            chunk, rest = rest[:PAGE], rest[PAGE:]
            where = f"delete {chunk[0]!r} and {len(chunk) - 1} more on {branch}"
            answer = self._change(
                where, self._sdk.objects_api.delete_objects, branch.name, lakefs_sdk.PathList(paths=chunk)
            )
            if answer.errors:
                first = answer.errors[0]
                raise LakeError(f"{where}: {first.path!r}: {first.status_code} {first.message}", remedy="repeat it")

    # Every call but one names the repository first

    def _ask(self, where: str, call: Callable[..., T], *args: object, **kwargs: object) -> T:
        return self.connection.ask(f"{self.repository}: {where}", call, self.repository, *args, **kwargs)

    def _change(self, where: str, call: Callable[..., T], *args: object, **kwargs: object) -> T:
        return self.connection.change(f"{self.repository}: {where}", call, self.repository, *args, **kwargs)

    def _rows(self, where: str, call: Callable[..., Any], *args: str, **kwargs: Any) -> Iterator[Any]:
        return self.connection.rows(f"{self.repository}: {where}", call, self.repository, *args, **kwargs)

    def _found(
        self, ref: Ref, read: Callable[[Any], T], where: str, call: Callable[[str, str, str], Any], path: str
    ) -> T | None:
        try:
            return read(self._ask(where, call, str(ref), path))
        except RefNotFound:
            self.info(ref)  # raises if it is the ref that is missing: lakeFS says "not found" for both
            return None


def _expression(ref: Ref | str) -> str:
    """*ref* as text, checked if it came as text: for some spellings lakeFS answers 500 or drops the connection."""
    if isinstance(ref, str) and not _REF_EXPRESSION.fullmatch(ref):
        raise BadRef(
            f"{ref!r} is not a ref", remedy="write a branch, tag or commit id, optionally with ~N or ^N behind it"
        )
    return str(ref)
