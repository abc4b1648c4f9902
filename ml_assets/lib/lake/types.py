"""What lakeFS answers, as values: commits, objects, differences, branches, tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Self, cast

from ml_assets.lib.core.refs import Branch, Commit, Tag

if TYPE_CHECKING:
    import lakefs_sdk


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitInfo:
    """A commit and what was said about it.

    Attributes:
        id: The commit.
        parents: Its parents; the first one is the line that was merged into.
        message: One line for people.
        metadata: Flat text; keys beginning with ``.lakefs.`` are lakeFS's own.
        created: When, UTC, whole seconds.
        committer: Who, as lakeFS knows them; empty for the first commit of a repository.
    """

    id: Commit
    parents: tuple[Commit, ...]
    message: str
    metadata: Mapping[str, str]
    created: datetime
    committer: str

    @classmethod
    def of(cls, row: lakefs_sdk.Commit) -> Self:
        """As lakeFS answers it."""
        return cls(
            id=Commit(row.id),
            parents=tuple(map(Commit, row.parents)),
            message=row.message,
            metadata=dict(row.metadata or {}),
            created=datetime.fromtimestamp(row.creation_date, UTC),
            committer=row.committer,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """One object.

    Attributes:
        path: Path inside the ref.
        checksum: Hexadecimal MD5 of the content (of the parts, for a multipart upload).
        size: Bytes.
        mtime: Time of the write, UTC, whole seconds.
    """

    path: str
    checksum: str
    size: int
    mtime: datetime

    @classmethod
    def of(cls, row: lakefs_sdk.ObjectStats) -> Self:
        """As lakeFS answers it."""
        written = datetime.fromtimestamp(row.mtime, UTC)
        return cls(path=row.path, checksum=row.checksum, size=row.size_bytes or 0, mtime=written)


DiffKind = Literal["added", "removed", "changed", "conflict"]
"""What happened to an object; ``conflict``: both sides changed it, and differently."""

DiffBase = Literal["merge-base", "left"]
"""What the right side is compared with: the merge base (three dots), or the left side itself (two dots)."""


@dataclass(frozen=True, slots=True)
class DiffRow:
    """One object that differs."""

    kind: DiffKind
    path: str

    @classmethod
    def of(cls, row: lakefs_sdk.Diff) -> Self:
        """As lakeFS answers it."""
        return cls(cast("DiffKind", row.type), row.path)


@dataclass(frozen=True, slots=True)
class BranchInfo:
    """A branch and its head."""

    branch: Branch
    commit: Commit

    @classmethod
    def of(cls, row: lakefs_sdk.Ref) -> Self:
        """As lakeFS answers it."""
        return cls(Branch(row.id), Commit(row.commit_id))

    @property
    def name(self) -> str:
        """The branch's name."""
        return self.branch.name


@dataclass(frozen=True, slots=True)
class TagInfo:
    """A tag and the commit that it names."""

    tag: Tag
    commit: Commit

    @classmethod
    def of(cls, row: lakefs_sdk.Ref) -> Self:
        """As lakeFS answers it."""
        return cls(Tag(row.id), Commit(row.commit_id))

    @property
    def name(self) -> str:
        """The tag's name."""
        return self.tag.name
