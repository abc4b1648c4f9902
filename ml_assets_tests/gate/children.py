"""Materializations in processes of their own that may die at a chosen point; forked from one that has all imported."""

from __future__ import annotations

import faulthandler
import functools
import importlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, Final, Literal

from ml_assets.lib.core.errors import MLAssetsError
from ml_assets.lib.core.names import Unit
from ml_assets.lib.gate.gate import Step
from ml_assets.lib.gate.machinery import Machinery
from ml_assets.lib.gate.outcome import Outcome, Run
from ml_assets_tests.gate.world import Place, new_run

_PRELOADED: Final = "ml_assets_tests.gate.preload"
_TIMEOUT_S: Final = 100


@dataclass(frozen=True)
class DieAt:
    """A call before or after which a process kills itself.

    Attributes:
        call: ``module:name`` or ``module:Class.method``.
        when: Before the call, or after it has had its effect.
    """

    call: str
    when: Literal["before", "after"]

    def __str__(self) -> str:
        return f"{self.when} {self.call.rpartition(':')[2]}"


@dataclass(frozen=True)
class Job:
    """What a child does: materialize *units* at *place*, one after the other.

    Attributes:
        place: Where.
        units: What.
        run: On whose behalf.
        die_after: The step of the last unit after which the process kills itself.
        die_at: The call at which it does, while the last unit is materialized.
        sleep_after: The step after which it sleeps until it is killed.
        options: Options of `Place.materialize`.
    """

    place: Place
    units: Sequence[Unit]
    run: Run = field(default_factory=new_run)
    die_after: Step | None = None
    die_at: DieAt | None = None
    sleep_after: Step | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def do(self, unit: Unit, machinery: Machinery) -> Any:
        """Materialize *unit*; another kind of job does something else with it."""
        return self.place.materialize(unit, run=self.run, machinery=machinery, **self.options)


class Child:
    """A process that does a job. What comes of it is sent back, errors of the project's own tree too."""

    def __init__(self, job: Job, *, hold: bool = False) -> None:
        context = fork_context()
        self._results, theirs = context.Pipe(duplex=True)
        self._process = context.Process(target=_work, args=(job, theirs, hold), daemon=True)
        self._process.start()
        theirs.close()
        if hold:
            assert self._results.poll(_TIMEOUT_S)
            assert self._results.recv() == "ready"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    def go(self) -> None:
        """Let a held child begin."""
        self._results.send("go")

    def kill(self) -> None:
        """``kill -9``; it may have ended already."""
        self._process.kill()
        self._process.join(_TIMEOUT_S)

    def death(self) -> None:
        """Wait until it has killed itself."""
        self._process.join(_TIMEOUT_S)
        left = self._results.recv() if self._results.poll(0) and self._process.exitcode != -signal.SIGKILL else ""
        assert -signal.SIGKILL == self._process.exitcode, left

    def results(self) -> list[Outcome | MLAssetsError]:
        """What came of each unit; the first error ends the job."""
        assert self._results.poll(_TIMEOUT_S), "the child is silent"
        found = self._results.recv()
        self._process.join(_TIMEOUT_S)
        assert isinstance(found, list), found
        return found

    def result(self) -> Outcome:
        """What came of the last unit, which must not be an error."""
        last = self.results()[-1]
        assert isinstance(last, Outcome), last
        return last


@functools.cache
def fork_context() -> ForkServerContext:
    """Where processes come from: a fork server that has imported what takes long."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PRELOADED])
    root = str(Path(__file__).parents[2])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (root, before)))  # where the fork server finds the tests
    try:
        context.Process(target=_nothing).start()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


def _nothing() -> None:
    """Start the fork server."""


def _work(job: Job, answers: Connection, hold: bool) -> None:
    faulthandler.dump_traceback_later(_TIMEOUT_S * 0.8, exit=True)  # where it hangs
    sys.path.insert(0, str(job.place.folder))
    try:
        if hold:
            job.place.machinery.systems  # noqa: B018  (all that takes time before the first step)
            answers.send("ready")
            answers.recv()
        answers.send(_results(job))
    except BaseException:  # noqa: BLE001  (the test tells what it was)
        answers.send(traceback.format_exc())


def _results(job: Job) -> list[Outcome | MLAssetsError]:
    results: list[Outcome | MLAssetsError] = []
    for unit in job.units:
        machinery = job.place.machinery
        if unit == job.units[-1]:
            if job.die_at:
                _plant(job.die_at)
            machinery = job.place.new_machinery(observe=_observer(job))
        try:
            results.append(job.do(unit, machinery))
        except MLAssetsError as error:
            return [*results, error]
    return results


def _observer(job: Job) -> Callable[[Step, Unit], None]:
    def observe(step: Step, _unit: Unit) -> None:
        if step == job.die_after:
            die()
        if step == job.sleep_after:
            time.sleep(_TIMEOUT_S)

    return observe


def die() -> None:
    """``kill -9`` of this process: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def _plant(at: DieAt) -> None:
    module, _, path = at.call.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    call = getattr(owner, name)

    @functools.wraps(call)
    def dying(*args: Any, **kwargs: Any) -> Any:
        if at.when == "after":
            call(*args, **kwargs)
        die()

    setattr(owner, name, dying)
