"""The one place that knows the exceptions of lakeFS's clients; everything else sees the errors of `lib.core.errors`.

lakeFS tells apart what went wrong by HTTP status and, within some statuses, by text only; both are listed here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import lakefs.exceptions
import lakefs_sdk.exceptions
import pydantic
import urllib3.exceptions

from ml_assets.lib.core.errors import (
    AccessDenied,
    BadRef,
    Conflict,
    DirtyBranch,
    HookRefused,
    LakeBusy,
    LakeError,
    LakeUnavailable,
    NothingToCommit,
    ObjectExists,
    RefExists,
    RefNotFound,
)

_BY_TEXT: Final[tuple[tuple[int, str, type[LakeError], str], ...]] = (
    (400, "no changes", NothingToCommit, "there is nothing to do"),
    (400, "dirty branch", DirtyBranch, "commit or reset what is uncommitted on the branch"),
    (400, "invalid value", BadRef, "correct the name"),
    (400, "parent number", BadRef, "name a commit that has this parent"),
    (409, "not unique", RefExists, "choose another name"),
    # "tag ID x: conflict found": a name clash; a conflict of contents has no subject.
    (409, "ID ", RefExists, "choose another name: a tag or commit has this one"),
    (409, "branch name ", RefExists, "choose another name: a branch has this one"),
    (
        412,
        "hook aborted",
        HookRefused,
        "its output says why (lakeFS, Actions); if nobody answers, `ml-assets lake protect` says what is missing",
    ),
)
"""Status and part of the text; looked at before `_BY_STATUS`."""

_BY_STATUS: Final[dict[int, tuple[type[LakeError], str]]] = {
    401: (AccessDenied, "check LAKECTL_CREDENTIALS_ACCESS_KEY_ID and LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"),
    403: (AccessDenied, "ask for the permission, or lift the branch protection"),
    404: (RefNotFound, "check repository and ref"),
    409: (Conflict, "look at the three-dot difference, and start again from the destination's head"),
    410: (LakeError, "the bytes were removed by garbage collection: restore them, or rebuild"),
    412: (ObjectExists, "read what is there: somebody wrote it first"),
    429: (LakeBusy, "wait, then send it again"),
    501: (LakeError, "use a lakeFS server that can do this"),
}


@contextmanager
def translated(where: str, endpoint: str) -> Iterator[None]:
    """Turn every exception of the clients inside the block into one of the project's errors.

    Args:
        where: The call, with ref and path: it becomes part of the message.
        endpoint: Who was asked, for when there is no answer.

    Raises:
        LakeError: One of its subclasses; `LakeUnavailable` when no usable answer came.
    """
    try:
        yield
    except lakefs_sdk.exceptions.ApiException as error:
        raise _refused(error.status, error.body, where, endpoint) from error
    except lakefs.exceptions.ServerException as error:
        raise _refused(error.status_code, error.body, where, endpoint) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _silent(where, endpoint, type(error).__name__) from error
    except (pydantic.ValidationError, pydantic.v1.ValidationError) as error:
        raise _silent(where, endpoint, "what answered is not lakeFS") from error


def _silent(where: str, endpoint: str, why: str) -> LakeUnavailable:
    return LakeUnavailable(
        f"{where}: no answer from {endpoint} ({why})",
        remedy="check that the lake is up; a write may have landed: look before you repeat it",
    )


def _refused(status: int | None, body: object, where: str, endpoint: str) -> LakeError:
    if not status:
        return _silent(where, endpoint, "the request could not be sent")
    text = _text(body)
    problem = f"{where}: {status} {text}".rstrip()
    for known, part, error, remedy in _BY_TEXT:
        if status == known and part in text:
            return error(problem, remedy=remedy)
    if status in _BY_STATUS:
        error, remedy = _BY_STATUS[status]
        return error(problem, remedy=remedy)
    if status >= 500:  # noqa: PLR2004 - HTTP's class of server errors
        return LakeUnavailable(
            problem, remedy="look at the server's log; a write may have landed: look before you repeat it"
        )
    return LakeError(problem, remedy="correct the call")


def _text(body: object) -> str:
    """The ``message`` of an error body; of anything else (a proxy's page) the beginning."""
    if isinstance(body, bytes):
        body = body.decode(errors="replace")
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            return str(body)[:200]
    return str(body.get("message", "")) if isinstance(body, dict) else ""
