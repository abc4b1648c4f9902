"""Registered model versions: made once per trained model, found again by what they rest on. All of it may run twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.errors import TrackingError
from ml_assets.lib.core.lineage import FRAME_DIGEST, LAKEFS_COMMIT, RECIPE, Lineage
from ml_assets.lib.core.names import Unit
from ml_assets.lib.tracking.models import FILE
from ml_assets.lib.tracking.runs import MODEL_ID, PREFIX, PUBLISHED, UNIT, end, set_tags
from ml_assets.lib.tracking.store import Tracking, translated

if TYPE_CHECKING:
    from mlflow.entities import Run as MLflowRun
    from mlflow.entities.model_registry import ModelVersion as MLflowVersion

_PAGE: Final = 1000
_OPEN: Final = ("RUNNING", "SCHEDULED", "FINISHED")


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a registered model.

    Attributes:
        name: Name of the registered model.
        number: Its version; numbers may have gaps.
        run_id: MLflow run that trained it.
        tags: Its tags: the lineage, and whatever people added.
        created: Whether this call made it.
    """

    name: str
    number: int
    run_id: str
    tags: Mapping[str, str]
    created: bool = False


def register(tracking: Tracking, name: str, run_id: str) -> ModelVersion:
    """The one version of the model that *run_id* trained, made if there is none; its tags are the run's lineage.

    Two that register the same run at once end with the same version: each makes one, looks again, and removes all but
    the lowest. MLflow never gives a number twice, so the lowest is the same for both.

    Raises:
        TrackingError: The run has no whole model or no lineage, or MLflow refused.
    """
    run = _run(tracking, run_id)
    if (model_id := run.data.tags.get(MODEL_ID)) is None:
        raise TrackingError(f"the MLflow run {run_id} has no model", remedy="materialize the model with --recompute")
    tags = Lineage.from_params(run.data.params).as_version_tags()
    versions = _versions_of_run(tracking, name, run_id, tags[RECIPE])
    created = not versions
    if created:
        _create(tracking, name, run_id, model_id, tags)
        versions = _versions_of_run(tracking, name, run_id, tags[RECIPE])
    if not versions:
        raise TrackingError(
            f"the version of {name!r} made for run {run_id} is gone again",
            remedy="somebody deletes versions: try again",
        )
    first, *others = sorted(versions, key=lambda version: version.number)
    for other in others:
        _delete(tracking, other)
    return ModelVersion(name, first.number, run_id, first.tags, created)


def tag_version(tracking: Tracking, version: ModelVersion, tags: Mapping[str, str]) -> None:
    """Set tags of a version; those that are so already are left alone."""
    for key, value in tags.items():
        if version.tags.get(key) != value:
            with translated(f"tag {version.name}/{version.number}"):
                tracking.client.set_model_version_tag(version.name, str(version.number), key, value)


def mark_published(tracking: Tracking, run_id: str, version: ModelVersion) -> None:
    """Say on the run that its model was published, and as which version."""
    set_tags(tracking, run_id, {PUBLISHED: f"{version.name}/{version.number}"})


def end_losers(
    tracking: Tracking,
    experiment: str,
    unit: Unit,
    published_run: str,
    lives: Callable[[Mapping[str, str]], bool | None],
) -> tuple[str, ...]:
    """End as KILLED the runs of *unit* that were never published and whose process is gone.

    Args:
        tracking: Where the runs are.
        experiment: Name of their experiment.
        unit: The unit.
        published_run: The run that is published now; left alone whether or not it says so yet.
        lives: Tells of the facts that `runs.begin` took as *owner* whether that process still runs; ``None`` means that
            nobody can tell, and such a run is left alone.

    Returns:
        Ids of the runs that were ended.
    """
    losers = [
        run.info
        for run in _runs_of(tracking, experiment, unit)
        if run.info.run_id != published_run
        and PUBLISHED not in run.data.tags
        and run.info.status in _OPEN
        and lives(_own(run.data.tags)) is False
    ]
    for loser in losers:
        end(tracking, loser.run_id, "KILLED", ended=loser.end_time)
    return tuple(loser.run_id for loser in losers)


