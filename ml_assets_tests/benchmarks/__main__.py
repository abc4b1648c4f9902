"""Runs one benchmark with its arguments, or all: ``python -m ml_assets_tests.benchmarks [pit dense | … | all]``."""

from __future__ import annotations

import platform
import sys
from typing import Final

import click
import psutil

from ml_assets_tests.benchmarks import demo, gate, lake, layout, load, out_of_core, pit, splits

_ALL: Final = {
    "load": load.measure,
    "gate": gate.measure,
    "layout": layout.measure,
    "splits": splits.measure,
    "pit": pit.measure,
    "out_of_core": out_of_core.measure,
    "demo": demo.measure,
    "lake": lake.measure,
}


def main(name: str = "all", *arguments: str) -> None:
    """Print the figures as they come, with the machine they are of."""
    cores, memory = psutil.cpu_count(), psutil.virtual_memory().total / 2**30
    click.echo(
        f"{cores} cores, {memory:.0f} GiB, Python {platform.python_version()}, load {psutil.getloadavg()[0]:.1f}"
    )
    if name not in {"all", *_ALL}:
        raise SystemExit(f"there is no benchmark {name!r}: choose of {', '.join(_ALL)}, all")
    for chosen in _ALL if name == "all" else (name,):
        for line in _ALL[chosen](*arguments):
            click.echo(line)


if __name__ == "__main__":
    main(*sys.argv[1:])
