"""Models: trained on a published frame, kept in MLflow, registered when published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ml_assets.lib.core.digest import digest as digest_of_table
from ml_assets.lib.core.errors import TrackingError
from ml_assets.lib.core.lineage import LAKEFS_TAG, Lineage, ViewFacts
from ml_assets.lib.core.names import CANONICAL, SPLIT, SPLITS, Unit, model_tag
from ml_assets.lib.core.process import Process
from ml_assets.lib.core.publication import CheckResult, Output, Publication
from ml_assets.lib.core.recipe import Json, canonical_json, hash_of
from ml_assets.lib.core.refs import Commit
from ml_assets.lib.declare import lock as locks
from ml_assets.lib.declare.checks import FLOORS, PREDICTIONS
from ml_assets.lib.declare.models import input_columns
from ml_assets.lib.gate.causes import GIVEN, MADE_FROM
from ml_assets.lib.gate.outcome import user
from ml_assets.lib.gate.units import training
from ml_assets.lib.gate.units.frames import FrameBuilder, published_rows
from ml_assets.lib.gate.units.given import given_parameters, kept_parameters
from ml_assets.lib.gate.units.objects import read_object
from ml_assets.lib.gate.work import Attempt, Judged, Work

if TYPE_CHECKING:
    import pyarrow as pa

    from ml_assets.lib.declare.declarations import Model
    from ml_assets.lib.engines.protocol import Engine
    from ml_assets.lib.gate.rows import Rows
    from ml_assets.lib.gate.systems import Systems
    from ml_assets.lib.gate.units.training import Classes, Part
    from ml_assets.lib.tracking.models import LoggedModel
    from ml_assets.lib.tracking.runs import Run as MLflowRun
    from ml_assets.lib.tracking.store import Tracking

FORMAT: Final = 1
PROBABILITY: Final = "probability"
CHECKED_ROWS: Final = 1000
"""Rows of each split for which a model must predict alike once it was read back from MLflow."""


@dataclass(kw_only=True)
class ModelWork(Work):
    """A model at both versions. Its output is a small JSON object: MLflow run, figures, hash of the model's file.

    Parameters that a person gave stay the input of what is published: see `ml_assets.lib.gate.units.given`.
    """

    systems: Systems
    model: Model
    builder: FrameBuilder
    partition: str | None
    _mlflow_run: str | None = field(default=None, init=False)
    _begun: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Note which parameters are not as declared: a person gave them."""
        self._note_given()

    def _note_given(self) -> None:
        self.given = given_parameters(self.model, self.parameters)

    def follow(self, published: Publication | None) -> None:
        """As any unit; see the class."""
        if self.keep:
            kept = kept_parameters(self.model, self.definition.identity, published) if published else {}
            self.parameters = {**self.model.params, **kept}
            self._note_given()

    def admit(self, published: Publication | None) -> None:
        """A feature version means the same columns for ever, on ``main``: of a published frame no other are learnt.

        Raises:
            VersionNotBumped: It has others than versions.lock says.
        """
        if self.systems.target.name == CANONICAL:
            locks.check_feature_version(self.systems.declarations, self.builder.feature_version)

    def same_given(self, published: Publication) -> bool:
        """Whether both record the same given parameters, beside the same declared ones."""
        return self.keep or MADE_FROM not in published.extra or self.given == published.extra.get(GIVEN)

    def recorded(self, published: Publication) -> dict[str, Json]:
        """The parameters, which the model's object holds."""
        body = self.systems.lake.read(published.audited, published.unit.object_path)
        return {"parameters": json.loads(body)["parameters"]} if body else {}

    @property
    def frame_input(self) -> str:
        """The name under which the frame is an input."""
        return f"frames/{self.model.frame}"

    @property
    def input_columns(self) -> list[str]:
        """Columns of the model input: categories, then the views' other values in order of name."""
        declarations = self.systems.declarations
        return list(input_columns(declarations, self.model, self.builder.feature_version))

    @property
    def engine(self) -> Engine:
        """That of the frame, whose rows it may have to rebuild."""
        return self.builder.engine

    def write(self, attempt: Attempt) -> None:
        """Train on the published frame, log everything to MLflow, and write what was found.

        Raises:
            DigestMismatch: The frame's rows cannot be rebuilt as they were published.
            ContractError: The label is not of two classes, or the training rows have one only.
            DeclarationError: The function returns no classifier of these classes.
            TrackingError: MLflow refused.
        """
        from ml_assets.lib.tracking import runs

        frame = attempt.inputs[self.frame_input]
        rows = published_rows(self.systems, frame)
        tags = {
            "recipe": attempt.recipe,
            "dagster_run": attempt.run.id,
            "partition": self.partition or "",
            "lakefs_branch": attempt.branch.name,
            **attempt.run.tags,
        }
        owner = {**Process.here().as_text(), "user": user()}
        with runs.begin(self.systems.tracking, self.model.name, self.unit, owner=owner, tags=tags) as run:
            self._begun = run.id
            body = self._train(run, rows, frame, attempt)
            self.systems.lake.put(attempt.branch, self.unit.object_path, canonical_json(body))

    def _train(self, run: MLflowRun, rows: Rows, frame: Publication, attempt: Attempt) -> dict[str, Json]:
        from ml_assets.lib.tracking import models

        label, trusted = self.builder.frame.label, self.model.trusted
        models.check_trusted(trusted, self.model.place)
        parts = training.load(rows, self.model, key=self._key, columns=self.input_columns, label=label)
        classes = training.classes_of(self.model, self.builder.frame, parts)
        with training.failures_of(self.model, parts):
            estimator = self.model.function(
                train=parts["train"].known(label),
                val=parts["val"].known(label),
                params=dict(self.parameters),
                seed=self.seed,
            )
        classes.check(self.model, estimator)
        chances = {split: classes.chances(self.model, estimator, part.inputs) for split, part in parts.items()}
        figures = training.figures(classes, parts, chances)
        lineage = self._lineage(frame, rows, attempt, figures)
        run.log_lineage(lineage)
        run.log_splits(lineage, rows.digests)
        run.log_files(self._files(rows, lineage, attempt))
        schema = self._input_schema()
        logged = models.log_model(
            run, estimator, name=self.model.name, inputs=schema, trusted=trusted, positive=classes.positive
        )
        self._check_kept(logged, classes, parts, chances)
        return {
            "format": FORMAT,
            "unit": str(self.unit),
            "mlflow": {"run": run.id, "model": logged.id, "experiment": run.experiment_id},
            "model_sha256": logged.sha256,
            "frame_digest": rows.digest,
            "predictions_digest": self._predictions_digest(parts, chances),
            "counts": dict(rows.counts),
            "input": [[column.name, str(column.type)] for column in schema],
            "parameters": dict(self.parameters),
            **figures,
        }

    def _check_kept(
        self, logged: LoggedModel, classes: Classes, parts: Mapping[str, Part], chances: Mapping[str, list[float]]
    ) -> None:
        """Load the model from MLflow as others will, and compare what it says of some rows.

        Raises:
            TrackingError: The file is not the one that was written, or its model predicts something else.
        """
        from ml_assets.lib.tracking import models

        tracking = self.systems.tracking
        kept = models.load_model(tracking, logged.id, sha256=logged.sha256, trusted=self.model.trusted)
        for split, part in parts.items():
            again = classes.chances(self.model, kept, part.inputs.head(CHECKED_ROWS))
            if not training.same(again, chances[split][:CHECKED_ROWS]):
                raise TrackingError(
                    f"{self.model.place}: loaded from its file, the model predicts something else for rows of {split}",
                    remedy="use an estimator whose predictions do not depend on chance or on what is not in its file",
                )

    @property
    def _key(self) -> str:
        return self.systems.declarations.splits[self.builder.split_version].key

    def _predictions_digest(self, parts: Mapping[str, Part], chances: Mapping[str, list[float]]) -> str:
        """What the model says of every row, as one digest: equal for two models that predict alike to the last bit."""
        import pyarrow as pa

        keys = [key for split in SPLITS for key in parts[split].keys]
        return digest_of_table(
            pa.table({self._key: keys, PROBABILITY: pa.array([c for s in SPLITS for c in chances[s]], pa.float64())})
        )

    def _input_schema(self) -> pa.Schema:
        """The input's columns as the frame has them, with what its contract says of nulls."""
        import pyarrow as pa

        types, columns = self.builder.contract.arrow_schema(), self.builder.contract.columns()
        nullable = {column.name: column.nullable for column in columns}
        return pa.schema([types.field(name).with_nullable(nullable[name]) for name in self.input_columns])

    def _lineage(self, frame: Publication, rows: Rows, attempt: Attempt, figures: Mapping[str, Any]) -> Lineage:
        systems, code = self.systems, self.systems.code
        split = frame.inputs[f"splits/{self.builder.frame.split}"]
        return Lineage(
            lakefs_repository=systems.lake.repository,
            lakefs_ref=systems.target.name,
            lakefs_commit=frame.pin.id,
            split_table=Unit.parse(split.unit).table,
            split_version=self.builder.split_version,
            split_seed=systems.declarations.splits[self.builder.split_version].seed,
            split_digest=split.digest,
            frame_digest=frame.digest,
            frame_recipe=frame.recipe,
            feature_schema_hash=rows.schema_hash,
            retrieved_at=datetime.fromisoformat(frame.run["end"]),
            feature_version=self.builder.feature_version,
            views=_views(frame),
            params_hash=hash_of(
                {name: [ref.definition, list(ref.keys), ref.ttl] for name, ref in frame.inputs.items()}
            ),
            service=self.builder.feature_version,
            git_commit=code["git_commit"],
            git_remote=code["git_remote"],
            dirty=code["dirty"],
            environment=code["environment"],
            recipe=attempt.recipe,
            seed=self.seed,
            parameters=self.parameters,
            run_id=attempt.run.id,
            asset=f"models/{self.model.name}",
            partition=self.partition,
            samples=rows.counts,
            scores=figures["scores"],
            unlabelled=figures.get("unlabelled", {}),
            trusted=self.model.trusted or None,
        )

    def _files(self, rows: Rows, lineage: Lineage, attempt: Attempt) -> dict[str, bytes]:
        """Artifacts that prove and explain: all publications it rests on, the script, samples and schemas."""
        import pyarrow.compute as pc

        from ml_assets.lib.tracking import reproduce, trace
        from ml_assets.lib.tracking.runs import split_files

        closure = self.systems.records.at(attempt.pin).closure(attempt.inputs.values())
        files = {
            trace.PATH: trace.complete_lineage(closure),
            reproduce.PATH: reproduce.script(lineage, self.model.frame).encode(),
        }
        table = rows.reader().read_all()
        for split in SPLITS:
            files |= split_files(split, table.filter(pc.equal(table[SPLIT], split)), self.systems.sample_rows)
        return files

    def audit(self, at: Commit, pin: Commit) -> Judged:
        """Floors and lawful predictions, judged on the figures that were recorded with the model."""
        body, stat = read_object(self.systems.lake, self.unit, at)
        self._mlflow_run = body["mlflow"]["run"]
        output = Output(
            name=stat.path,
            path=stat.path,
            checksum=stat.checksum,
            rows=body["counts"]["train"] - body.get("unlabelled", {}).get("train", 0),
            bytes=stat.size,
            digest=body["predictions_digest"],
            schema_hash=hash_of(sorted(body["input"])),
        )
        return Judged(outputs=(output,), verdict=(_predictions(body), _floors(self.model.floors, body["scores"])))

    def extra(self) -> Mapping[str, Json]:
        """The MLflow run, without which the publication is not valid."""
        return {"mlflow": {"run": self._mlflow_run, "model": self.model.name}}

    def settle(self, publication: Publication, commit: Commit) -> Mapping[str, str]:
        """Register the model version, tag its data commit, say so in MLflow; end the runs of attempts that lost."""
        from ml_assets.lib.tracking import registry

        tracking, run_id = self.systems.tracking, publication.extra["mlflow"]["run"]
        version = registry.register(tracking, self.model.name, run_id)
        frame = self.systems.records.get(self.builder.unit, publication.pin)
        data = frame.pin if frame else publication.pin
        tag = model_tag(self.model.name, version.number, run_id)
        self.systems.lake.tag(tag, data)
        registry.tag_version(tracking, version, {LAKEFS_TAG: tag.name})
        registry.mark_published(tracking, run_id, version)
        if self._begun == run_id:
            self._begun = None  # published: nothing is to be undone
        registry.end_losers(tracking, self.model.name, self.unit, run_id, is_alive)
        return {
            "mlflow_run": run_id,
            "mlflow_experiment": tracking.experiment(self.model.name),
            "model": self.model.name,
            "model_version": str(version.number),
            "lakefs_tag": tag.name,
        }

    def abandon(self) -> None:
        """The run that this work began trained a model that will not be published."""
        from ml_assets.lib.tracking import runs

        if self._begun is not None:
            runs.end(self.systems.tracking, self._begun, "KILLED")
            self._begun = None


