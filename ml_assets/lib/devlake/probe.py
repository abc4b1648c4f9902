"""Asks a server of the embedded lake from outside: is it there, does it know these keys, what is in it."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from ml_assets.lib.core.errors import ConfigError, LakeUnavailable
from ml_assets.lib.devlake.credentials import Credentials

TIMEOUT_S: Final = 10.0


def is_healthy(url: str) -> bool:
    """Whether a lake answers at *url*."""
    try:
        return _get(url, "/api/v1/healthcheck")[0] == http.HTTPStatus.NO_CONTENT
    except LakeUnavailable:
        return False


def check_keys(url: str, credentials: Credentials) -> None:
    """Return only if *credentials* open the lake at *url*.

    Raises:
        ConfigError: It was started with others.
        LakeUnavailable: No answer.
    """
    next(repositories(url, credentials), None)


def repositories(url: str, credentials: Credentials) -> Iterator[str]:
    """The names of the repositories of the lake at *url*, in order.

    Raises:
        ConfigError: It was started with other keys.
        LakeUnavailable: No answer, or one that makes no sense.
    """
    after, more = "", True
    while more:
        status, body = _get(url, f"/api/v1/repositories?amount=1000&after={after}", credentials)
        if status == http.HTTPStatus.UNAUTHORIZED:
            raise ConfigError(
                f"the lake at {url} was started with other keys than this process has",
                remedy="use the same keys, or `ml-assets lake stop` to have it started with these",
            )
        if status != http.HTTPStatus.OK:
            raise LakeUnavailable(f"the lake at {url} answers {status}", remedy="look at its log in the state folder")
        page = json.loads(body)
        yield from (repository["id"] for repository in page["results"])
        after, more = page["pagination"]["next_offset"], page["pagination"]["has_more"]


def _get(url: str, path: str, credentials: Credentials | None = None) -> tuple[int, bytes]:
    headers = {}
    if credentials is not None:
        pair = f"{credentials.access_key_id}:{credentials.secret_access_key.get_secret_value()}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise LakeUnavailable(f"no answer from the lake at {url}: {error}", remedy="try again") from error
    finally:
        connection.close()
