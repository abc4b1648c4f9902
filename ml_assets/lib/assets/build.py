"""One declaration, one Dagster asset: the report step of a materialization."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from traceback import format_exception
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_IS_USER_PROVIDED_TAG, DATA_VERSION_TAG

from ml_assets.lib.assets import metadata
from ml_assets.lib.assets.compute import Evaluated, computed
from ml_assets.lib.assets.partitions import Partitioning
from ml_assets.lib.core.errors import ContractError, FunctionError, MLAssetsError
from ml_assets.lib.core.publication import CheckResult
from ml_assets.lib.declare.checks import CONTRACT, DESCRIPTIONS
from ml_assets.lib.declare.declarations import FeatureView, Frame, Model, Source, Split
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

NOT_EVALUATED: Final = "not evaluated: there are no rows to judge"
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
                    blocking=_is_blocking(asset, name),
                    description=_check_description(asset, name),
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
        try:
            machinery = self._open(context, asset)
            work = self._work(context, machinery, asset, partition)
            if work is None:
                yield _not_part(asset, partition)
                return
            recompute = context.run.tags.get(RECOMPUTE_TAG, "").lower() == "true"
            outcome = machinery.gate.materialize(work, _run_of(context, partition), recompute=recompute)
        except (ContractError, FunctionError) as error:
            if asset.stage != "sources" and isinstance(error, FunctionError):
                raise _failure(error) from error
            context.log.error(str(error))  # noqa: TRY400  (what people read; the data is wrong, not the code)
            yield from _unreadable(asset, error)
            return
        except MLAssetsError as error:
            raise _failure(error) from error
        yield from self._report(context, asset, partition, outcome, self.links(machinery.lake))

    def _work(
        self, context: dg.AssetExecutionContext, machinery: Machinery, asset: Asset, partition: Partition
    ) -> Work | None:
        config: dict[str, Json] = dict(context.op_execution_context.op_config or {})
        path = config.pop("path", None)
        return machinery.plan.work(
            machinery.systems, asset, partition, parameters=config, path=Path(path) if path else None
        )

    def _report(
        self,
        context: dg.AssetExecutionContext,
        asset: Asset,
        partition: Partition,
        outcome: Outcome,
        links: metadata.Links,
    ) -> Iterator[Evaluated]:
        refused = outcome if isinstance(outcome, Refused) else None
        checks = _check_results(asset, outcome, refused, links)
        if refused:
            context.log.error("%s failed its audit; branch %s is kept for inspection", outcome.unit, refused.branch)
            yield from checks
            return
        assert isinstance(outcome, _on_target())
        declaration = self.plan.declaration(asset, partition)
        assert declaration is not None
        found = metadata.of_outcome(outcome, links, self.plan.declarations, declaration, partition)
        if isinstance(outcome, Published):
            for sibling in self.plan.siblings(asset, partition):
                shared = {**found, "shared_with": partition.key}
                _report_sibling(context, asset, sibling, checks, metadata=shared, digest=outcome.publication.digest)
        yield dg.MaterializeResult(
            check_results=checks, data_version=dg.DataVersion(outcome.publication.digest), metadata=found
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
            name: dg.Field(type(value), default_value=value, is_required=False)
            for name, value in declaration.params.items()
        }
    return None


def _is_blocking(asset: Asset, check: str) -> bool:
    """Everything blocks but rules that are declared as warnings."""
    severities = {rule.severity for d in asset.declarations for rule in d.rules if rule.name == check}
    return severities != {"warn"}


def _check_description(asset: Asset, check: str) -> str | None:
    own = (rule.description for d in asset.declarations for rule in d.rules if rule.name == check)
    return next(own, None) or DESCRIPTIONS.get(check)


def _run_of(context: dg.AssetExecutionContext, partition: Partition) -> Run:
    tags = {name: context.run.tags[name] for name in PEOPLE_TAGS if name in context.run.tags}
    return Run(id=context.run.run_id, tags=tags, partition=partition.key)


def _check_results(
    asset: Asset, outcome: Outcome, refused: Refused | None, links: metadata.Links
) -> list[dg.AssetCheckResult]:
    """One result per declared check; a check of another version of the dataset does not apply to this one."""
    found = {result.check: result for result in outcome.verdict}
    missing = CheckResult(check="", passed=True, figures={"note": "not part of this version"})
    return [
        dg.AssetCheckResult(
            check_name=name,
            passed=found.get(name, missing).passed,
            severity=_severity(found.get(name, missing)),
            metadata=metadata.of_check(found.get(name, missing), outcome.unit, refused, links),
        )
        for name in asset.checks
    ]


def _severity(result: CheckResult) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if result.severity == "error" else dg.AssetCheckSeverity.WARN


def _failure(error: MLAssetsError) -> dg.Failure:
    """The step fails, with problem and remedy; the same again would fail again."""
    return dg.Failure(
        description=str(error), metadata={"kind": error.kind, "remedy": error.remedy}, allow_retries=False
    )


def _unreadable(asset: Asset, error: ContractError | FunctionError) -> Iterator[dg.AssetCheckResult]:
    """The data could not even be brought into the contract's columns: nothing was judged, nothing passes."""
    for name in asset.checks:
        if name == CONTRACT.name:
            facts: dict[str, str | dg.MetadataValue[Any]] = {
                "kind": error.kind,
                "problem": error.problem,
                "remedy": error.remedy,
                "traceback": dg.MetadataValue.text("".join(format_exception(error))),
            }
            yield dg.AssetCheckResult(check_name=name, passed=False, metadata=facts, description=str(error))
        else:
            yield dg.AssetCheckResult(check_name=name, passed=False, description=NOT_EVALUATED)


def _not_part(asset: Asset, partition: Partition) -> dg.MaterializeResult[Any]:
    """Green, with nothing stored: this version does not contain the dataset."""
    note = f"not part of {partition.key}"
    checks = [dg.AssetCheckResult(check_name=name, passed=True, metadata={"note": note}) for name in asset.checks]
    return dg.MaterializeResult(check_results=checks, data_version=dg.DataVersion("none"), metadata={"outcome": note})


def _report_sibling(
    context: dg.AssetExecutionContext,
    asset: Asset,
    sibling: Partition,
    checks: list[dg.AssetCheckResult],
    *,
    metadata: Mapping[str, Any],
    digest: str,
) -> None:
    """Another partition means the same unit: it is materialized too, with the same checks, commit and data version."""
    key = dg.AssetKey(asset.key.split("/"))
    data_version = {DATA_VERSION_TAG: digest, DATA_VERSION_IS_USER_PROVIDED_TAG: "true"}
    context.log_event(dg.AssetMaterialization(key, partition=sibling.key, metadata=metadata, tags=data_version))
    for check in checks:
        name = check.check_name or ""
        context.log_event(
            dg.AssetCheckEvaluation(
                asset_key=key,
                check_name=name,
                passed=check.passed,
                metadata=check.metadata or {},
                severity=check.severity,
                blocking=_is_blocking(asset, name),
                partition=sibling.key,
            )
        )
