"""``kill -9`` at ten random moments; the command ``python -m ml_assets_tests.gate.random_kills`` does it more often."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ml_assets_tests.gate.random_kills import kill_and_repair, length_of_a_pass
from ml_assets_tests.gate.world import World


@pytest.fixture(scope="module")
def length(world: World, tmp_path_factory: pytest.TempPathFactory) -> float:
    """How long a pass takes, in seconds."""
    return length_of_a_pass(world, tmp_path_factory.mktemp("whole"))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10))
def test_killed_at_a_random_moment(world: World, length: float, tmp_path: Path, number: int) -> None:
    """A pass over the graph is killed in each tenth of its time, twice: the target is whole, one more completes."""
    moment = length * random.uniform(number, number + 1) / 10
    kill_and_repair(world, tmp_path / "home", moment)
