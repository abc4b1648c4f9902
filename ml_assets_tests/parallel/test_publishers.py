"""The scenes of `publishers` with few of them; the command plays them with fifty."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_assets_tests.gate.world import World
from ml_assets_tests.parallel.publishers import SCENES, Stage, different_units, graph

COUNT = 3


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_scene(world: World, tmp_path: Path, name: str) -> None:
    """On one machine: everything lands, each publication is true, digests are those of a series."""
    SCENES[name](Stage(world=world, folder=tmp_path, count=COUNT))


@pytest.mark.slow
def test_scattered_and_disturbed(world: World, tmp_path: Path) -> None:
    """A machine each, with lost answers, refused connections, 429 and 503 among the requests: nothing is lost."""
    graph(Stage(world=world, folder=tmp_path, count=4, machines=True, faults=0.05))


@pytest.mark.slow
def test_lost_answers(world: World, tmp_path: Path) -> None:
    """One gets no answer to its first request, the next to its second, and so on; each publishes in the end."""
    played = different_units(Stage(world=world, folder=tmp_path, count=6, lose=True))
    assert 6 == played.outcomes["Published"]
