"""Runs the benchmarks that are named, or all."""

from __future__ import annotations

import platform
import sys

import click
import psutil

from ml_assets_tests.benchmarks import demo, lake, load

_ALL = {"load": load.measure, "demo": demo.measure, "lake": lake.measure}


def main(names: list[str]) -> None:
    """Print the figures as they come, with the machine they are of."""
    cores, memory = psutil.cpu_count(), psutil.virtual_memory().total / 2**30
    click.echo(
        f"{cores} cores, {memory:.0f} GiB, Python {platform.python_version()}, load {psutil.getloadavg()[0]:.1f}"
    )
    for name in names or _ALL:
        for line in _ALL[name]():
            click.echo(line)


if __name__ == "__main__":
    main(sys.argv[1:])
