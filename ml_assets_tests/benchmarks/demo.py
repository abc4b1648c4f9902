"""The demo on a new state folder, then again: seconds, peak resident memory of all its processes, lake included."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_POLL_S = 0.2


def measure() -> Iterator[str]:
    """Lines with the figures."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "ML_ASSETS_HOME": folder}
        try:
            for name in ("new state folder", "again, nothing changed"):
                log = Path(folder) / "demo.log"
                began = time.perf_counter()
                with _peak(Path(folder)) as peak, log.open("wb") as out:
                    done = subprocess.run([*_ML_ASSETS, "demo"], env=environment, check=False, stdout=out, stderr=out)
                if done.returncode:
                    raise SystemExit(log.read_text())
                seconds = time.perf_counter() - began
                yield f"demo, {name}: {seconds:.0f} s, peak {peak[0] / 2**30:.2f} GiB resident"
                yield from (f"  {line}" for line in log.read_text().splitlines() if line.startswith("seconds"))
            size = sum(path.stat().st_size for path in (Path(folder) / "lake").rglob("*") if path.is_file())
            yield f"lake on disk: {size / 2**20:.1f} MiB"
        finally:
            subprocess.run([*_ML_ASSETS, "lake", "stop"], env=environment, check=False, stdout=subprocess.DEVNULL)


_ML_ASSETS = (sys.executable, "-m", "ml_assets.cli")


@contextmanager
def _peak(home: Path) -> Iterator[list[int]]:
    """The largest sum of resident memory seen of our children and of the lake of *home*, which is nobody's child."""
    peak, stopped = [0], threading.Event()

    def watch() -> None:
        while not stopped.wait(_POLL_S):
            total = 0
            for process in (*psutil.Process().children(recursive=True), *_servers(home)):
                with suppress(psutil.Error):
                    total += process.memory_info().rss
            peak[0] = max(peak[0], total)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stopped.set()
        thread.join()


def _servers(home: Path) -> Iterator[psutil.Process]:
    from ml_assets.lib.devlake.server import status

    pid = status(home).pid
    if pid is not None:
        with suppress(psutil.Error):
            yield psutil.Process(pid)
