"""Refs of the lake as types: writers hold a `Branch`, readers hold a `Commit`.

The names are lakeFS's own: a branch is letters, digits, ``-`` and ``_``; a commit id is 64 lower-case hexadecimal
digits; a tag has no ``/``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from ml_assets.lib.core.errors import BadRef

_BRANCH = re.compile(r"\w[-\w]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{64}")
_TAG_REFUSED = re.compile(r"[\s/^:?*\[\\\x00-\x1f\x7f]|\.\.|@\{|\.$|\.lock$|^@$")


@dataclass(frozen=True, slots=True)
class Branch:
    """A moving, writable name. Only the gate holds one for writing.

    Raises:
        BadRef: The name is not one that lakeFS allows.
    """

    name: str

    def __post_init__(self) -> None:
        if not _BRANCH.fullmatch(self.name):
            raise BadRef(
                f"{self.name!r} is not a branch name",
                remedy="use letters, digits, '-' and '_' only, beginning with no '-'",
            )

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Tag:
    """A fixed name of a commit.

    Raises:
        BadRef: The name is not one that lakeFS allows.
    """

    name: str

    def __post_init__(self) -> None:
        if not self.name or _TAG_REFUSED.search(self.name):
            raise BadRef(
                f"{self.name!r} is not a tag name", remedy="leave out '/', blanks and '^:?*[\\', as in 'features-v1'"
            )

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Commit:
    """An immutable state of the lake. What is read by it never changes.

    Raises:
        BadRef: Not a full commit id.
    """

    id: str

    def __post_init__(self) -> None:
        if not _COMMIT.fullmatch(self.id):
            raise BadRef(f"{self.id!r} is not a full commit id", remedy="give all 64 hexadecimal digits in lower case")

    def __str__(self) -> str:
        return self.id

    @property
    def short(self) -> str:
        """The first twelve digits, for people."""
        return self.id[:12]


Ref = Branch | Tag | Commit


@dataclass(frozen=True, slots=True)
class RefAtTime:
    """A ref expression, optionally with a moment: ``main@2026-11-20T10:00Z``.

    Attributes:
        ref: Any ref expression lakeFS resolves: branch, tag, commit id or a unique prefix of one.
        at: The moment asked for, zone aware; ``None`` means the ref's head.
    """

    ref: str
    at: datetime | None = None

    @classmethod
    def parse(cls, text: str) -> RefAtTime:
        """Read ``ref`` or ``ref@time``; the time is ISO 8601 and UTC unless it says otherwise.

        Raises:
            BadRef: No ref before the ``@``, or no such time after it.
        """
        ref, at, moment = text.partition("@")
        if not ref:
            raise BadRef(
                f"{text!r} names no ref", remedy="write a branch, tag or commit id, as in 'main@2026-11-20T10:00Z'"
            )
        if not at:
            return cls(ref)
        try:
            parsed = datetime.fromisoformat(moment)
            at_utc = parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        except (ValueError, OverflowError) as error:
            raise BadRef(
                f"{moment!r} in {text!r} is not a time", remedy="write ISO 8601, as in 'main@2026-11-20T10:00Z'"
            ) from error
        return cls(ref, at_utc)
