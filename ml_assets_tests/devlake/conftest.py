"""One server for all tests of a run, a connection to it, and a repository for each test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_assets.lib.devlake import store
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.server import Endpoint, ensure, stop
from ml_assets_tests.devlake.local import opened
from ml_assets_tests.devlake.wire import Wire


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A running server, started as users start it."""
    home = tmp_path_factory.mktemp("lake")
    yield ensure(home)
    stop(home)


@pytest.fixture
def wire(endpoint: Endpoint) -> Iterator[Wire]:
    """A connection to the server."""
    connection = Wire(endpoint)
    yield connection
    connection.close()


@pytest.fixture
def repository(wire: Wire) -> str:
    """A new repository with a branch ``main``."""
    name = f"repo-{secrets.token_hex(6)}"
    created = wire.rest("POST", "/repositories", json_body={"name": name, "storage_namespace": f"local://{name}"})
    assert created.status == 201
    return name


@pytest.fixture(scope="module", params=["rows", "files"])
def small(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether small content is kept as rows; if not, as files, as everything else is."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "files":
            patch.setattr(store, "SMALL", -1)
        yield request.param == "rows"


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    """A lake without a server, with an empty repository."""
    with opened(tmp_path / "lake") as found:
        yield found
