"""The embedded lake's server with the guard in it: nothing else has to run for a protected target.

``python -m ml_assets.lib.gate.embedded --home H`` is how the lake is started at its first use.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from ml_assets.lib.devlake.server import Endpoint, main

if TYPE_CHECKING:
    from starlette.types import ASGIApp

MODULE: Final = "ml_assets.lib.gate.embedded"


def beside(endpoint: Endpoint) -> Mapping[str, ASGIApp]:
    """The guard, at its path. It shares a secret with the hooks of this process that nobody else ever sees."""
    from ml_assets.lib.gate.guard import PATH, TOKEN_VARIABLE, guard_of

    token = secrets.token_urlsafe(32)
    os.environ[TOKEN_VARIABLE] = token
    return {PATH: guard_of(endpoint.url, endpoint.access_key_id, endpoint.secret_access_key, SecretStr(token))}


if __name__ == "__main__":
    main(beside)
