"""Materializes assets through Dagster in this process, in the order in which data flows, and reports what came of it.

With *changed*, the gate is asked first: no Dagster run starts for what is unchanged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from ml_assets.lib.assets.build import RECOMPUTE_TAG
from ml_assets.lib.assets.checks import NOT_APPLICABLE, NOT_EVALUATED
from ml_assets.lib.assets.partitions import tags
from ml_assets.lib.core.errors import ConfigError, FunctionError, MLAssetsError
from ml_assets.lib.core.suggest import choose
from ml_assets.lib.declare.declarations import Model
from ml_assets.lib.declare.params import adopt
from ml_assets.lib.gate.causes import GIVEN

if TYPE_CHECKING:
    from ml_assets.lib.core.publication import Publication
    from ml_assets.lib.core.recipe import Json
    from ml_assets.lib.gate.machinery import Machinery
    from ml_assets.lib.gate.outcome import Unchanged
    from ml_assets.lib.gate.plan import Asset, Partition, Plan

WAVES: Final = (("sources",), ("splits",), ("features",), ("frames", "models"))
"""Stages that run together: each wave needs the ones before it."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of one asset's partition.

    Attributes:
        asset: Key of the asset.
        partition: Dagster's partition key.
        outcome: ``published``, ``judged anew``, ``unchanged``, ``confirmed``, ``refused``, ``blocked``, ``failed``, or
            ``not part of …``.
        note: Why, where it is not on the target.
        facts: Metadata of the materialization: digest, commit, rows, bytes, seconds.
        failing: Of each check that failed, the failing rows that it shows.
        traceback: Where an error was raised, in full.
    """

    asset: str
    partition: str | None
    outcome: str
    note: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    failing: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    traceback: str = ""

    @property
    def ok(self) -> bool:
        """Whether the target holds it now."""
        return self.outcome not in {"refused", "blocked", "failed"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be materialized.

    Attributes:
        assets: Asset keys or stages; none means everything.
        split_version: Only this one.
        feature_version: Only this one.
        changed: Leave out what the gate says is unchanged.
        recompute: Compute even what is unchanged.
        tags: Run tags for people: author, ticket, approved_by.
        path: Of the one source that is named: another file to ingest.
        parameters: Of models: values instead of declared ones.
    """

    assets: Sequence[str] = ()
    split_version: str | None = None
    feature_version: str | None = None
    changed: bool = False
    recompute: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None
    parameters: Mapping[str, Json] = field(default_factory=dict)

    def config(self, asset: Asset) -> dict[str, Json]:
        """Run config of *asset*: what was given, or, of an asset that is named by its key, what is declared.

        Empty where nothing is named: after an edit (*changed*), to compute the same again (*recompute*), or by stage.
        What was given for what is published stays its input then.
        """
        declared = asset.key in self.assets and not self.changed and not self.recompute
        if asset.stage == "sources" and (declared or self.path is not None):
            return {"path": None if self.path is None else str(self.path)}
        if asset.stage == "models" and (declared or self.parameters):
            model = asset.declarations[0]
            assert isinstance(model, Model)
            return {**model.params, **self.parameters}
        return {}


