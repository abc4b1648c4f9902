"""`ml-assets lake …`: a thin command per verb of the embedded lake, and the two that put a guard before the target."""

from __future__ import annotations

import math
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ml_assets.lib.core.errors import ConfigError

if TYPE_CHECKING:
    from ml_assets.lib.devlake.backup import Copied


_READING: Final = frozenset({"trace", "frame", "table", "branches", "preview", "status", "stop", "gc", "backup"})
"""Commands that have nothing to do where there is no state folder."""

PORT: Final = click.IntRange(min=1, max=65535)
_LONGEST_H: Final = 24 * 36_500


class StateCommand(click.Command):
    """A command that makes no state folder only to look into it."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            ConfigError: It would only look, and there is no state folder here or above.
        """
        if self.name in _READING:
            from ml_assets.settings import Settings

            settings = Settings.load()
            if "home" not in settings.model_fields_set and not settings.place.exists():
                raise ConfigError(
                    f"there is no state folder {settings.home} in {settings.place.parent} or above: nothing to look at",
                    remedy="go to the folder in which you materialize, or name its state folder with ML_ASSETS_HOME",
                )
        return super().invoke(ctx)


class StateGroup(click.Group):
    """A group of `StateCommand`."""

    command_class = StateCommand


@click.group(cls=StateGroup)
def lake() -> None:
    """The embedded lake: one server for all processes, started at the first use."""


@lake.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=0,
    type=click.IntRange(0, 65535),
    help="Port to listen on; default: the one used last, else a free one.",
)
@click.option(
    "--root", type=click.Path(path_type=Path, file_okay=False), help="Data folder; default: in the state folder."
)
def lake_serve(host: str, port: int, root: Path | None) -> None:
    """Serve in the foreground until Ctrl-C."""
    import logging

    from ml_assets.lib.devlake import server
    from ml_assets.lib.devlake.credentials import Credentials
    from ml_assets.lib.gate.embedded import beside
    from ml_assets.settings import Settings

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    home, keys = Settings.load().state, Credentials.load(Settings.load().state)
    server.serve(root or home / server.ROOT_FOLDER, keys, host=host, port=port, home=home, beside=beside)


@lake.command("status")
def lake_status() -> None:
    """Endpoint, pid, root, repositories, size."""
    from ml_assets.lib.devlake import server
    from ml_assets.settings import Settings

    found = server.status(Settings.load().state)
    click.echo(f"endpoint      {found.url or 'never started'}")
    click.echo(f"pid           {found.pid or 'not running'}")
    click.echo(f"root          {found.root}")
    click.echo(f"repositories  {', '.join(found.repositories) or ('none' if found.pid else 'unknown: not running')}")
    click.echo(f"size          {found.size_bytes:,} bytes")


@lake.command("stop")
def lake_stop() -> None:
    """Stop it; the data stays."""
    from ml_assets.lib.devlake import server
    from ml_assets.settings import Settings

    pid = server.stop(Settings.load().state)
    click.echo(f"stopped process {pid}" if pid else "it was not running")


_lake_root = click.option(
    "--root", type=click.Path(path_type=Path, file_okay=False), help="Data folder; default: that of the state folder."
)


@lake.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option(
    "--grace-hours",
    default=24.0,
    show_default=True,
    type=click.FloatRange(0, _LONGEST_H),
    help="Leave files alone that are younger than this.",
)
@_lake_root
def lake_gc(dry_run: bool, grace_hours: float, root: Path | None) -> None:
    """Remove bytes that nothing needs: see `settings/gc_rules` of a repository for how long old commits do."""
    from ml_assets.lib.devlake.gc import collect

    if math.isnan(grace_hours):
        raise click.BadParameter("nan is no number of hours", param_hint="--grace-hours")
    found = collect(root or _root_of_lake(), dry_run=dry_run, grace=timedelta(hours=grace_hours))
    verb = "would remove" if dry_run else "removed"
    click.echo(f"kept          {found.kept:,} files, {found.kept_bytes:,} bytes")
    click.echo(f"too young     {found.young:,} files, {found.young_bytes:,} bytes")
    click.echo(f"{verb:<13} {found.removed:,} files, {found.removed_bytes:,} bytes")
    click.echo(f"  of old commits  {found.expired:,} files, {found.expired_bytes:,} bytes")
    click.echo(f"  and half uploads of {found.leftover_bytes:,} bytes, {found.ranges:,} ranges of deleted repositories")


