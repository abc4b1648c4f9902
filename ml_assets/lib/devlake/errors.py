"""What the embedded lake refuses, and with which HTTP status.

::

    DevlakeError
    ├── NotFound 404            RepositoryNotFound BranchNotFound TagNotFound CommitNotFound RefNotFound
    │                           ObjectNotFound UploadNotFound
    ├── Gone 410                an object whose bytes are missing
    ├── Invalid 400             InvalidName InvalidRef InvalidPath NoChanges DirtyBranch ParentOutOfRange
    ├── Forbidden 403           ProtectedBranch ReadOnlyRepository
    ├── Conflict 409            AlreadyExists MergeConflict
    ├── PreconditionFailed 412  HooksRefused BadAction
    ├── TooManyTries 429        a branch that moves whenever hooks have been asked
    ├── Unsupported 501         lakeFS has it, this server does not
    ├── Vanished 503            bytes that were removed while they were being put on a branch
    ├── StorageFull 507
    └── InternalError 500       what should not happen; the log says more

These travel to clients of lakeFS over the wire, so their texts are lakeFS's own where it has one, and they stand apart
from the error tree of ``lib.core``, which speaks to the users of this project.
"""

from __future__ import annotations

from typing import ClassVar, Self


class DevlakeError(Exception):
    """A request that is refused. ``str(error)`` is the message for the client, ``status`` the HTTP status."""

    status: ClassVar[int] = 500

    def within(self, context: str) -> Self:
        """This error, whose message begins with *context*."""
        self.args = (f"{context}: {self}",)
        return self


class NotFound(DevlakeError):
    """What the request names does not exist."""

    status = 404


class RepositoryNotFound(NotFound):
    """No repository has this name."""

    def __init__(self) -> None:
        super().__init__("repository not found")


class BranchNotFound(NotFound):
    """No branch has this name."""

    def __init__(self) -> None:
        super().__init__("branch not found")


class TagNotFound(NotFound):
    """No tag has this name."""

    def __init__(self) -> None:
        super().__init__("tag not found")


class CommitNotFound(NotFound):
    """No commit has this id, or history ends before the commit that was asked for."""

    def __init__(self) -> None:
        super().__init__("commit not found")


class RefNotFound(NotFound):
    """No commit, branch or tag answers to this expression."""

    def __init__(self) -> None:
        super().__init__("not found")


class ObjectNotFound(NotFound):
    """The ref has no object at this path."""

    def __init__(self) -> None:
        super().__init__("not found")


class UploadNotFound(NotFound):
    """No multipart upload has this id: never started, completed or aborted."""

    def __init__(self) -> None:
        super().__init__("upload not found")


class Gone(DevlakeError):
    """The bytes of an object are missing from the store."""

    status = 410


class Invalid(DevlakeError):
    """The request is malformed, or makes no sense in the present state."""

    status = 400


class InvalidName(Invalid):
    """A repository, branch or tag name that lakeFS does not allow."""


class InvalidRef(Invalid):
    """A ref expression that cannot be read, or that names no single commit."""


class InvalidPath(Invalid):
    """An object path that is empty or too long."""


class ParentOutOfRange(Invalid):
    """The commit has no parent of that number."""

    def __init__(self) -> None:
        super().__init__("given commit does not have the given parent number")


class NoChanges(Invalid):
    """A commit, merge, revert or cherry-pick that would change nothing."""

    def __init__(self) -> None:
        super().__init__("no changes")


class DirtyBranch(Invalid):
    """The branch has uncommitted changes, and the operation needs it clean."""

    def __init__(self) -> None:
        super().__init__("uncommitted changes (dirty branch)")


class Forbidden(DevlakeError):
    """Understood, but not allowed here."""

    status = 403


class ProtectedBranch(Forbidden):
    """A write to, or a commit on, a branch that a protection rule covers."""


class ReadOnlyRepository(Forbidden):
    """A write to a read-only repository without ``force``."""

    def __init__(self) -> None:
        super().__init__("read-only repository")


class Conflict(DevlakeError):
    """The request contradicts what is already there."""

    status = 409


class AlreadyExists(Conflict):
    """The name is taken."""


class MergeConflict(Conflict):
    """Both sides changed the same path differently. lakeFS does not say which paths: ask the three-dot diff."""

    def __init__(self) -> None:
        super().__init__("conflict found")


class PreconditionFailed(DevlakeError):
    """A condition that the client set does not hold."""

    status = 412


class Unsupported(DevlakeError):
    """lakeFS has it, this server does not."""

    status = 501


class Vanished(DevlakeError):
    """The bytes that a write is about have been removed as garbage in the meantime. It may be sent again."""

    status = 503

    def __init__(self) -> None:
        super().__init__("the bytes of the object were removed while it was being written: send it again")


class StorageFull(DevlakeError):
    """There is no space left for what the request writes."""

    status = 507

    def __init__(self) -> None:
        super().__init__("no space left on the disk of the lake: free some, and send it again")


class InternalError(DevlakeError):
    """Something failed that should not. The server's log has what the client is not told."""

    def __init__(self) -> None:
        super().__init__("internal error; the server's log has the details")
