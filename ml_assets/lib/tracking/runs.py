"""One MLflow run per materialized partition: begun, filled once, and ended whatever happens."""

from __future__ import annotations

import io
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from ml_assets.lib.core.errors import TrackingError
from ml_assets.lib.core.lineage import Lineage
from ml_assets.lib.core.names import Unit
from ml_assets.lib.tracking.store import Tracking, translated

if TYPE_CHECKING:
    import pyarrow as pa

PREFIX: Final = "ml_assets/"
"""What the project's own tags of an MLflow run begin with."""

UNIT: Final = PREFIX + "unit"
MODEL_ID: Final = PREFIX + "model_id"
MODEL_SHA256: Final = PREFIX + "model_sha256"
PUBLISHED: Final = PREFIX + "published"

_BATCH: Final = 100
_PARAM_LIMIT: Final = 6000
_DATASET_DIGEST_LIMIT: Final = 36

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, slots=True)
class Run:
    """An MLflow run that is being written. Every method may be called again with the same values.

    Attributes:
        tracking: Where the run is.
        id: MLflow's id of the run.
        experiment_id: MLflow's id of its experiment.
    """

    tracking: Tracking
    id: str
    experiment_id: str

    def log_lineage(self, lineage: Lineage) -> None:
        """Write *lineage*: every param once, counts and scores as metrics.

        Raises:
            TrackingError: MLflow refused (a param has another value already), or a hyperparameter is too long for it.
        """
        from mlflow.entities import Param

        params = lineage.as_params()
        if too_long := [key for key, value in params.items() if len(value) > _PARAM_LIMIT]:
            raise TrackingError(
                f"{', '.join(too_long)}: longer than the {_PARAM_LIMIT} characters of an MLflow param",
                remedy="shorten the hyperparameter, or name what it stands for",
            )
        entries = [Param(key, value) for key, value in params.items()]
        for at in range(0, len(entries), _BATCH):
            with translated(f"write the params of run {self.id}"):
                self.tracking.client.log_batch(self.id, params=entries[at : at + _BATCH])
        self.log_metrics(lineage.metrics())

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Write each metric as it is now."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        entries = [Metric(key, value, now, 0) for key, value in metrics.items()]
        with translated(f"write the metrics of run {self.id}"):
            self.tracking.client.log_batch(self.id, metrics=entries)

    def log_splits(self, lineage: Lineage, digests: Mapping[str, str]) -> None:
        """Name the rows of each split as an input of the run: which lake, which commit, which digest.

        Args:
            lineage: Where the rows are and how many.
            digests: Content digest of each split's rows. MLflow keeps 36 characters of a digest; the profile has all.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        model = lineage.asset.rpartition("/")[2]
        frame = f"{model}/{lineage.split_version}/{lineage.feature_version}"
        uri = f"lakefs://{lineage.lakefs_repository}/{lineage.lakefs_commit}/"
        inputs = [
            DatasetInput(
                # Inputs of equal name and digest become one: the split is in the name.
                Dataset(
                    name=f"{frame}/{split}",
                    digest=digest[:_DATASET_DIGEST_LIMIT],
                    source_type="lakefs",
                    source=json.dumps({"uri": uri, "split": split, "frame_recipe": lineage.frame_recipe}),
                    profile=json.dumps({"digest": digest, "num_rows": lineage.samples.get(split)}),
                ),
                tags=[InputTag("mlflow.data.context", split)],
            )
            for split, digest in digests.items()
        ]
        with translated(f"write the inputs of run {self.id}"):
            self.tracking.client.log_inputs(self.id, datasets=inputs)

    def log_files(self, files: Mapping[str, bytes]) -> None:
        """Keep *files*, by path, as artifacts of the run."""
        with tempfile.TemporaryDirectory() as folder, translated(f"keep the artifacts of run {self.id}"):
            for path, data in files.items():
                target = Path(folder, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            self.tracking.client.log_artifacts(self.id, folder)


@contextmanager
def begin(
    tracking: Tracking,
    experiment: str,
    unit: Unit,
    *,
    owner: Mapping[str, str],
    tags: Mapping[str, str],
) -> Iterator[Run]:
    """An MLflow run that ends with the body: FINISHED, FAILED by an exception, KILLED by an interrupt or exit.

    A run whose process is killed outright stays RUNNING until the next run of the unit (`registry.end_losers`).

    Args:
        tracking: Where to.
        experiment: Name of the experiment: the model's name.
        unit: What is being materialized.
        owner: The process that does it (host, pid, start time, user): what a later one needs to see whether it lives.
        tags: More facts for a person: recipe, Dagster run and partition, lake branch.

    Raises:
        TrackingError: MLflow refused or could not be reached.
    """
    experiment_id = tracking.experiment(experiment)
    own = {PREFIX + key: value for key, value in {**tags, **owner}.items()}
    with translated(f"begin a run of {unit}"):
        run = tracking.client.create_run(
            experiment_id, run_name=str(unit), tags={**own, UNIT: str(unit), "mlflow.user": owner.get("user", "")}
        )
    handle = Run(tracking, run.info.run_id, experiment_id)
    try:
        yield handle
    except BaseException as error:
        try:
            end(tracking, handle.id, "FAILED" if isinstance(error, Exception) else "KILLED")
        except TrackingError as second:
            error.add_note(f"and the MLflow run stays open: {second}")
        raise
    end(tracking, handle.id, "FINISHED")


def end(tracking: Tracking, run_id: str, status: Status, *, ended: int | None = None) -> None:
    """End a run, now unless it *ended* before (milliseconds since the epoch)."""
    with translated(f"end run {run_id}"):
        tracking.client.set_terminated(run_id, status, ended)


def set_tags(tracking: Tracking, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags of a run in one call."""
    from mlflow.entities import RunTag

    with translated(f"tag run {run_id}"):
        tracking.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def split_files(split: str, rows: pa.Table, sample_rows: int) -> dict[str, bytes]:
    """The first *sample_rows* rows of a split as CSV if any are wanted, its schema as JSON: for `Run.log_files`."""
    import pyarrow.csv as pa_csv

    schema = [{"name": column.name, "type": str(column.type), "nullable": column.nullable} for column in rows.schema]
    files = {f"lineage/{split}_schema.json": json.dumps(schema, indent=1).encode()}
    if sample_rows:
        sample = io.BytesIO()
        pa_csv.write_csv(rows.slice(0, sample_rows), sample)
        files[f"lineage/{split}_sample.csv"] = sample.getvalue()
    return files
