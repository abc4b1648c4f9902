"""What a model was made from, as one record that goes to MLflow and comes back unchanged; its keys, spelled once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, Final, Self

from ml_assets.lib.core.errors import TrackingError
from ml_assets.lib.core.names import SPLITS
from ml_assets.lib.core.recipe import Json

LAKEFS_COMMIT: Final = "data/lakefs_commit"
LAKEFS_TAG: Final = "data/lakefs_tag"
"""On the model version only: the tag's name contains the version's number, so it exists after registration."""
FRAME_DIGEST: Final = "data/frame_digest"
FEATURE_VIEWS: Final = "features/views"
RECIPE: Final = "model/recipe"
SEED: Final = "model/seed"

VALUE_LIMIT: Final = 5000
"""Characters of one value that MLflow keeps whole everywhere: it cuts a param of more than 6000 without a word."""

_TRANSFORM: Final = "features/transform/"
_PARAMETER: Final = "model/"
_VERSION_TAGS: Final = ("data/", "features/", "code/")
_MISSING_REMEDY: Final = "the run was not logged by this version of ml_assets; train the model again"


def _param(key: str, *, write: Callable[[Any], str] = str, read: Callable[[str], Any] = str) -> Mapping[str, Any]:
    """What a field that is one MLflow param needs to know: its key, and how its value becomes text and comes back."""
    return {"key": key, "write": write, "read": read}


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewFacts:
    """One feature view as the frame used it.

    Attributes:
        version: Its version: the 1 of ``route@1``.
        definition: Identity of its expression (``expr1:…``).
        table: Iceberg table that was read (``features.route_v1``).
        digest: Content digest of that table.
        commit: Lake commit at which it was read.
    """

    version: int
    definition: str
    table: str
    digest: str
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What a model was made from. Equal lineage means equal training rows, code and parameters.

    `as_params` and `metrics` go to the MLflow run, `as_version_tags` to the registered version; `from_params` reads
    them back exactly. The one value that may be long, the JSON of the views, goes on under ``features/views/2`` and so
    on after `VALUE_LIMIT` characters (30 views need three): nothing is cut, and a lineage is read without any artifact.

    Attributes:
        lakefs_repository: Repository of the lake.
        lakefs_ref: The target branch that was published to.
        lakefs_commit: The data commit: every row can be read at it.
        split_table: Iceberg table of the split index.
        split_version: Version of the split.
        split_seed: Its seed; ``None`` where it has none.
        split_digest: Content digest of the split index.
        frame_digest: Content digest of the training frame, all splits.
        frame_recipe: Recipe of the frame.
        feature_schema_hash: Hash over (name, type) of the frame's columns, in order of name.
        retrieved_at: When the rows were read (UTC).
        feature_version: The feature version (``v3``).
        views: The views of the feature version, by name.
        params_hash: Hash of all parameters of the transformations.
        service: Feature service, or the name of the set of features.
        registry_sha256: SHA-256 of the feature registry, where there is one.
        git_commit: Commit of the code; ``None`` where it is not known.
        git_remote: Where that commit can be fetched, without credentials.
        dirty: Whether the code differed from the commit.
        environment: Hash of the installed packages.
        recipe: Recipe of the model.
        seed: Seed of the training.
        parameters: Hyperparameters, JSON values by name; ``recipe`` and ``seed`` are no names for one.
        run_id: Dagster run.
        asset: Dagster asset key (``models/late_arrival``).
        partition: Dagster partition key.
        samples: Rows of each split (``train``, ``val``, ``test``).
        scores: Per split, each metric by name.
        unlabelled: Rows of each split that have no label: predicted, and left out of training and scores.
        trusted: Types that the model's declaration trusts in its file beside scikit-learn's; ``None`` without any.

    Raises:
        TrackingError: A remote with credentials, a time without a zone, or a parameter with a reserved name.
    """

    lakefs_repository: str = field(metadata=_param("data/lakefs_repository"))
    lakefs_ref: str = field(metadata=_param("data/lakefs_ref"))
    lakefs_commit: str = field(metadata=_param(LAKEFS_COMMIT))
    split_table: str = field(metadata=_param("data/split_table"))
    split_version: str = field(metadata=_param("data/split_version"))
    split_seed: int | None = field(default=None, metadata=_param("data/split_seed", read=int))
    split_digest: str = field(metadata=_param("data/split_digest"))
    frame_digest: str = field(metadata=_param(FRAME_DIGEST))
    frame_recipe: str = field(metadata=_param("data/frame_recipe"))
    feature_schema_hash: str = field(metadata=_param("data/feature_schema_hash"))
    retrieved_at: datetime = field(
        metadata=_param("data/retrieved_at", write=datetime.isoformat, read=datetime.fromisoformat)
    )
    feature_version: str = field(metadata=_param("features/version"))
    views: Mapping[str, ViewFacts]
    params_hash: str = field(metadata=_param("features/params_hash"))
    service: str = field(metadata=_param("features/service"))
    registry_sha256: str | None = field(default=None, metadata=_param("features/registry_sha256"))
    git_commit: str | None = field(default=None, metadata=_param("code/git_commit"))
    git_remote: str | None = field(default=None, metadata=_param("code/git_remote"))
    dirty: bool = field(metadata=_param("code/dirty", write=json.dumps, read=json.loads))
    environment: str = field(metadata=_param("code/environment"))
    recipe: str = field(metadata=_param(RECIPE))
    seed: int | None = field(default=None, metadata=_param(SEED, read=int))
    parameters: Mapping[str, Json]
    run_id: str = field(metadata=_param("dagster/run_id"))
    asset: str = field(metadata=_param("dagster/asset"))
    partition: str | None = field(default=None, metadata=_param("dagster/partition"))
    samples: Mapping[str, int] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    unlabelled: Mapping[str, int] = field(default_factory=dict)
    trusted: tuple[str, ...] | None = field(
        default=None, metadata=_param("code/trusted_types", write=" ".join, read=lambda text: tuple(text.split()))
    )

    def __post_init__(self) -> None:
        if self.git_remote != public_remote(self.git_remote):
            raise TrackingError(
                "the git remote contains credentials", remedy="pass it through public_remote() before logging"
            )
        if self.retrieved_at.tzinfo is None:
            raise TrackingError(f"retrieved_at {self.retrieved_at} has no time zone", remedy="give it in UTC")
        if reserved := {RECIPE, SEED} & {_PARAMETER + name for name in self.parameters}:
            raise TrackingError(
                f"{', '.join(sorted(reserved))} is no name for a parameter", remedy="rename it in the model"
            )

    def as_params(self) -> dict[str, str]:
        """The params of the MLflow run, each at most `VALUE_LIMIT` characters unless a hyperparameter is longer."""
        facts = ((fact, getattr(self, fact.name)) for fact in _facts())
        return {
            **{fact.metadata["key"]: fact.metadata["write"](value) for fact, value in facts if value is not None},
            **_in_pieces(FEATURE_VIEWS, _to_json({name: asdict(view) for name, view in self.views.items()})),
            **{f"{_TRANSFORM}{name}": f"{name}@{view.version} {view.definition}" for name, view in self.views.items()},
            **{_PARAMETER + name: _to_json(value) for name, value in self.parameters.items()},
        }

    def as_version_tags(self) -> dict[str, str]:
        """The tags of the model version: every ``data/``, ``features/`` and ``code/`` param, and the recipe.

        `LAKEFS_TAG` is added once the version has its number.
        """
        return {key: value for key, value in self.as_params().items() if key.startswith(_VERSION_TAGS) or key == RECIPE}

    def metrics(self) -> dict[str, float]:
        """Counts and scores as the metrics of the MLflow run: ``data/train_samples``, ``test/roc_auc``."""
        counts = {f"data/{split}_samples": float(rows) for split, rows in self.samples.items()}
        counts |= {f"data/{split}_unlabelled": float(rows) for split, rows in self.unlabelled.items()}
        return counts | {f"{split}/{name}": value for split, row in self.scores.items() for name, value in row.items()}

    @classmethod
    def from_params(cls, params: Mapping[str, str], metrics: Mapping[str, float] | None = None) -> Self:
        """Read what `as_params` and `metrics` wrote; keys of others are passed over.

        Raises:
            TrackingError: A fact is missing, or its value is not one.
        """
        metrics = metrics or {}
        try:
            known = {fact.name: _read(fact, params) for fact in _facts()}
            views = json.loads(_joined(FEATURE_VIEWS, params))
            return cls(
                **known,
                views={name: ViewFacts(**view) for name, view in views.items()},
                parameters={
                    key.removeprefix(_PARAMETER): json.loads(value)
                    for key, value in params.items()
                    if key.startswith(_PARAMETER) and key not in (RECIPE, SEED)
                },
                samples={s: int(metrics[f"data/{s}_samples"]) for s in SPLITS if f"data/{s}_samples" in metrics},
                scores=_scores(metrics),
                unlabelled={
                    s: int(metrics[f"data/{s}_unlabelled"]) for s in SPLITS if f"data/{s}_unlabelled" in metrics
                },
            )
        except KeyError as error:
            raise TrackingError(f"the lineage has no param {error}", remedy=_MISSING_REMEDY) from error
        except (ValueError, TypeError, AttributeError) as error:
            raise TrackingError(f"a param of the lineage cannot be read: {error}", remedy=_MISSING_REMEDY) from error