def model_exists(tracking: Tracking, publication: Publication) -> bool:
    """Whether what a publication says of MLflow is still there; true for every unit that is not a model."""
    from ml_assets.lib.tracking import registry

    mlflow = publication.extra.get("mlflow")
    return mlflow is None or registry.exists(tracking, mlflow["run"])


def _views(frame: Publication) -> dict[str, ViewFacts]:
    """The feature views that a frame was made from, by name."""
    return {
        name.partition("/")[2]: ViewFacts(
            version=int(Unit.parse(ref.unit).version),
            definition=ref.definition,
            table=Unit.parse(ref.unit).table,
            digest=ref.digest,
            commit=frame.pin.id,
        )
        for name, ref in frame.inputs.items()
        if name.startswith("features/")
    }


def _predictions(body: Mapping[str, Json]) -> CheckResult:
    figures = dict(body["predictions"])
    counts = {rule: figures[key] for rule, key in (("is null", "nulls"), ("outside [0, 1]", "outside")) if figures[key]}
    figures |= {f"{split} rows without label": rows for split, rows in body.get("unlabelled", {}).items()}
    return CheckResult(
        check=PREDICTIONS.name, passed=not counts, rows_failed=sum(counts.values()), counts=counts, figures=figures
    )


def _floors(floors: Mapping[str, float], scores: Mapping[str, Mapping[str, float]]) -> CheckResult:
    """Every metric that has a floor reaches it; one that could not be computed does not."""
    found = {name: scores.get(name.partition("/")[0], {}).get(name.partition("/")[2]) for name in floors}
    missed = {name: value for name, value in found.items() if value is None or value < floors[name]}
    return CheckResult(
        check=FLOORS.name,
        passed=not missed,
        rows_failed=len(missed),
        counts={
            f"{name} {'undefined' if value is None else f'below {floors[name]}'}": 1 for name, value in missed.items()
        },
        examples=tuple({"metric": name, "value": value, "floor": floors[name]} for name, value in missed.items()),
        figures={f"{split}/{name}": value for split, row in scores.items() for name, value in row.items()},
    )


def is_alive(owner: Mapping[str, str]) -> bool | None:
    """Whether the process of these facts still runs; ``None`` where nobody can tell."""
    try:
        return Process.from_text(owner).is_alive()
    except (KeyError, ValueError):
        return None