def exists(tracking: Tracking, run_id: str) -> bool:
    """Whether the run and its model's file are still there, without which the publication of a model is not valid."""
    with translated(f"read run {run_id}", passing={"RESOURCE_DOES_NOT_EXIST"}):
        run = tracking.client.get_run(run_id)
        model_id = run.data.tags.get(MODEL_ID)
        if run.info.lifecycle_stage == "active" and model_id is not None:
            model = tracking.client.get_logged_model(model_id)  # one that was deleted still lists its artifacts
            kept = tracking.client.list_logged_model_artifacts(model.model_id)
            return any(entry.path == FILE for entry in kept)
    return False


def versions_by(
    tracking: Tracking,
    name: str | None = None,
    *,
    commit: str | None = None,
    recipe: str | None = None,
    frame_digest: str | None = None,
) -> tuple[ModelVersion, ...]:
    """The model versions made from these data: of one model or of all, in order of name and number.

    Args:
        tracking: Where to look.
        name: Name of the registered model.
        commit: Data commit in the lake.
        recipe: Recipe of the model.
        frame_digest: Digest of the training frame.
    """
    asked = {LAKEFS_COMMIT: commit, RECIPE: recipe, FRAME_DIGEST: frame_digest}
    terms = [f"tags.`{key}` = '{value}'" for key, value in asked.items() if value is not None]
    if name is not None:
        terms.append(f"name = '{name}'")
    found = [_version(version) for version in _search_versions(tracking, " and ".join(terms))]
    return tuple(sorted(found, key=lambda version: (version.name, version.number)))


def _create(tracking: Tracking, name: str, run_id: str, model_id: str, tags: Mapping[str, str]) -> None:
    client = tracking.client
    with translated(f"make the registered model {name!r}", passing={"RESOURCE_ALREADY_EXISTS"}):
        client.create_registered_model(name)
    with translated(f"register the model of run {run_id} as {name!r}"):
        # The place, not models:/<id>: that one is looked up in MLflow's global tracking URI.
        place = client.get_logged_model(model_id).artifact_location
        client.create_model_version(name, place, run_id=run_id, tags=dict(tags), model_id=model_id)


def _delete(tracking: Tracking, version: ModelVersion) -> None:
    with translated(f"remove {version.name}/{version.number}", passing={"RESOURCE_DOES_NOT_EXIST"}):
        tracking.client.delete_model_version(version.name, str(version.number))


def _versions_of_run(tracking: Tracking, name: str, run_id: str, recipe: str) -> list[ModelVersion]:
    asked = f"name = '{name}' and run_id = '{run_id}' and tags.`{RECIPE}` = '{recipe}'"
    return [_version(version) for version in _search_versions(tracking, asked)]


def _search_versions(tracking: Tracking, asked: str) -> Iterator[MLflowVersion]:
    token: str | None = None
    while True:
        with translated("search model versions"):
            page = tracking.client.search_model_versions(asked, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _version(found: MLflowVersion) -> ModelVersion:
    return ModelVersion(found.name, int(found.version), found.run_id or "", dict(found.tags))


def _run(tracking: Tracking, run_id: str) -> MLflowRun:
    with translated(f"read run {run_id}"):
        return tracking.client.get_run(run_id)


def _runs_of(tracking: Tracking, experiment: str, unit: Unit) -> list[MLflowRun]:
    experiment_id = tracking.experiment(experiment)
    runs: list[MLflowRun] = []
    token: str | None = None
    while True:
        with translated(f"search the runs of {unit}"):
            page = tracking.client.search_runs([experiment_id], f"tags.`{UNIT}` = '{unit}'", page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def _own(tags: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix(PREFIX): value for key, value in tags.items() if key.startswith(PREFIX)}
