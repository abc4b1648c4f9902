"""Dagster's instance in the state folder: made once, without telemetry, opened alone the first time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import dagster as dg
from filelock import FileLock

CONFIG: Final = """\
# Made by ml-assets; yours to edit. Storage is SQLite in this folder unless you say otherwise.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 2
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config:
    dequeue_interval_seconds: 1
"""


def open_instance(folder: Path) -> dg.DagsterInstance:
    """The instance of *folder*, with a ``dagster.yaml`` if there is none.

    Two processes that create its SQLite tables at once break each other, so this takes a lock. ``DAGSTER_HOME`` is set
    for processes that this one starts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["DAGSTER_HOME"] = str(folder)
    with FileLock(folder / "instance.lock"):
        config = folder / "dagster.yaml"
        if not config.exists():
            config.write_text(CONFIG)
        instance = dg.DagsterInstance.from_config(str(folder))
        instance.get_run_records(limit=1)
        instance.all_asset_keys()
        return instance
