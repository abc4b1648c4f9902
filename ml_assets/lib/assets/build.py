"""One declaration, one Dagster asset: the report step of a materialization."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_IS_USER_PROVIDED_TAG, DATA_VERSION_TAG

from ml_assets.lib.assets import checks, metadata
from ml_assets.lib.assets.compute import Evaluated, computed
from ml_assets.lib.assets.partitions import Partitioning
from ml_assets.lib.core.errors import ContractError, FunctionError, MLAssetsError
from ml_assets.lib.declare.declarations import FeatureView, Frame, Model, Source, Split
from ml_assets.lib.declare.params import as_json
from ml_assets.lib.gate.outcome import Published, Refused, Run

if TYPE_CHECKING:
    from ml_assets.lib.assets.resources import SparkSessionOf
    from ml_assets.lib.core.recipe import Json
    from ml_assets.lib.declare.declarations import Declaration
    from ml_assets.lib.declare.registry import Declarations
    from ml_assets.lib.gate.machinery import Machinery
    from ml_assets.lib.gate.outcome import Outcome, Unchanged
    from ml_assets.lib.gate.plan import Asset, Partition, Plan
    from ml_assets.lib.gate.work import Work
    from ml_assets.lib.lake.client import Lake
    from ml_assets.lib.tracking.store import Tracking

RECOMPUTE_TAG: Final = "ml_assets/recompute"
PEOPLE_TAGS: Final = ("author", "ticket", "approved_by")
"""Run tags that reach commits and the publication."""

KINDS: Final[Mapping[str, set[str]]] = {
    "sources": {"lakefs", "iceberg", "pandera"},
    "splits": {"lakefs", "iceberg", "pandera"},
    "features": {"lakefs", "iceberg", "pandera"},
    "frames": {"lakefs", "parquet", "pandera"},
    "models": {"lakefs", "mlflow", "scikitlearn"},
}

Open = Callable[["Lake", "Tracking", "SparkSessionOf | None"], "Machinery"]


@dataclass(frozen=True, kw_only=True)
class Builder:
    """Makes Dagster assets from declarations.

    Attributes:
        plan: What is declared.
        open: Puts the machinery together for the lake, the MLflow and the Spark that the resources lead to.
        tracking: MLflow, for assets that have no MLflow resource of their own (validity of models).
        links: Where people look at what was made.
        engine: Engine of declarations that name none.
    """

    plan: Plan
    open: Open
    tracking: Callable[[], Tracking]
    links: Callable[[Lake], metadata.Links]
    engine: str = "duckdb"

    @property
    def uses_spark(self) -> bool:
        """Whether anything does."""
        return any("pyspark" in self._resources(asset) for asset in self.plan.assets.values())

    def assets(self) -> list[dg.AssetsDefinition]:
        """All assets, in the order in which data flows."""
        partitioning = Partitioning.of(self.plan.declarations)
        return [self._asset(asset, partitioning) for asset in self.plan.assets.values()]

    def _asset(self, asset: Asset, partitioning: Partitioning) -> dg.AssetsDefinition:
        key = dg.AssetKey(asset.key.split("/"))
        partitions_def = partitioning.definition(asset)
        newest = asset.declarations[-1]
        decorate = dg.asset(
            key=key,
            deps=[dg.AssetKey(path.split("/")) for path in upstream(self.plan.declarations, asset)],
            partitions_def=partitions_def,
            group_name=asset.stage,
            kinds=KINDS[asset.stage],
            owners=[newest.owner] if newest.owner else None,
            description=_description(asset),
            metadata=metadata.schema_metadata(self.plan.declarations, newest, _newest_partition(self.plan, asset)),
            config_schema=_config_schema(newest),
            output_required=False,
            required_resource_keys=self._resources(asset),
            check_specs=[
                dg.AssetCheckSpec(
                    name,
                    asset=key,
                    blocking=checks.is_blocking(asset, name),
                    description=checks.check_description(asset, name),
                    partitions_def=partitions_def,
                )
                for name in asset.checks
            ],
        )

        return decorate(computed(lambda context: self._materialize(context, asset, partitioning)))

    def _resources(self, asset: Asset) -> set[str]:
        """Keys of the resources that *asset* needs: MLflow is not even imported for others, nor is Spark."""
        declared = [self._computed(declaration).engine or self.engine for declaration in asset.declarations]
        wanted = {"lakefs": True, "mlflow": asset.stage == "models", "pyspark": "spark" in declared}
        return {key for key, needed in wanted.items() if needed}

    def _computed(self, declaration: Declaration) -> Declaration:
        """What an engine computes: of a model, the frame, whose rows it may have to rebuild."""
        return self.plan.declarations.frames[declaration.frame] if isinstance(declaration, Model) else declaration

    def _open(self, context: dg.AssetExecutionContext, asset: Asset) -> Machinery:
        """The machinery on the resources of *asset*; Spark is not started by this."""
        from ml_assets.lib.assets.resources import SparkSessionOf

        given, keys = context.resources, self._resources(asset)
        return self.open(
            given.lakefs.lake(),
            given.mlflow if "mlflow" in keys else self.tracking(),
            SparkSessionOf(given.pyspark) if "pyspark" in keys else None,
        )

    def _materialize(
        self, context: dg.AssetExecutionContext, asset: Asset, partitioning: Partitioning
    ) -> Iterator[Evaluated]:
        """Run the gate, then report: one result, or the failed checks alone, which stops everything downstream."""
        partition = partitioning.partition(asset, str(context.partition_key) if context.has_partition_key else None)
        machinery: Machinery | None = None
        try:
            machinery = self._open(context, asset)
            work = self._work(context, machinery, asset, partition)
            if work is None:
                yield checks.not_part(asset, partition)
                return
            recompute = context.run.tags.get(RECOMPUTE_TAG, "").lower() == "true"
            outcome = machinery.gate.materialize(work, _run_of(context, partition), recompute=recompute)
        except (ContractError, FunctionError) as error:
            if asset.stage != "sources" and isinstance(error, FunctionError):
                raise self._failure(error, machinery, asset, partition) from error
            context.log.error(str(error))  # noqa: TRY400  (what people read; the data is wrong, not the code)
            yield from checks.unreadable(asset, error, self._still(machinery, asset, partition))
            return
        except MLAssetsError as error:
            raise self._failure(error, machinery, asset, partition) from error
        except Exception:  # of a person's function, or a defect: Dagster shows it as it is
            context.log.error(self._still(machinery, asset, partition)[checks.STILL])  # noqa: TRY400  (shown beside it)
            raise
        yield from self._report(context, asset, partition, outcome, machinery)

    def _failure(
        self, error: MLAssetsError, machinery: Machinery | None, asset: Asset, partition: Partition
    ) -> dg.Failure:
        """The step fails, with problem, remedy, and what still stands published; the same again would fail again."""
        still = self._still(machinery, asset, partition)
        return dg.Failure(
            description=f"{error}\n{still[checks.STILL]}",
            metadata={"kind": error.kind, "remedy": error.remedy, **still},
            allow_retries=False,
        )

    def _still(self, machinery: Machinery | None, asset: Asset, partition: Partition) -> dict[str, str]:
        """What stands published of a partition after a run that did not publish it; in words under `checks.STILL`."""
        unit = self.plan.unit(asset, partition)
        if machinery is None or unit is None:
            return {checks.STILL: "nothing was published by this run"}
        target = machinery.target
        try:
            head = machinery.lake.head(target)
            published = machinery.systems.records.get(unit, head)
        except MLAssetsError as error:
            return {
                checks.STILL: f"nothing was published by this run; what stands on {target} could not be read: {error}"
            }
        if published is None:
            return {checks.STILL: f"nothing of {unit} is published on {target} yet"}
        at = str(published.run["end"])
        where = f"still stands on {target}, at commit {head.short}"
        return {
            checks.STILL: f"the version of {unit} that was published at {at} {where}",
            f"{checks.STILL}_at": at,
            f"{checks.STILL}_commit": head.id,
            f"{checks.STILL}_digest": published.digest,
        }

    def _work(
        self, context: dg.AssetExecutionContext, machinery: Machinery, asset: Asset, partition: Partition
    ) -> Work | None:
        """The work on what the run config names; without any, what was given for what is published stays its input."""
        named = _named_in(context)
        config: dict[str, Json] = {
            name: value for name, value in (context.op_execution_context.op_config or {}).items() if name in named
        }
        path = config.pop("path", None) if asset.stage == "sources" else None
        return machinery.plan.work(
            machinery.systems,
            asset,
            partition,
            parameters=config,
            path=Path(path) if path else None,
            keep=not named,
        )

    def _report(
        self,
        context: dg.AssetExecutionContext,
        asset: Asset,
        partition: Partition,
        outcome: Outcome,
        machinery: Machinery,
    ) -> Iterator[Evaluated]:
        links = self.links(machinery.lake)
        refused = outcome if isinstance(outcome, Refused) else None
        declaration = self.plan.declaration(asset, partition)
        assert declaration is not None  # what is not part of a version has no outcome
        results = checks.check_results(asset, declaration, outcome, refused, links)
        if refused:
            still = self._still(machinery, asset, partition)
            context.log.error(
                "%s failed its audit; branch %s is kept for inspection; %s",
                outcome.unit,
                refused.branch,
                still[checks.STILL],
            )
            yield from (checks.with_still(result, still) for result in results)
            return
        assert isinstance(outcome, _on_target())
        found = metadata.of_outcome(outcome, links, self.plan.declarations, declaration, partition)
        if isinstance(declaration, Frame | Model):
            body = machinery.lake.read(outcome.commit, outcome.unit.object_path)
            found |= metadata.of_object(json.loads(body)) if body else {}
        if isinstance(outcome, Published):
            for sibling in self.plan.siblings(asset, partition):
                shared = {**found, "shared_with": partition.key}
                _report_sibling(context, asset, sibling, results, metadata=shared, digest=outcome.publication.digest)
        yield dg.MaterializeResult(
            check_results=results, data_version=dg.DataVersion(outcome.publication.digest), metadata=found
        )


def upstream(declarations: Declarations, asset: Asset) -> list[str]:
    """Keys of the assets that *asset* is made from, over all of its versions."""
    paths: list[str] = []
    for declaration in asset.declarations:
        if isinstance(declaration, Split | FeatureView):
            paths += [f"sources/{name}" for name in declaration.parameters]
        if isinstance(declaration, Frame):
            views = {ref.name for refs in declarations.feature_versions.values() for ref in refs}
            paths += [f"sources/{name}" for name in declaration.parameters]
            paths += [f"splits/{declaration.split}", *(f"features/{name}" for name in sorted(views))]
        if isinstance(declaration, Model):
            paths.append(f"frames/{declaration.frame}")
    return list(dict.fromkeys(paths))


def _on_target() -> tuple[type[Published], type[Unchanged]]:
    from ml_assets.lib.gate.outcome import Unchanged

    return Published, Unchanged


def _description(asset: Asset) -> str:
    """The docstring; of an asset with several versions, each with its name."""
    if len(asset.declarations) == 1:
        return asset.declarations[0].description
    named = [(str(getattr(d, "version", "")), d.description) for d in asset.declarations]
    return "\n\n".join(f"**{version}**: {description}" for version, description in named)


def _newest_partition(plan: Plan, asset: Asset) -> Partition:
    return plan.partitions(asset)[-1]


def _config_schema(declaration: Declaration) -> dict[str, dg.Field] | None:
    """What run config may set: the file of a source, the declared parameters of a model."""
    if isinstance(declaration, Source):
        return {
            "path": dg.Field(
                dg.Noneable(str), default_value=None, is_required=False, description="Another file to ingest."
            )
        }
    if isinstance(declaration, Model):
        return {
            name: dg.Field(_config_type(value), default_value=as_json(value), is_required=False)
            for name, value in declaration.params.items()
        }
    return None


def _config_type(value: object) -> Any:
    """Dagster's type of a parameter: of one that is ``None`` anything, as nobody knows what it may be."""
    if value is None:
        return dg.Noneable(dg.Any)
    if isinstance(value, dict):
        return dict
    return list if isinstance(value, tuple) else type(value)


