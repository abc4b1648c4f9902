"""What may be called what: the names that lakeFS allows, and the texts it refuses others with."""

from __future__ import annotations

import re
from typing import Final

from ml_assets.lib.devlake.errors import Invalid, InvalidName, InvalidPath, InvalidRef

MAX_PATH_BYTES: Final = 1024

_REPOSITORY: Final = re.compile(r"[a-z0-9][a-z0-9-]{2,62}")
_BRANCH: Final = re.compile(r"\w[-\w]*", re.ASCII)
_REF: Final = re.compile(r"[^\t\n\f\r ]+")
_NAMESPACE: Final = re.compile(r"local:///*[^/].*", re.DOTALL)
_TAG_FORBIDDEN: Final = re.compile(r"\.\.|/|@\{|[\^:?*\[\\]|[\x00-\x20]")


def check_repository_name(name: str, argument: str = "repository") -> None:
    """Refuse what is not a repository name.

    Raises:
        InvalidName: It is not 3 to 63 lower-case letters, digits and inner dashes.
    """
    _check(bool(_REPOSITORY.fullmatch(name)), name, argument, "repository id: ")


def check_branch_name(name: str, argument: str = "branch") -> None:
    """Refuse what is not a branch name.

    Raises:
        InvalidName: It is not letters, digits, underscores and (not first) dashes.
    """
    _check(bool(_BRANCH.fullmatch(name)), name, argument, "branch id: ")


def check_tag_name(name: str, argument: str = "tag") -> None:
    """Refuse what is not a tag name: nearly git's rules, and no slash.

    Raises:
        InvalidName: It is none.
    """
    allowed = name != "@" and not name.endswith((".", ".lock")) and not _TAG_FORBIDDEN.search(name)
    _check(allowed, name, argument, "tag id: ")


def check_ref(ref: str, argument: str = "ref") -> None:
    """Refuse what cannot be a ref expression at all.

    Raises:
        InvalidRef: It is empty or holds white space.
    """
    if not ref:
        raise InvalidRef(f"argument {argument}: required value: validation error")
    if not _REF.fullmatch(ref):
        raise InvalidRef(f"argument {argument}: ref: invalid value: validation error")


def check_path(path: str, argument: str = "path") -> None:
    """Refuse what is not an object path.

    Raises:
        InvalidPath: It is empty or longer than 1024 bytes.
    """
    if not path:
        raise InvalidPath(f"argument {argument}: missing path: required value: validation error")
    length = len(path.encode())
    if length > MAX_PATH_BYTES:
        raise InvalidPath(
            f"argument {argument}: invalid value: validation error: {length} is above maximum length ({MAX_PATH_BYTES})"
        )


def check_storage_namespace(namespace: str) -> None:
    """Refuse what is not a storage namespace of this server.

    Raises:
        Invalid: It does not start with ``local://`` and a name.
    """
    if not _NAMESPACE.fullmatch(namespace):
        raise Invalid("invalid storage namespace: this server keeps repositories under local://<name>")


def _check(allowed: bool, name: str, argument: str, kind: str) -> None:
    if not name:
        raise InvalidName(f"argument {argument}: required value: validation error")
    if not allowed:
        raise InvalidName(f"argument {argument}: {kind}invalid value: validation error")
