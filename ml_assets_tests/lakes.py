"""Lakes to test against: the embedded server, and a real lakeFS where one is offered.

A folder's ``conftest.py`` imports the fixtures that its tests ask for:

    from ml_assets_tests.lakes import lake, lake_endpoint

Each test gets a repository of its own. The real lakeFS is the one that lakeFS's own clients would use: set
``LAKECTL_SERVER_ENDPOINT_URL``, ``LAKECTL_CREDENTIALS_ACCESS_KEY_ID`` and ``LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY``.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from ml_assets.lib.devlake import server
from ml_assets.lib.gate import embedded
from ml_assets.lib.lake.client import Lake


@dataclass(frozen=True, slots=True)
class LakeEndpoint:
    """A running server and the keys for it."""

    url: str
    access_key_id: str
    secret_access_key: SecretStr

    def lake(self, repository: str) -> Lake:
        """A client for *repository*, which need not exist."""
        return Lake(self.url, repository, self.access_key_id, self.secret_access_key, timeout_s=30)

    def new_lake(self) -> Lake:
        """A client for a repository that nobody else uses."""
        lake = self.lake(f"test-{uuid.uuid4().hex[:12]}")
        lake.ensure_repository()
        return lake


@pytest.fixture(scope="session", params=["embedded", pytest.param("real", marks=pytest.mark.real_lake)])
def lake_endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeEndpoint]:
    """The embedded server, and the real lakeFS of the environment."""
    if request.param == "real":
        yield LakeEndpoint(
            os.environ["LAKECTL_SERVER_ENDPOINT_URL"],
            os.environ["LAKECTL_CREDENTIALS_ACCESS_KEY_ID"],
            SecretStr(os.environ["LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"]),
        )
        return
    home = tmp_path_factory.mktemp("lake")
    endpoint = server.ensure(home, embedded.MODULE)
    try:
        yield LakeEndpoint(endpoint.url, endpoint.access_key_id, endpoint.secret_access_key)
    finally:
        server.stop(home)


@pytest.fixture
def lake(lake_endpoint: LakeEndpoint) -> Lake:
    """An empty repository."""
    return lake_endpoint.new_lake()