def public_remote(url: str | None) -> str | None:
    """*url* of a git remote without password, token or query; a user name stays only where it is none: with SSH."""
    if url is None or "://" not in url:
        return url
    url = url.partition("?")[0]
    if url.startswith(("ssh://", "git+ssh://")):
        return re.sub(r"^([^/]*//[^/:@]*):[^/]*@", r"\1@", url)
    return re.sub(r"^([^/]*//)[^/]*@", r"\1", url)


def _facts() -> tuple[Field[Any], ...]:
    return tuple(fact for fact in fields(Lineage) if "key" in fact.metadata)


def _read(fact: Field[Any], params: Mapping[str, str]) -> Any:
    key = fact.metadata["key"]
    return None if fact.default is None and key not in params else fact.metadata["read"](params[key])


def _to_json(value: Json) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _in_pieces(key: str, text: str) -> dict[str, str]:
    """*text* under *key*, and what does not fit under ``key/2``, ``key/3``."""
    pieces = [text[at : at + VALUE_LIMIT] for at in range(0, len(text), VALUE_LIMIT)]
    return {key if number == 1 else f"{key}/{number}": piece for number, piece in enumerate(pieces, start=1)}


def _joined(key: str, params: Mapping[str, str]) -> str:
    text, number = params[key], 2
    while (piece := params.get(f"{key}/{number}")) is not None:
        text, number = text + piece, number + 1
    return text


def _scores(metrics: Mapping[str, float]) -> dict[str, dict[str, float]]:
    by_split = {
        split: {key.removeprefix(f"{split}/"): value for key, value in metrics.items() if key.startswith(f"{split}/")}
        for split in SPLITS
    }
    return {split: row for split, row in by_split.items() if row}
