"""`ml-assets …`: one thin command per verb: parses its words, calls one function of lib, prints what came back."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import time
import traceback
import uuid
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ml_assets.cli_lake import StateGroup, lake
from ml_assets.cli_show import Shown, print_found, print_progress, print_seconds, print_table, print_traceback
from ml_assets.lib.core.errors import MLAssetsError
from ml_assets.lib.declare.params import is_text

if TYPE_CHECKING:
    from ml_assets.lib.assets.runner import Runner


_DAYS: Final = click.IntRange(0, 36_500)

_NEXT = """
What to try next
  ml-assets trace late_arrival/1                    from a model back to rows, features, split and code
  ml-assets frame late_arrival --split hash-s42 --features v3     rebuild its rows, proved by digest
  ml-assets table splits/flights                    all split versions as one table
  deploy/run dev                                    the same in the Dagster UI, with MLflow beside it
  edit ml_assets/defs, then: ml-assets check        what would be recomputed, and why
"""


class _Group(StateGroup):
    """Errors of the project and of the file system become one line and exit status 1.

    Anything else is a defect and keeps its traceback.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for word in args:
            if not is_text(word):
                raise click.UsageError(f"{word!r} is no text of UTF-8; rename the file, or correct the word")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MLAssetsError as error:
            print_traceback("".join(traceback.format_exception(error)))
            raise click.ClickException(f"{error.problem}\n  -> {error.remedy}") from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # who reads our lines has gone: click ends quietly
                raise
            print_traceback("".join(traceback.format_exception(error)))
            where = f": {error.filename}" if error.filename else ""
            raise click.ClickException(
                f"{error.strerror or error}{where}\n  -> make room, or correct the path or its rights; "
                "`ml-assets --traceback …` shows where it happened"
            ) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ml-assets")
@click.option("--traceback", "show_traceback", is_flag=True, help="With an error, show where it was raised, in full.")
@click.pass_context
def main(ctx: click.Context, show_traceback: bool) -> None:
    """Versioned, provable ML data: sources, splits, features, frames and models on lakeFS branches."""
    ctx.obj = Shown(traceback=show_traceback)


main.add_command(lake)

_split = click.option("--split", "split_version", help="Split version, as in hash-s42.")
_features = click.option("--features", "feature_version", help="Feature version, as in v3.")


def _writable(_ctx: click.Context, _param: click.Parameter, to: Path | None) -> Path | None:
    """The file can be written, as far as one can tell before the work.

    Raises:
        click.BadParameter: It cannot.
    """
    if to is None:
        return None
    try:
        above = next(folder for folder in to.absolute().parents if folder.exists())
        writable = os.access(to if to.exists() else above, os.W_OK)
    except OSError as error:  # a name too long, a folder that cannot be looked into
        raise click.BadParameter(f"{to} cannot be written: {error.strerror}") from error
    if not above.is_dir():
        raise click.BadParameter(f"{to} cannot be written: {above} is no folder")
    if not writable:
        raise click.BadParameter(f"{to} cannot be written: {to if to.exists() else above} is read-only")
    return to


_to = click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    callback=_writable,
    help="Write the rows to this Parquet file.",
)


@main.command()
def demo() -> None:
    """Materialize everything on the real flights and show what came of it."""
    from ml_assets import definitions
    from ml_assets.lib.assets.runner import Request
    from ml_assets.lib.gate.explain import overview

    began = time.perf_counter()
    results = print_progress(_runner().run(Request(changed=True)))
    print_table("Registered models and their frames", overview(definitions.machinery()))
    print_seconds(results, time.perf_counter() - began)
    if ok := all(result.ok for result in results):
        click.echo(_NEXT)
    sys.exit(0 if ok else 1)


@main.command()
def dev() -> None:
    """The Dagster UI with its daemon, and MLflow beside it, until Ctrl-C."""
    from ml_assets import definitions
    from ml_assets.lib.assets.dev import serve

    settings = definitions.settings
    serve(
        settings.dagster_folder,
        definitions.open_tracking(),
        dagster_port=settings.dagster_port,
        mlflow_port=None if settings.mlflow_tracking_uri else settings.mlflow_port,
        say=click.echo,
    )


