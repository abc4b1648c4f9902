"""From a model version back to everything it rests on."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ml_assets.lib.core.errors import TrackingError
from ml_assets.lib.core.lineage import LAKEFS_TAG, Lineage
from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.publication import Publication
from ml_assets.lib.core.recipe import Json, canonical_json
from ml_assets.lib.tracking import reproduce
from ml_assets.lib.tracking.models import read_file
from ml_assets.lib.tracking.registry import versions_by
from ml_assets.lib.tracking.runs import MODEL_ID, MODEL_SHA256
from ml_assets.lib.tracking.store import Tracking, translated

PATH: Final = "lineage/complete_lineage.json"
FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What MLflow knows of one model version.

    Attributes:
        model: Name of the registered model.
        version: Number of the version.
        created: When it was registered (UTC).
        run_id: MLflow run that trained it.
        status: How that run ended: ``FINISHED``.
        lakefs_tag: Tag of the data commit; ``None`` until the version is settled.
        lineage: What it was made from, with counts and scores.
        publications: The JSON of every publication it rests on, verdicts included, by unit.
        tags: Tags of the run.
        file: SHA-256 of the model's file, which is the recorded one.
        file_problem: What is wrong with the file; empty where it is as recorded.
    """

    model: str
    version: int
    created: datetime
    run_id: str
    status: str
    lakefs_tag: str | None
    lineage: Lineage
    publications: Mapping[str, Json]
    tags: Mapping[str, str]
    file: str
    file_problem: str

    @property
    def frame(self) -> str:
        """Name of the training frame."""
        names = [unit.name for unit in map(Unit.parse, self.publications) if unit.stage == "frames"]
        if not names:
            raise TrackingError(
                f"{self.model}/{self.version} rests on no frame", remedy="see its complete_lineage.json"
            )
        return names[0]

    @property
    def reproduce(self) -> str:
        """The command that rebuilds the frame."""
        return reproduce.command(self.lineage, self.frame)

    def as_json(self) -> dict[str, Json]:
        """All of it as JSON."""
        return {
            "model": self.model,
            "version": self.version,
            "created": self.created.isoformat(),
            "run_id": self.run_id,
            "status": self.status,
            "lakefs_tag": self.lakefs_tag,
            "lineage": self.lineage.as_params(),
            "metrics": self.lineage.metrics(),
            "publications": dict(self.publications),
            "tags": dict(self.tags),
            "file": {"sha256": self.file, "problem": self.file_problem},
            "reproduce": self.reproduce,
        }

    def lines(self) -> Iterator[str]:
        """All of it for people, most important first."""
        facts = self.lineage
        yield f"{self.model}/{self.version}   registered {self.created:%Y-%m-%d %H:%M:%SZ}"
        yield f"run       {self.run_id} in MLflow, {self.status}"
        yield f"data      lakeFS {facts.lakefs_repository}@{facts.lakefs_commit}  (tag {self.lakefs_tag or 'not set'})"
        yield f"frame     {self.frame}  {facts.frame_digest}"
        yield f"rows      {', '.join(f'{split} {rows:,}' for split, rows in facts.samples.items())}"
        if any(facts.unlabelled.values()):
            left = ", ".join(f"{split} {rows:,}" for split, rows in facts.unlabelled.items())
            yield f"          of these without label, and left out of training and scores: {left}"
        seed = "no seed" if facts.split_seed is None else f"seed {facts.split_seed}"
        yield f"split     {facts.split_version} ({facts.split_table}, {seed})  {facts.split_digest}"
        yield f"features  {facts.feature_version}"
        for name, view in facts.views.items():
            yield f"  {name}@{view.version}  {view.table}  {view.definition}  {view.digest}"
        dirty = ", with uncommitted changes" if facts.dirty else ""
        yield f"code      {facts.git_commit or 'unknown commit'} of {facts.git_remote or 'unknown remote'}{dirty}"
        yield f"          environment {facts.environment}"
        yield f"model     seed {facts.seed}, {', '.join(f'{name}={value}' for name, value in facts.parameters.items())}"
        yield f"file      {self.file_problem or f'SHA-256 {self.file}, as recorded'}"
        if facts.trusted:
            yield f"trusted   {', '.join(facts.trusted)}, beside scikit-learn's types"
        for split, scores in facts.scores.items():
            yield (
                f"  {split:<6}"
                + "  ".join(f"{name} {value:.4f}" for name, value in sorted(scores.items()))
                + ("" if "roc_auc" in scores else "  roc_auc undefined (labels of one class)")
            )
        for unit, publication in self.publications.items():
            checks = publication["verdict"]
            failed = [result["check"] for result in checks if not result["passed"]]
            yield f"checked   {unit}: {len(checks)} checks, {', '.join(failed) or 'none'} failed"
        yield f"reproduce {self.reproduce}"


def complete_lineage(publications: Iterable[Publication]) -> bytes:
    """``complete_lineage.json``: every publication that a model rests on, by unit."""
    by_unit = {str(publication.unit): json.loads(publication.to_bytes()) for publication in publications}
    return canonical_json({"format": FORMAT, "publications": by_unit})


def read(tracking: Tracking, model: str, version: int) -> Trace:
    """Everything that MLflow knows of ``<model>/<version>``.

    Raises:
        TrackingError: No such version, its run or its artifacts are gone, or they are not what `runs` writes.
    """
    client = tracking.client
    if not any(known.number == version for known in versions_by(tracking, model)):
        newest = {known.name: known.number for known in versions_by(tracking)}
        raise TrackingError(
            f"there is no model version {model}/{version}",
            remedy=f"the newest are {', '.join(f'{name}/{number}' for name, number in newest.items()) or 'none yet'}",
        )
    with translated(f"read {model}/{version}"):
        found = client.get_model_version(model, str(version))
        run_id = found.run_id or ""
        run = client.get_run(run_id)
    recorded = run.data.tags.get(MODEL_SHA256, "")
    return Trace(
        model=model,
        version=version,
        created=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
        run_id=run_id,
        status=run.info.status,
        lakefs_tag=found.tags.get(LAKEFS_TAG),
        lineage=Lineage.from_params(run.data.params, run.data.metrics),
        publications=_publications(tracking, run_id),
        tags=run.data.tags,
        file=recorded,
        file_problem=_problem_of_file(tracking, run.data.tags.get(MODEL_ID, ""), recorded),
    )


def _problem_of_file(tracking: Tracking, model_id: str, sha256: str) -> str:
    """What is wrong with the file of a model, which is fetched and not read."""
    try:
        read_file(tracking, model_id, sha256=sha256)
    except TrackingError as error:
        return str(error)
    return ""


def _publications(tracking: Tracking, run_id: str) -> dict[str, Json]:
    with tempfile.TemporaryDirectory() as folder, translated(f"read the artifact {PATH} of run {run_id}"):
        data = Path(tracking.client.download_artifacts(run_id, PATH, folder)).read_bytes()
    complete = json.loads(data)
    if complete["format"] != FORMAT:
        raise TrackingError(
            f"the complete lineage of run {run_id} has format {complete['format']!r}, this version reads {FORMAT}",
            remedy="use a newer ml_assets",
        )
    publications: dict[str, Json] = complete["publications"]
    return publications