def _named_in(context: dg.AssetExecutionContext) -> set[str]:
    """What the config of this step names; Dagster fills in defaults, which nobody named."""
    run_config: Mapping[str, Any] = context.run.run_config
    step = run_config.get("ops", {}).get(context.op_execution_context.op.name) or {}
    return set(step.get("config") or {})


def _run_of(context: dg.AssetExecutionContext, partition: Partition) -> Run:
    tags = {name: context.run.tags[name] for name in PEOPLE_TAGS if name in context.run.tags}
    return Run(id=context.run.run_id, tags=tags, partition=partition.key)


def _report_sibling(
    context: dg.AssetExecutionContext,
    asset: Asset,
    sibling: Partition,
    results: list[dg.AssetCheckResult],
    *,
    metadata: Mapping[str, Any],
    digest: str,
) -> None:
    """Another partition means the same unit: it is materialized too, with the same checks, commit and data version."""
    key = dg.AssetKey(asset.key.split("/"))
    data_version = {DATA_VERSION_TAG: digest, DATA_VERSION_IS_USER_PROVIDED_TAG: "true"}
    context.log_event(dg.AssetMaterialization(key, partition=sibling.key, metadata=metadata, tags=data_version))
    for check in results:
        name = check.check_name or ""
        context.log_event(
            dg.AssetCheckEvaluation(
                asset_key=key,
                check_name=name,
                passed=check.passed,
                metadata=check.metadata or {},
                severity=check.severity,
                description=check.description,
                blocking=checks.is_blocking(asset, name),
                partition=sibling.key,
            )
        )