@main.command()
@click.argument("assets", nargs=-1, metavar="[ASSET]...")
@_split
@_features
@click.option(
    "--changed",
    is_flag=True,
    help="Only what the gate does not find unchanged; starts no run for the rest. Files and parameters that were given "
    "stay until others are named.",
)
@click.option(
    "--recompute",
    is_flag=True,
    help="Compute even what is unchanged, from what it was published from; overwrite what was changed behind the gate.",
)
@click.option(
    "--path",
    type=click.Path(path_type=Path),
    help="Of one source: ingest this file instead of its main one. It stays the input until another file is named; "
    "a source that is named without --path and --changed is ingested from the declared file.",
)
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of models: a declared parameter. It stays until others are named or the declaration is edited; a model that "
    "is named without --param and --changed is trained with the declared ones.",
)
@click.option(
    "--tag", "tags", multiple=True, metavar="NAME=VALUE", help="author, ticket or approved_by, for the record."
)
def materialize(  # noqa: PLR0917  (click passes every option by name)
    assets: tuple[str, ...],
    split_version: str | None,
    feature_version: str | None,
    changed: bool,
    recompute: bool,
    path: Path | None,
    params: tuple[str, ...],
    tags: tuple[str, ...],
) -> None:
    """Materialize assets (keys or stages; everything if none is named), in the order in which data flows."""
    from ml_assets.lib.assets.runner import Request

    request = Request(
        assets=assets,
        split_version=split_version,
        feature_version=feature_version,
        changed=changed,
        recompute=recompute,
        tags=_known_tags(tags),
        path=None if path is None else path.absolute(),
        parameters={name: _value(text) for name, text in _pairs(params)},
    )
    results = print_progress(_runner().run(request), named=bool(assets))
    sys.exit(0 if all(result.ok for result in results) else 1)


@main.command()
@click.option("--declarations", is_flag=True, help="Only check what is declared; no lake is asked.")
def check(declarations: bool) -> None:
    """Check all declarations and versions.lock; print every unit, and why it would be recomputed."""
    from ml_assets import definitions
    from ml_assets.lib.declare import lock as locks
    from ml_assets.lib.declare.knowledge import unsaid
    from ml_assets.lib.gate.explain import standings

    declared = definitions.plan.declarations
    problems = locks.check(declared)
    for problem in problems:
        click.secho(f"error: {problem}", fg="red", err=True)
    for version in locks.unlocked(declared):
        click.secho(f"warning: {version} is not in versions.lock; `ml-assets lock` writes it", fg="yellow", err=True)
    for source in unsaid(declared):
        told = f"{source.place} does not say when its rows are known: known_from='<column>', or always_known=True"
        click.secho(f"warning: {told}; no frame proves anything of it", fg="yellow", err=True)
    if not problems and not declarations:
        for standing in standings(definitions.machinery()):
            click.echo(f"{standing.unit!s:<48} {standing.reason or 'up to date'}")
    if not problems:
        click.echo(f"{len(list(declared))} declarations are sound, and versions.lock is right")
    sys.exit(1 if problems else 0)


@main.command()
@click.argument("asset")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 100_000), help="Rows to show.")
def preview(asset: str, limit: int) -> None:
    """Compute a split or feature view on the target without writing: rows, contract, definition, column lineage."""
    from ml_assets import definitions
    from ml_assets.lib.gate import look

    for line in look.preview(definitions.machinery(), asset, limit):
        click.echo(line)


@main.command()
@click.argument("versions", nargs=-1, metavar="[VERSION]...")
def lock(versions: tuple[str, ...]) -> None:
    """Add new versions to versions.lock: of views (VIEW@VERSION), of features, of splits.

    Those that are named are locked again as they are now, which is right only for what was never published.
    """
    from ml_assets import definitions
    from ml_assets.lib.declare import lock as locks

    changed = locks.write(definitions.plan.declarations, again=versions)
    click.echo(f"locked {', '.join(changed)}" if changed else "nothing new: versions.lock is as it was")


@main.command()
@click.argument("model", metavar="MODEL/VERSION")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON.")
def trace(model: str, as_json: bool) -> None:
    """From a registered model version back to its rows, features, split and code."""
    name, _, version = model.rpartition("/")
    if not name or not re.fullmatch(r"[1-9][0-9]{0,8}", version):
        raise click.BadParameter(f"{model!r} is not MODEL/VERSION, as in late_arrival/3")
    from ml_assets import definitions
    from ml_assets.lib.tracking import trace as traces

    found = traces.read(definitions.open_tracking(), name, int(version))
    click.echo(json.dumps(found.as_json(), indent=1, sort_keys=True) if as_json else "\n".join(found.lines()))
    sys.exit(1 if found.file_problem else 0)


@main.command()
@click.argument("name")
@click.option("--split", "split_version", required=True, help="Split version, as in hash-s42.")
@click.option("--features", "feature_version", required=True, help="Feature version, as in v3.")
@click.option(
    "--commit", help="Data commit to read everything at; without it the published frame is rebuilt and proved."
)
@_to
def frame(name: str, split_version: str, feature_version: str, commit: str | None, to: Path | None) -> None:
    """Rebuild a training frame from its inputs and print its digest."""
    from ml_assets import definitions
    from ml_assets.lib.gate import look

    found = look.frame(
        definitions.machinery(),
        name,
        split_version=split_version,
        feature_version=feature_version,
        commit=commit,
        to=to,
    )
    print_found(found)


