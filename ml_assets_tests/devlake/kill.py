"""Kills the embedded lake, over and over again, while clients write and garbage is collected, and looks for losses.

``python -m ml_assets_tests.devlake.kill 1000 --out kills.json`` kills a thousand times and writes what it has seen.
After each restart: every acknowledged write is there, one without an answer is there as a whole or not at all, every
commit has what it had, the check is clean, and after garbage collection there is no file that nothing names.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from ml_assets.lib.core.errors import LakeError
from ml_assets.lib.devlake import gc
from ml_assets.lib.devlake.check import check
from ml_assets.lib.devlake.server import ensure, root_of, stop
from ml_assets.lib.devlake.state import ServerState
from ml_assets_tests.devlake.load import Client, Violation
from ml_assets_tests.devlake.wire import Wire

LIVES: Final = 25
"""Kills that one lake has to survive, so that its history does not become longer than a life."""

LONGEST_S: Final = 1.5
"""A server lives for up to this long under load."""

GRACE: Final = timedelta(seconds=0.1)
"""Of the collection that runs beside the clients: far too short, so that they get into each other's way."""

HISTORY: Final = "history"
SHORT: Final = "short"
"""Repositories: one that keeps every commit, and one whose retention is over at once."""

_PROCESSES: Final = multiprocessing.get_context("forkserver")


@dataclass
class Result:
    """What a campaign has seen."""

    kills: int = 0
    seconds: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For the written result."""
        return {
            "kills": self.kills,
            "seconds": round(self.seconds),
            "violations": self.violations,
            "seen": dict(sorted(self.seen.items())),
        }


class Subject:
    """A lake that is killed again and again, with its clients."""

    def __init__(self, home: Path, seed: int, result: Result) -> None:
        self.home, self.result = home, result
        self.random = random.Random(seed)
        keeping = [Client(name, HISTORY, seed) for name in ("a", "b", "c")]
        self.clients = [*keeping, Client("d", SHORT, seed, keeps_history=False)]
        with closing(Wire(ensure(home))) as wire:
            for name in (HISTORY, SHORT):
                body = {"name": name, "storage_namespace": f"local://{name}"}
                _expect(wire.rest("POST", "/repositories", json_body=body).status, 201)
            rules = {"default_retention_days": 0, "branches": []}
            _expect(wire.rest("PUT", f"/repositories/{SHORT}/settings/gc_rules", json_body=rules).status, 204)
            for client in self.clients:
                client.begin(wire)
        self.root = root_of(home)

    def live(self) -> None:
        """Run, be killed, come back, and be looked at."""
        endpoint = ensure(self.home)
        state = ServerState.read(self.home)
        assert state is not None
        with ThreadPoolExecutor(len(self.clients)) as threads, _collecting(self.root, self.result.seen) as collector:
            running = [threads.submit(client.run, endpoint) for client in self.clients]
            time.sleep(self.random.uniform(0, LONGEST_S))
            victims = [state.process.pid, collector]
            for victim in self.random.sample(victims, len(victims)):
                os.kill(victim, signal.SIGKILL)
        for done in running:
            done.result()
        while state.process.is_alive():
            time.sleep(0.01)
        self.result.kills += 1
        self.come_back()

    def come_back(self) -> None:
        """Start the server again, perhaps not at once, and look at everything."""
        while self.random.random() < 0.2:
            self.kill_while_starting()
        with closing(Wire(ensure(self.home))) as wire:
            for client in self.clients:
                client.recover(wire)
            for client in self.clients:
                client.verify(wire, everything=False)
            self.look()

    def kill_while_starting(self) -> None:
        """Kill a server before it serves."""
        folders = ["--home", str(self.home), "--root", str(self.root)]
        command = [sys.executable, "-m", "ml_assets.lib.devlake.server", *folders]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            time.sleep(self.random.uniform(0, 1.0))
            process.kill()
        self.result.seen["kills while starting"] += 1

    def look(self) -> None:
        """The check finds nothing, and after a collection nothing is left to be collected.

        Raises:
            Violation: They do not.
        """
        problems: list[str] = []
        found = check(self.root, problems.append)
        if problems:
            raise Violation(f"check: {problems[:5]}")
        report = gc.collect(self.root, grace=timedelta(0))
        rest = gc.collect(self.root, grace=timedelta(0), dry_run=True)
        if rest.removed or rest.young or rest.leftover_bytes or rest.ranges:
            raise Violation(f"garbage stays behind: {rest}")
        self.result.seen["files checked"] += found.files
        self.result.seen["files collected after kills"] += report.removed
        self.result.seen["files collected of old commits"] += report.expired

    def end(self) -> None:
        """Look at everything that ever was, and stop."""
        with closing(Wire(ensure(self.home))) as wire:
            for client in self.clients:
                client.verify(wire, everything=True)
                self.result.seen["commits verified"] += len(client.commits)
        problems: list[str] = []
        check(self.root, problems.append)
        if problems:
            raise Violation(f"check in the end: {problems[:5]}")


def campaign(folder: Path, kills: int, seed: int) -> Result:
    """Kill *kills* times. A violation ends it, and leaves the lake in *folder* for a look."""
    result = Result()
    began = time.monotonic()
    _PROCESSES.set_forkserver_preload([__name__])
    while result.kills < kills and not result.violations:
        home = folder / f"lake-{seed}-{result.kills}"
        home.mkdir(parents=True)
        subject = Subject(home, seed + result.kills, result)
        try:
            for _ in range(min(LIVES, kills - result.kills)):
                subject.live()
            subject.end()
        except (Violation, LakeError) as violation:
            result.violations.append(f"kill {result.kills} of seed {seed}, {home}: {violation}")
        finally:
            stop(home)
            for client in subject.clients:
                result.seen.update(client.steps)
        result.seconds = time.monotonic() - began
    return result


@contextmanager
def _collecting(root: Path, seen: Counter[str]) -> Iterator[int]:
    """Collect garbage in another process. Gives its pid, and counts in *seen* what it has done."""
    runs, files = (_PROCESSES.Value("Q", 0, lock=False) for _ in range(2))
    process = _PROCESSES.Process(target=_collect, args=(root, runs, files), daemon=True)
    process.start()
    try:
        assert process.pid is not None
        yield process.pid
    finally:
        process.kill()
        process.join()
        seen["collections beside clients"] += runs.value
        seen["files collected beside clients"] += files.value


def _collect(root: Path, runs: Any, files: Any) -> None:
    while True:
        with suppress(LakeError):
            files.value += gc.collect(root, grace=GRACE).removed
            runs.value += 1


def _expect(status: int, expected: int) -> None:
    if status != expected:
        raise Violation(f"status {status} instead of {expected}")


def main() -> None:
    """Kill as often as is asked for, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int)
    parser.add_argument("--out", type=Path, required=True, help="where the result is written, as JSON")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    result = campaign(folder, arguments.kills, arguments.seed)
    arguments.out.write_text(json.dumps({"seed": arguments.seed, **result.as_json()}, indent=1) + "\n")
    sys.exit("\n".join(result.violations) or 0)


if __name__ == "__main__":
    main()
