"""The one key of the embedded lake: from the environment, or made once and kept in the state folder.

The secret is never printed, logged or put on a command line; the file is readable by its owner only.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import stat
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from pydantic import SecretStr

from ml_assets.lib.core.errors import ConfigError

KEY_VARIABLE: Final = "ML_ASSETS_LAKE_ACCESS_KEY_ID"
SECRET_VARIABLE: Final = "ML_ASSETS_LAKE_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a variable
FILE: Final = "lake-credentials.json"

_KEY_CHARACTERS: Final = string.ascii_uppercase + string.digits
_SECRET_CHARACTERS: Final = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key id and its secret."""

    access_key_id: str
    secret_access_key: SecretStr

    @classmethod
    def load(cls, home: Path, environment: Mapping[str, str] = os.environ) -> Self:
        """Those of *environment*, else those kept in *home*, else new ones, kept from now on.

        Processes that race get the same ones.

        Raises:
            ConfigError: Only half of them is set, or the file is damaged or open to others.
        """
        key, secret = environment.get(KEY_VARIABLE), environment.get(SECRET_VARIABLE)
        if bool(key) != bool(secret):
            raise ConfigError(f"only one of {KEY_VARIABLE} and {SECRET_VARIABLE} is set", remedy="set both or none")
        if key and secret:
            return cls(key, SecretStr(secret))
        file = home / FILE
        if not file.exists():
            _make(file)
        return cls(*_read(file))

    def secret_of(self, access_key_id: str) -> str | None:
        """The secret of *access_key_id*, or ``None`` if it is another key."""
        if hmac.compare_digest(access_key_id.encode(errors="replace"), self.access_key_id.encode()):
            return self.secret_access_key.get_secret_value()
        return None

    def match(self, access_key_id: str, secret: str) -> bool:
        """Whether both parts are right, in a time that does not tell which part is not."""
        ours = f"{self.access_key_id}\0{self.secret_access_key.get_secret_value()}"
        return hmac.compare_digest(f"{access_key_id}\0{secret}".encode(errors="replace"), ours.encode())


def _make(file: Path) -> None:
    """Write new credentials to *file*, whole, unless somebody else was faster."""
    content = {
        "access_key_id": f"AKIAJ{_random(_KEY_CHARACTERS, 14)}Q",  # as `lakectl doctor` expects it
        "secret_access_key": _random(_SECRET_CHARACTERS, 40),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            json.dump(content, stream)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            # Unlike a rename, a link never replaces: the first of two racing processes wins for both.
            file.hardlink_to(temporary)
        except FileExistsError:
            return
    finally:
        temporary.unlink()


def _random(characters: str, length: int) -> str:
    return "".join(secrets.choice(characters) for _ in range(length))


def _read(file: Path) -> tuple[str, SecretStr]:
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise ConfigError(f"{file} can be read by others", remedy=f"chmod 600 {file}")
    try:
        content = json.loads(file.read_text())
        key, secret = content["access_key_id"], content["secret_access_key"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{file} is damaged: {error!r}", remedy="restore it, or remove it to have new keys made"
        ) from error
    return str(key), SecretStr(str(secret))