@main.command()
@click.argument("name")
@click.option("--ref", help="Branch, tag or commit, also with a time: main@2026-11-20T10:00Z. Default: the target.")
@_to
def table(name: str, ref: str | None, to: Path | None) -> None:
    """Show a table (asset key, unit or table name; splits/NAME is the joint table of all versions) with its digest."""
    from ml_assets import definitions
    from ml_assets.lib.gate import look

    print_found(look.table(definitions.machinery(), name, ref, to))


@main.command()
@click.option(
    "--prune", is_flag=True, help="Drop abandoned branches, refused ones past their age, keeps that nothing names."
)
@click.option(
    "--older-than", default=7, show_default=True, type=_DAYS, help="Days after which --prune drops refused branches."
)
def branches(prune: bool, older_than: int) -> None:
    """Run branches that were kept or abandoned: age and reason."""
    from ml_assets import definitions
    from ml_assets.lib.gate.branches import list_branches

    found = list_branches(definitions.machinery(), prune=prune, older_than=timedelta(days=older_than))
    print_table(
        "Branches",
        [
            {
                "branch": row.name,
                "state": f"{row.state}, dropped" if row.dropped else row.state,
                "age": str(row.age).partition(".")[0],
                "unit": row.unit,
                "reason": row.reason,
            }
            for row in found
        ],
    )


@main.command()
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option("--dry-run", is_flag=True, help="Only say what is to be done.")
@click.option("--keep-days", default=7, show_default=True, type=_DAYS, help="Days that a snapshot stays readable.")
def maintain(tables: tuple[str, ...], dry_run: bool, keep_days: int) -> None:
    """Keep published tables small: merge files, expire snapshots, remove orphans. Rows and commits stay."""
    from ml_assets import definitions
    from ml_assets.lib.gate import maintain as maintenance
    from ml_assets.lib.gate.outcome import Run

    run, keep = Run(id=str(uuid.uuid4())), timedelta(days=keep_days)
    found = list(maintenance.maintain(definitions.machinery(), tables, run=run, keep=keep, dry_run=dry_run))
    print_table("Tables", [maintained.as_row() for maintained in found])
    sys.exit(1 if any(maintained.state == maintenance.State.FAILED for maintained in found) else 0)


@main.group(cls=StateGroup)
def spark() -> None:
    """What ML_ASSETS_ENGINE=spark needs on this machine."""


@spark.command("jars")
def spark_jars() -> None:
    """Check Python and Java, fetch the jars that are not there yet, check all by hash; offline once they are there."""
    from ml_assets.lib.tables.jars import resolve_jars
    from ml_assets.lib.tables.java import java
    from ml_assets.lib.tables.spark import check_pyspark
    from ml_assets.settings import Settings

    folder = Settings.load().jars
    check_pyspark()
    found = java()
    jars = resolve_jars(folder, lambda progress: click.echo(progress, err=True))
    click.echo(f"{len(jars)} jars for Spark in {folder}, Java {found}")


def _runner() -> Runner:
    from ml_assets import definitions
    from ml_assets.lib.assets.instance import open_instance
    from ml_assets.lib.assets.runner import Runner

    if definitions.builder.uses_spark:  # said once and now, not by each asset
        from ml_assets.lib.tables.spark import check_machine

        check_machine(definitions.settings.jars)
    return Runner(
        definitions=definitions.defs,
        plan=definitions.plan,
        machinery=definitions.machinery,
        instance=open_instance(definitions.settings.dagster_folder),
        started=lambda assets, partition: click.secho(
            f"{partition or '':<16} {', '.join(assets)} …", dim=True, err=True
        ),
    )


def _value(text: str) -> Any:
    """JSON where it is, else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _known_tags(texts: Iterable[str]) -> dict[str, str]:
    """Tags by name.

    Raises:
        click.BadParameter: One has a name that nothing records.
    """
    from ml_assets.lib.assets.build import PEOPLE_TAGS

    tags = dict(_pairs(texts))
    for name in tags:
        if name not in PEOPLE_TAGS:
            raise click.BadParameter(f"{name!r} is no tag: choose of {', '.join(PEOPLE_TAGS)}", param_hint="--tag")
    return tags


def _pairs(texts: Iterable[str]) -> Iterable[tuple[str, str]]:
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE")
        yield name, value


if __name__ == "__main__":
    main()
