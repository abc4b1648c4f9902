"""Publishers as processes of their own, which begin at the same moment and tell what came of it."""

from __future__ import annotations

import random
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Final

from ml_assets.lib.core.errors import LakeError, MissingInput, MLAssetsError, StaleInput, TooManyTries
from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.refs import Commit
from ml_assets.lib.declare import Declarations
from ml_assets.lib.gate.gate import Step
from ml_assets.lib.gate.machinery import Machinery
from ml_assets.lib.gate.outcome import Outcome, Published
from ml_assets_tests.faults import Fault, Faults
from ml_assets_tests.gate.children import fork_context
from ml_assets_tests.gate.logs import appending
from ml_assets_tests.gate.world import SOURCE, Place, changed, declarations, new_run

LIMIT_S: Final = 600
_PAUSE_S: Final = 0.2
_BEGIN_S: Final = 60


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one publisher does.

    Attributes:
        place: Target and state folder.
        unit: What it publishes.
        paths: Of a source: files that are published one after the other; its own one if there are none.
        append: Whether sources are appended to.
        until: Whether to go on until all tasks are done that do not.
        insists: Whether to materialize again after too many tries.
        faults: Share of requests to the lake that meet a fault.
        lose: Which request to the lake, from 1, gets no answer although it does what it says; none if 0.
    """

    place: Place
    unit: Unit
    paths: tuple[Path, ...] = ()
    append: bool = False
    until: bool = False
    insists: bool = False
    faults: float = 0.0
    lose: int = 0

    def declared(self) -> Declarations:
        """What is declared for it."""
        found = appending() if self.append else declarations()
        if self.unit.stage != "sources" or self.unit.name in found.sources:
            return found
        own = replace(found.sources[SOURCE.name], name=self.unit.name)
        return changed(sources={**found.sources, own.name: own})


@dataclass(frozen=True, kw_only=True)
class Told:
    """What came of one publisher.

    Attributes:
        task: What it was to do.
        outcomes: Class of what came of each materialization, the last one last.
        commits: Where it was published.
        digests: What was published there.
        tries: Attempts for each materialization.
        seconds: How long it took.
        error: What ended it, if something did.
    """

    task: Task
    outcomes: tuple[str, ...]
    commits: tuple[Commit, ...]
    digests: tuple[str, ...]
    tries: tuple[int, ...]
    seconds: float
    error: str = ""


@dataclass
class _Publisher:
    """The inside of one process."""

    task: Task
    settled: Event
    outcomes: list[str] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    tries: list[int] = field(default_factory=list)

    def observe(self, step: Step, _unit: Unit) -> None:
        """Count attempts: each begins with a pin."""
        if step == Step.PIN:
            self.tries[-1] += 1

    def machinery(self) -> Machinery:
        """As of any process; requests meet faults if the task says so."""
        made = self.task.place.new_machinery(self.task.declared(), self.observe)
        made.systems  # noqa: B018  (all that takes time before the first step)
        if self.task.lose:
            Faults(made.lake, ("lost" if number == self.task.lose else "pass" for number in count(1)))
        elif self.task.faults:
            Faults(made.lake, _weather(self.task.faults, f"{self.task.unit} {self.task.paths}"))
        return made

    def publish(self, machinery: Machinery) -> None:
        """Do the task."""
        for path in self.task.paths or (None,):
            self.once(machinery, path)
        while self.task.until and not self.settled.is_set():
            time.sleep(_PAUSE_S)
            self.once(machinery, None)
        if self.task.until:
            self.once(machinery, None)

    def once(self, machinery: Machinery, path: Path | None) -> Outcome:
        """Materialize; again while an input is missing or stale, the lake stays silent, or others are faster."""
        while True:
            self.tries.append(0)
            try:
                outcome = self.task.place.materialize(self.task.unit, machinery=machinery, run=new_run(), path=path)
            except (MissingInput, StaleInput) as error:
                self.outcomes.append(type(error).__name__)
                time.sleep(random.uniform(_PAUSE_S, 5 * _PAUSE_S))
                continue
            except (LakeError, TooManyTries) as error:
                if not (self.task.insists if isinstance(error, TooManyTries) else self.task.faults or self.task.lose):
                    raise
                self.outcomes.append(type(error).__name__)
                continue
            self.outcomes.append(type(outcome).__name__)
            if isinstance(outcome, Published):
                self.published.append(outcome)
            return outcome


def _weather(share: float, seed: str) -> Iterator[Fault]:
    draw = random.Random(seed)
    while True:
        yield draw.choice(("lost", "unreachable", 429, 503)) if draw.random() < share else "pass"


def _work(task: Task, ready: Any, begin: Event, settled: Event, told: Any) -> None:
    sys.path.insert(0, str(task.place.folder))
    publisher, began, error = _Publisher(task, settled), time.perf_counter(), ""
    try:
        machinery = publisher.machinery()
        ready.put(str(task.unit))
        begin.wait()
        began = time.perf_counter()
        publisher.publish(machinery)
    except MLAssetsError as raised:
        error = f"{type(raised).__name__}: {raised}"
    except BaseException:  # noqa: BLE001  (the parent tells what it was)
        error = traceback.format_exc()
    told.put(
        Told(
            task=task,
            outcomes=tuple(publisher.outcomes),
            commits=tuple(outcome.commit for outcome in publisher.published),
            digests=tuple(outcome.publication.digest for outcome in publisher.published),
            tries=tuple(publisher.tries),
            seconds=time.perf_counter() - began,
            error=error,
        )
    )


def publish_at_once(tasks: Sequence[Task], *, limit_s: float = LIMIT_S) -> list[Told]:
    """Let a process do each task, all at the same time.

    Args:
        tasks: What is to be done.
        limit_s: All must be done by then.
    """
    movers = sum(not task.until for task in tasks)
    context = fork_context()
    ready, told = context.Queue(), context.Queue()
    begin, settled = context.Event(), context.Event()
    processes = [context.Process(target=_work, args=(task, ready, begin, settled, told), daemon=True) for task in tasks]
    found: list[Told] = []
    try:
        for process in processes:
            process.start()
        for _ in processes:
            ready.get(timeout=_BEGIN_S + len(tasks))
        began = time.monotonic()
        begin.set()
        while len(found) < len(tasks):
            found.append(told.get(timeout=max(0.1, limit_s - (time.monotonic() - began))))
            if movers == sum(not one.task.until for one in found):
                settled.set()
    finally:
        for process in processes:
            process.join(timeout=5) if len(found) == len(tasks) else process.kill()
    return found
