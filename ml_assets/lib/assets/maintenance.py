"""Maintenance as a Dagster job, to be run or scheduled. Dagster reads annotations as objects: not postponed here."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from ml_assets.lib.assets.resources import SparkSessionOf
from ml_assets.lib.gate.outcome import Run

if TYPE_CHECKING:
    from ml_assets.lib.gate.maintain import Maintained

JOB: Final = "maintain"
CONFIG: Final = {
    "tables": dg.Field([str], default_value=[], description="Asset keys, units or table names; all if none is named."),
    "keep_days": dg.Field(int, default_value=7, description="Days that a snapshot stays readable at its table's head."),
    "dry_run": dg.Field(bool, default_value=False, description="Only say what is to be done."),
}


def maintenance_job(
    open_machinery: Callable[[Any, Any, Any], Any], tracking: Callable[[], Any], *, spark: bool = False
) -> dg.JobDefinition:
    """The job: one op over all tables, which fails at its end if one of them did.

    Args:
        open_machinery: Puts the machinery together for a lake, MLflow and Spark.
        tracking: Opens MLflow, at its first use.
        spark: Whether it may use Spark, which the resource ``pyspark`` starts then.
    """

    @dg.op(
        name="maintain_tables",
        description="Merge small files, expire snapshots, remove what nothing refers to: a gated publish per table.",
        config_schema=CONFIG,
        required_resource_keys={"lakefs", "pyspark"} if spark else {"lakefs"},
        out={},
    )
    def maintain_tables(context: dg.OpExecutionContext) -> Iterator[dg.AssetObservation]:
        from ml_assets.lib.gate.maintain import State, maintain

        session = SparkSessionOf(context.resources.pyspark) if spark else None
        machinery = open_machinery(context.resources.lakefs.lake(), tracking(), session)
        config, failed = context.op_config, []
        for found in maintain(
            machinery,
            config["tables"],
            run=Run(id=context.run_id),
            keep=timedelta(days=config["keep_days"]),
            dry_run=config["dry_run"],
        ):
            context.log.info("%s: %s %s", found.unit, found.state, found.note)
            yield dg.AssetObservation([found.unit.stage, found.unit.name], metadata=_metadata(found))
            if found.state == State.FAILED:
                failed.append(f"{found.unit}: {found.note}")
        if failed:
            raise dg.Failure(description="\n".join(failed), allow_retries=False)

    @dg.job(name=JOB, description="Keeps published tables small. Rows, digests and earlier commits stay as they are.")
    def maintain_job() -> None:
        maintain_tables()

    return maintain_job


def _metadata(found: "Maintained") -> dict[str, Any]:
    """What the asset's page shows: sizes before and after."""
    shown: dict[str, Any] = {"unit": str(found.unit), "maintenance": str(found.state)}
    for when, size in (("before", found.before), ("after", found.after)):
        if size:
            shown |= {f"objects_{when}": size.objects, f"bytes_{when}": size.bytes, f"snapshots_{when}": size.snapshots}
    if found.commit:
        shown["lakefs_commit"] = found.commit.id
    return shown | ({"note": found.note} if found.note else {})
