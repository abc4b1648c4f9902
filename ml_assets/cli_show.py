"""How the command line shows what came back: lines, tables, failing rows, tracebacks where they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from ml_assets.lib.assets.runner import Result
    from ml_assets.lib.gate.look import Found

_FAILING: Final = 5
"""Failing rows that are shown of one check."""


@dataclass(frozen=True)
class Shown:
    """What else is shown.

    Attributes:
        traceback: Tracebacks of errors.
    """

    traceback: bool = False


def print_traceback(text: str) -> None:
    """Show a traceback, if it was asked for."""
    context = click.get_current_context(silent=True)
    if text and context and isinstance(context.obj, Shown) and context.obj.traceback:
        click.echo(text.rstrip(), err=True)


def print_progress(results: Iterable[Result], *, named: bool = False) -> list[Result]:
    """A line per result, as they come; what is no part of a version only where its asset was *named*."""
    seen = []
    for result in results:
        seen.append(result)
        if result.outcome.startswith("not part") and not named:
            continue
        seconds = f"{result.facts['seconds']:6.1f} s" if "seconds" in result.facts else " " * 8
        rows = f"{result.facts['dagster/row_count']:>9,} rows" if "dagster/row_count" in result.facts else ""
        colour = None if result.ok else "red"
        line = f"{result.partition or '':<16} {result.asset:<32} {result.outcome:<12} {seconds} {rows}"
        click.secho(line.rstrip(), fg=colour, err=not result.ok)
        if result.note:
            click.secho(f"    {result.note}", fg=colour, err=not result.ok)
        for check, failing in result.failing.items():
            _print_failing(check, failing)
        print_traceback(result.traceback)
    return seen


def _print_failing(check: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A few of the rows that fail a check, as the UI shows them."""
    shown = [{name: "" if cell is None else str(cell) for name, cell in row.items()} for row in rows[:_FAILING]]
    more = f" (the first {_FAILING}; more in the UI)" if len(rows) > _FAILING else ""
    print_table(f"Rows that fail {check}{more}", shown, err=True)


def print_seconds(results: Iterable[Result], total: float) -> None:
    """Where the time went: per stage, and what starting up and Dagster took beside it."""
    stages: dict[str, float] = {}
    for result in results:
        stage = result.asset.partition("/")[0]
        stages[stage] = stages.get(stage, 0.0) + float(result.facts.get("seconds", 0.0))
    parts = [*stages.items(), ("else", total - sum(stages.values()))]
    click.echo(f"seconds: {', '.join(f'{name} {seconds:.1f}' for name, seconds in parts)}; {total:.1f} in all")


def print_table(title: str, rows: list[dict[str, str]], *, err: bool = False) -> None:
    """Rows as a table, as wide as the terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if not rows:
        click.echo(f"{title}: none", err=err)
        return
    click.echo(title, err=err)
    shown = Table()
    for name in rows[0]:
        shown.add_column(escape(name), overflow="fold")
    for row in rows:
        shown.add_row(*map(escape, row.values()))
    console = Console(stderr=err)
    if not console.is_terminal:
        console = Console(width=180, stderr=err)
    console.print(shown)


def print_found(found: Found) -> None:
    """What was looked up: name, commit, rows, digests."""
    click.echo(f"name    {found.name}")
    click.echo(f"commit  {found.commit}")
    click.echo(f"rows    {found.rows:,}")
    click.echo(f"digest  {found.digest}")
    for split, digest in found.digests.items():
        click.echo(f"  {split:<6}{digest}")
    for note in found.notes:
        click.echo(note)
