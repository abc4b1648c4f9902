"""Dagster's instance in the state folder: whoever opens it first makes it, also when many do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from ml_assets.lib.assets.instance import CONFIG, open_instance

OPEN = """
import sys
from pathlib import Path
from ml_assets.lib.assets.instance import open_instance
input()
with open_instance(Path(sys.argv[1])) as instance:
    instance.add_dynamic_partitions("seen", [sys.argv[2]])
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `open_instance` sets for processes that this one starts is taken back."""
    monkeypatch.setenv("DAGSTER_HOME", "")


def test_processes_that_open_a_fresh_folder_at_once_share_it(tmp_path: Path) -> None:
    """SQLite's tables are made once; all can write."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, str(tmp_path / "dagster"), f"p{number}"], stdin=subprocess.PIPE, text=True
        )
        for number in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        with process.stdin as pipe:
            pipe.write("go\n")
    assert [process.wait(100) for process in processes] == [0, 0, 0]
    with open_instance(tmp_path / "dagster") as instance:
        assert {"p0", "p1", "p2"} == set(instance.get_dynamic_partitions("seen"))


def test_no_telemetry_and_room_to_edit(tmp_path: Path) -> None:
    """Nothing is sent home; a ``dagster.yaml`` that is there is left as it is."""
    with open_instance(tmp_path / "new") as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
    own = CONFIG.replace("max_concurrent_runs: 2", "max_concurrent_runs: 5")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "dagster.yaml").write_text(own)
    with open_instance(tmp_path / "own") as instance:
        assert instance.get_settings("concurrency")["runs"]["max_concurrent_runs"] == 5
    assert (tmp_path / "own" / "dagster.yaml").read_text() == own


def test_it_is_durable(tmp_path: Path) -> None:
    """Runs can be launched from it by other processes, which find it by DAGSTER_HOME."""
    with open_instance(tmp_path) as instance:
        assert not instance.is_ephemeral
        assert os.environ["DAGSTER_HOME"] == str(tmp_path)
        assert isinstance(instance, dg.DagsterInstance)
