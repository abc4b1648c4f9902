"""Killed at any moment, the lake has everything that it had answered for, and nothing by halves."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from ml_assets.lib.devlake.repo import Lake
from ml_assets_tests.devlake.local import contents, opened

WRITER = textwrap.dedent(
    """
    import itertools, sys, threading
    from pathlib import Path
    from ml_assets.lib.devlake.repo import Lake
    from ml_assets_tests.devlake.local import commit, put

    lake = Lake(Path(sys.argv[1]))
    answered = threading.Lock()

    def write(number):
        for count in itertools.count():
            path = f"{sys.argv[2]}/{number}/{count}"
            put(lake, "main", path, path)
            if count % 5 == 0:
                commit(lake, "main", path, allow_empty=True)
            with answered:
                print(path, flush=True)

    for number in range(4):
        threading.Thread(target=write, args=(number,)).start()
    """
)


@pytest.mark.parametrize("delay_s", [0.2, 0.35, 0.5])
def test_killed(tmp_path: Path, delay_s: float) -> None:
    """What was answered before kill -9 is there with its bytes; staged and committed objects are whole."""
    root = tmp_path / "lake"
    with opened(root):
        pass
    answered: set[str] = set()
    for life in range(2):
        process = subprocess.Popen([sys.executable, "-c", WRITER, root, str(life)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        answered.add(process.stdout.readline().strip())
        time.sleep(delay_s)
        os.kill(process.pid, signal.SIGKILL)
        answered |= set(process.communicate()[0].splitlines())
    connection = sqlite3.connect(root / "lake.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    lake = Lake(root)
    try:
        found = contents(lake, "main")
        assert all(path == content for path, content in found.items())
        assert answered <= found.keys()
        assert contents(lake, "main@").keys() <= found.keys()
    finally:
        lake.close()