Started = Callable[[Sequence[str], str | None], None]


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Runs requests on one Dagster instance.

    Attributes:
        definitions: The code location.
        plan: What is declared.
        machinery: Gate and systems, asked for when the gate is.
        instance: Where runs are recorded; the UI shows the same.
        started: Told before each Dagster run: asset keys and partition.
    """

    definitions: dg.Definitions
    plan: Plan
    machinery: Callable[[], Machinery]
    instance: dg.DagsterInstance
    started: Started = lambda _assets, _partition: None

    def run(self, request: Request) -> Iterator[Result]:
        """Materialize, wave by wave; a result per asset and partition, as they come.

        Raises:
            ConfigError: An asset or version that is not declared.
        """
        selected = self._selected(request)
        for wave in WAVES:
            groups: dict[Partition, list[Asset]] = {}
            for asset in (asset for asset in selected if asset.stage in wave):
                for partition in self.plan.partitions(asset):
                    if _wanted(partition, request):
                        groups.setdefault(partition, []).append(asset)
            for partition, assets in groups.items():
                yield from self._run_group(assets, partition, request)

    def _selected(self, request: Request) -> list[Asset]:
        known = self.plan.assets
        stages = {asset.stage for asset in known.values()}
        for name in request.assets:
            if name not in known and name not in stages:
                raise ConfigError(
                    f"there is no asset or stage {name!r}", remedy=choose(name, [*sorted(stages), *known])
                )
        declarations = self.plan.declarations
        for given, versions, what in (
            (request.split_version, declarations.split_versions, "split"),
            (request.feature_version, tuple(declarations.feature_versions), "feature"),
        ):
            if given is not None and given not in versions:
                raise ConfigError(f"there is no {what} version {given!r}", remedy=choose(given, versions))
        if request.path is not None and (len(request.assets) != 1 or not request.assets[0].startswith("sources/")):
            raise ConfigError(
                "a file is for one source", remedy="name it, as in `ml-assets materialize sources/flights --path F`"
            )
        named = request.assets
        selected = [a for a in known.values() if not named or a.key in named or a.stage in named]
        _check_parameters(selected, request.parameters)
        return selected

    def _run_group(self, assets: list[Asset], partition: Partition, request: Request) -> Iterator[Result]:
        if request.changed and not request.recompute:
            running: list[Asset] = []
            for asset in assets:
                answer = self._ask(asset, partition, running, request)
                if answer is None:
                    running.append(asset)
                else:
                    yield answer
            assets = running
        if assets:
            yield from self._run_dagster(assets, partition, request)

    def _ask(self, asset: Asset, partition: Partition, running: list[Asset], request: Request) -> Result | None:
        """What the gate says of it, or ``None`` if it must run: also for a model whose frame is among *running*."""
        if any(_is_frame_of(other, asset) for other in running):
            return None
        machinery = self.machinery()
        began = time.perf_counter()
        config = request.config(asset)
        path = config.pop("path", None) if asset.stage == "sources" else None
        try:
            work = self.plan.work(
                machinery.systems,
                asset,
                partition,
                parameters=config,
                path=Path(path) if path else None,
                keep=True,
            )
            unchanged = machinery.gate.unchanged(work) if work else None
        except MLAssetsError as error:
            return _result(asset, partition, "blocked", note=str(error))
        if self._never_reported(asset, partition):
            return None
        if work is None:
            return _result(asset, partition, f"not part of {partition.key}")
        if unchanged is None:
            return None
        facts = _facts(unchanged, time.perf_counter() - began)
        return _result(asset, partition, "unchanged", note=_given(unchanged.publication), facts=facts)

    def _never_reported(self, asset: Asset, partition: Partition) -> bool:
        """Whether Dagster shows nothing of it: a feature version that was just added, or another state folder."""
        key = dg.AssetKey(asset.key.split("/"))
        if partition.key is None:
            return self.instance.get_latest_materialization_event(key) is None
        return partition.key not in self.instance.get_materialized_partitions(key)

    def _run_dagster(self, assets: list[Asset], partition: Partition, request: Request) -> Iterator[Result]:
        self.started([asset.key for asset in assets], partition.key)
        keys = [dg.AssetKey(asset.key.split("/")) for asset in assets]
        job = self.definitions.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            instance=self.instance,
            asset_selection=keys,
            tags={**request.tags, **tags(partition), **({RECOMPUTE_TAG: "true"} if request.recompute else {})},
            run_config={
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                "ops": {_op(asset): {"config": config} for asset in assets if (config := request.config(asset))},
            },
            raise_on_error=False,
        )
        for asset in assets:
            yield _of_events(asset, partition, result)


def _is_frame_of(frame: Asset, asset: Asset) -> bool:
    """Whether *asset* is a model that learns from *frame*."""
    model = asset.declarations[0]
    return isinstance(model, Model) and (frame.stage, frame.name) == ("frames", model.frame)


def _check_parameters(selected: Sequence[Asset], given: Mapping[str, Json]) -> None:
    """Each parameter is declared by every selected model, with a value of that kind.

    Raises:
        ConfigError: One is not.
    """
    models = [found for asset in selected if isinstance(found := asset.declarations[0], Model)]
    if given and not models:
        raise ConfigError("a parameter is for models", remedy="name one, as in `ml-assets materialize models/NAME`")
    for model in models:
        adopt(f"models/{model.name}", model.params, given)


def _op(asset: Asset) -> str:
    """Dagster's name of the asset's step."""
    return asset.key.replace("/", "__")


def _wanted(partition: Partition, request: Request) -> bool:
    """Whether the request means this partition: a version that it names leaves out the others."""
    return all(
        wanted is None or has is None or wanted == has
        for wanted, has in (
            (request.split_version, partition.split_version),
            (request.feature_version, partition.feature_version),
        )
    )


def _result(
    asset: Asset, partition: Partition, outcome: str, *, note: str = "", facts: Mapping[str, Any] | None = None
) -> Result:
    return Result(asset=asset.key, partition=partition.key, outcome=outcome, note=note, facts=facts or {})


def _facts(unchanged: Unchanged, seconds: float) -> dict[str, Any]:
    output = unchanged.publication.outputs[0]
    return {
        "digest": output.digest,
        "lakefs_commit": unchanged.commit.id,
        "dagster/row_count": output.rows,
        "bytes": output.bytes,
        "seconds": seconds,
        **unchanged.settled,
    }


def _given(publication: Publication) -> str:
    """What a person gave for what is published, and stays its input, in words."""
    given = publication.extra.get(GIVEN, {})
    if "path" in given:
        return f"from {given['path']}, given by --path"
    return f"with parameters that were given: {given['parameters']}" if "parameters" in given else ""


def _of_events(asset: Asset, partition: Partition, result: dg.ExecuteInProcessResult) -> Result:
    """What Dagster's events say of one asset."""
    key = dg.AssetKey(asset.key.split("/"))
    judged = [e for e in result.get_asset_check_evaluations() if (e.asset_key, e.partition) == (key, partition.key)]
    failed = [e for e in judged if not e.passed]
    inapplicable = [f"{e.check_name}: {e.description}" for e in failed if _does_not_apply(e)]
    for event in result.get_asset_materialization_events():
        found = event.materialization
        if found.asset_key == key and found.partition == partition.key:
            facts = {name: value.value for name, value in found.metadata.items()}
            return _result(asset, partition, str(facts["outcome"]), note="; ".join(inapplicable), facts=facts)
    stopping = [e for e in failed if e.severity == dg.AssetCheckSeverity.ERROR and e.description != NOT_EVALUATED]
    if stopping:
        return _refused(asset, partition, stopping, inapplicable)
    step = next((e for e in result.all_events if e.is_step_failure and e.step_key == _op(asset)), None)
    if step is None:
        return _result(asset, partition, "blocked", note="something it needs failed in the same run")
    error = step.step_failure_data.error
    traceback = error.to_string() if error else ""
    return replace(_result(asset, partition, "failed", note=_problem(step)), traceback=traceback)


