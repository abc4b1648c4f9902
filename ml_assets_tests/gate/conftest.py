"""Fixtures of the gate's tests: one lake with the whole graph published, and places in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml_assets.lib.core.names import Unit
from ml_assets.lib.gate.outcome import Published
from ml_assets_tests.gate.world import SOURCE, TRIPS, Place, World, build, trips, write_distribution, write_trips
from ml_assets_tests.lakes import LakeEndpoint, lake_endpoint

__all__ = ["distribution", "lake_endpoint", "moved_on", "place", "place_before", "world"]


@pytest.fixture(scope="session")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the installed trips, on ``sys.path``."""
    folder = tmp_path_factory.mktemp("distribution")
    write_distribution(folder)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def world(lake_endpoint: LakeEndpoint, distribution: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A lake in which one unit of each kind is published on ``main``."""
    return build(lake_endpoint, tmp_path_factory.mktemp("world"), distribution)


@pytest.fixture
def place(world: World, tmp_path: Path) -> Place:
    """A target of the test's own, on which everything is published."""
    return world.place(tmp_path / "home")


@pytest.fixture
def moved_on(place: Place, tmp_path: Path) -> Place:
    """A place at which new trips were published, and nothing that rests on them."""
    assert isinstance(place.materialize(SOURCE, path=write_trips(tmp_path / "more.csv", trips(TRIPS + 20))), Published)
    return place


@pytest.fixture
def place_before(world: World, tmp_path: Path) -> Callable[[Unit], Place]:
    """Makes a target of the test's own, on which all that a unit needs is published, but not the unit."""
    return lambda unit: world.place(tmp_path / "home", before=unit)
