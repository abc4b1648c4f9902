"""Who lost a race for a unit begins again when it is its turn on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock, Timeout
from tenacity import wait_none

from ml_assets.lib.core.names import Unit
from ml_assets.lib.gate import attempts, turns
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
    lock, had = place.home / "turns" / f"{VIEW.slug}.lock", list[bool]()

    def observe(step: Step, _unit: Unit) -> None:
        if step != Step.WRITE:
            return
        had.append(is_held(lock))
        if len(had) == 1:
            path = write_trips(place.home / "trips.csv", trips(TRIPS + 20))
            assert isinstance(place.materialize(SOURCE, path=path), Published)

    outcome = place.materialize(VIEW, machinery=place.new_machinery(observe=observe))
    assert isinstance(outcome, Published)
    assert not is_held(lock) or had[0]
    return had


def test_a_second_try_has_the_turn(place_before: Callable[[Unit], Place]) -> None:
    """The first try waits for nobody; the second one holds the lock until the unit is published."""
    assert [False, True] == disturbed(place_before(VIEW))


def test_patience_ends(place_before: Callable[[Unit], Place], monkeypatch: pytest.MonkeyPatch) -> None:
    """Correctness does not rest on turns: a process that hangs in its own keeps no other from publishing for ever."""
    monkeypatch.setattr(turns, "PATIENCE_S", 0)
    place = place_before(VIEW)
    (place.home / "turns").mkdir()
    with FileLock(place.home / "turns" / f"{VIEW.slug}.lock"):
        assert [True, True] == disturbed(place)


class Stopped:
    """A process that holds a lock and was stopped with Ctrl-Z."""

    def __init__(self, lock: Path) -> None:
        code = (
            "import os, signal, sys; from pathlib import Path; from ml_assets.lib.gate.turns import turn\n"
            "with turn(Path(sys.argv[1]), 'a test'): print('held', flush=True); os.kill(os.getpid(), signal.SIGSTOP)"
        )
        self.process = subprocess.Popen([sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"
        while psutil.Process(self.process.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)


@pytest.fixture
def stopped() -> Iterator[Callable[[Path], Stopped]]:
    """Starts such processes, and ends them after the test."""
    made: list[Stopped] = []

    def start(lock: Path) -> Stopped:
        made.append(Stopped(lock))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.communicate()


def test_a_stopped_process_does_not_keep_others_from_merging(
    place_before: Callable[[Unit], Place],
    stopped: Callable[[Path], Stopped],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever waits says for whom, again and again, and after a limited time merges without the lock."""
    monkeypatch.setattr(turns, "PATIENCE_S", 0.5)
    monkeypatch.setattr(turns, "REMIND_S", 0.2)
    place = place_before(VIEW)
    holder = stopped(place.home / "merge.lock")
    assert isinstance(place.materialize(VIEW), Published)
    told = [record.getMessage() for record in caplog.records if record.name == turns.__name__]
    assert len(told) >= 2
    assert all(f"merge of {VIEW}" in line and f"process {holder.process.pid}" in line for line in told)
    assert all("stopped" in line for line in told)
    assert "going on without it" in told[-1]
    place.check_whole()


def test_the_merge_has_the_lock(place_before: Callable[[Unit], Place], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is free again afterwards, and no note of its holder stays."""
    place = place_before(VIEW)
    lock, seen = place.home / "merge.lock", list[tuple[bool, str]]()
    machinery = place.new_machinery()
    merge = machinery.lake.merge

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append((is_held(lock), turns.holder(lock)))
        return merge(*args, **kwargs)

    monkeypatch.setattr(machinery.lake, "merge", watched)
    assert isinstance(place.materialize(VIEW, machinery=machinery), Published)
    ((held, holder),) = seen
    assert held
    assert f"process {os.getpid()} " in holder
    assert not is_held(lock)
    assert turns.holder(lock) == "a process that is not known"