def _refused(
    asset: Asset, partition: Partition, failed: Sequence[dg.AssetCheckEvaluation], inapplicable: Sequence[str]
) -> Result:
    """Each check that failed, with the rules that are broken and how often, and the branch to look at."""
    notes = [_why(e) if _value(e, "kind") == FunctionError.kind else f"{e.check_name}: {_why(e)}" for e in failed]
    note = "; ".join([*notes, *inapplicable])
    branch = next((found for e in failed if (found := _value(e, "lakefs_branch"))), None)
    tables = {e.check_name: e.metadata.get("failing_rows") for e in failed}
    return replace(
        _result(asset, partition, "refused", note=note + (f" (branch {branch})" if branch else "")),
        failing={
            check: [dict(record.data) for record in table.records]
            for check, table in tables.items()
            if isinstance(table, dg.TableMetadataValue)
        },
        traceback=next((found for e in failed if (found := _value(e, "traceback"))), ""),
    )


def _value(evaluation: dg.AssetCheckEvaluation, name: str) -> str:
    """A text of its metadata; empty where it has none of this name."""
    return str(evaluation.metadata[name].value) if name in evaluation.metadata else ""


def _does_not_apply(evaluation: dg.AssetCheckEvaluation) -> bool:
    """Whether there was nothing to judge, though the check is one of this version."""
    said = evaluation.description or ""
    return said.startswith(NOT_APPLICABLE) and not said.startswith(f"{NOT_APPLICABLE}not part of ")


def _why(evaluation: dg.AssetCheckEvaluation) -> str:
    counts = evaluation.metadata.get("failed_per_rule")
    if counts is None:
        return evaluation.description or "failed"
    return ", ".join(f"{r.data['rule']} ({r.data['failed']})" for r in counts.records)  # type: ignore[attr-defined]  # a table


def _problem(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error else "failed"