@lake.command("check")
@click.option("--quick", is_flag=True, help="Compare sizes only, and do not read all bytes.")
@_lake_root
def lake_check(quick: bool, root: Path | None) -> None:
    """Verify everything, and name what is broken."""
    from ml_assets.lib.devlake.check import check

    found = check(root or _root_of_lake(), lambda problem: click.secho(problem, fg="red"), hashes=not quick)
    click.echo(f"looked at     {found.commits:,} commits, {found.trees:,} trees, {found.entries:,} entries")
    click.echo(f"files         {found.files:,}, {found.bytes:,} bytes")
    click.echo(f"collected     {found.collected:,} objects of old commits")
    click.echo(f"for gc        {found.garbage:,} files, {found.garbage_bytes:,} bytes that nothing names")
    click.echo(f"problems      {found.problems:,}")
    sys.exit(1 if found.problems else 0)


@lake.command("backup")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--copy", is_flag=True, help="Copy files even on the same disk, where linking them is enough.")
@_lake_root
def lake_backup(folder: Path, copy: bool, root: Path | None) -> None:
    """Copy the lake to FOLDER while it is in use; again into the same one copies what is new."""
    from ml_assets.lib.devlake.backup import backup

    done = backup(root or _root_of_lake(), folder, link=not copy)
    click.echo(f"{_held(folder, done)}; {done.new_files:,} files are new")


@lake.command("restore")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@_lake_root
def lake_restore(folder: Path, root: Path | None) -> None:
    """Bring the backup in FOLDER back; the data folder must be empty."""
    from ml_assets.lib.devlake.backup import restore

    to = root or _root_of_lake()
    done = restore(folder, to)
    click.echo(_held(to, done))


@lake.command("protect")
@click.option("--url", help="Where a real lakeFS reaches the guard; default: on its own machine, the default port.")
def lake_protect(url: str | None) -> None:
    """Let only what was audited and passed onto the target: branch protection, and a guard asked before each merge."""
    from ml_assets import definitions
    from ml_assets.lib.gate.guard import PATH, PORT
    from ml_assets.lib.gate.protect import protect

    machinery = definitions.machinery()
    embedded = definitions.settings.endpoint_url is None
    base = url or (machinery.lake.endpoint if embedded else f"http://127.0.0.1:{PORT}")
    done = protect(machinery.lake, machinery.target, f"{base.rstrip('/').removesuffix(PATH)}{PATH}")
    click.echo(f"{machinery.target} is changed by merge only, and {done.path} has the guard asked before each")
    click.echo("written just now" if done.installed else "nothing had to be written")


@lake.command("guard")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; there is no TLS.")
@click.option("--port", help="Port to listen on; default: that of `protect`.", type=PORT)
def lake_guard(host: str, port: int | None) -> None:
    """For a real lakeFS: answer what it asks before merges, until Ctrl-C. The embedded lake has a guard inside."""
    import logging

    from ml_assets.lib.gate import guard
    from ml_assets.settings import Settings

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    endpoint, key, secret, token = Settings.load().guarded
    guard.serve(guard.guard_of(endpoint, key, secret, token), host=host, port=port or guard.PORT)


def _root_of_lake() -> Path:
    from ml_assets.lib.devlake.server import root_of
    from ml_assets.settings import Settings

    return root_of(Settings.load().state)


def _held(folder: Path, copied: Copied) -> str:
    database = f"a database of {copied.database_bytes:,} bytes, with the small ones in it"
    return f"{folder} holds {copied.files:,} files of {copied.bytes:,} bytes, and {database}"
