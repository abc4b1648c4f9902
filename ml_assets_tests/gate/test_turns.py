"""Who lost a race for a unit begins again when it is its turn on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock, Timeout
from tenacity import wait_none

from ml_assets.lib.core.names import Unit
from ml_assets.lib.gate import attempts
from ml_assets.lib.gate.gate import Step
from ml_assets.lib.gate.outcome import Published
from ml_assets_tests.gate.world import SOURCE, TRIPS, VIEW, Place, trips, write_trips


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts begin again without a pause."""
    monkeypatch.setattr(attempts, "wait_random_exponential", lambda **_options: wait_none())


def is_held(lock: Path) -> bool:
    """Whether somebody has the lock."""
    lock.parent.mkdir(exist_ok=True)
    try:
        FileLock(lock, timeout=0).acquire().lock.release()
    except Timeout:
        return True
    return False


def disturbed(place: Place) -> list[bool]:
    """Publish the view while its source moves during the first attempt; whether each attempt had the turn."""
    lock, turns = place.home / "turns" / f"{VIEW.slug}.lock", list[bool]()

    def observe(step: Step, _unit: Unit) -> None:
        if step != Step.WRITE:
            return
        turns.append(is_held(lock))
        if len(turns) == 1:
            path = write_trips(place.home / "trips.csv", trips(TRIPS + 20))
            assert isinstance(place.materialize(SOURCE, path=path), Published)

    outcome = place.materialize(VIEW, machinery=place.new_machinery(observe=observe))
    assert isinstance(outcome, Published)
    assert not is_held(lock) or turns[0]
    return turns


def test_a_second_try_has_the_turn(place_before: Callable[[Unit], Place]) -> None:
    """The first try waits for nobody; the second one holds the lock until the unit is published."""
    assert [False, True] == disturbed(place_before(VIEW))


def test_patience_ends(place_before: Callable[[Unit], Place], monkeypatch: pytest.MonkeyPatch) -> None:
    """Correctness does not rest on turns: a process that hangs in its own keeps no other from publishing for ever."""
    monkeypatch.setattr(attempts, "_PATIENCE_S", 0)
    place = place_before(VIEW)
    (place.home / "turns").mkdir()
    with FileLock(place.home / "turns" / f"{VIEW.slug}.lock"):
        assert [True, True] == disturbed(place)
