"""One lineage with every fact, one fitted model, and a run that holds both."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from ml_assets.lib.core.lineage import Lineage, ViewFacts
from ml_assets.lib.core.names import SPLITS, Unit
from ml_assets.lib.core.process import Process
from ml_assets.lib.core.publication import Publication
from ml_assets.lib.core.recipe import Definition
from ml_assets.lib.core.refs import Commit
from ml_assets.lib.tracking import reproduce, runs, trace
from ml_assets.lib.tracking.models import LoggedModel, log_model
from ml_assets.lib.tracking.store import Tracking

EXAMPLE = Lineage(
    lakefs_repository="ml-assets",
    lakefs_ref="main",
    lakefs_commit="a" * 64,
    split_table="splits.flights__hash_s42",
    split_version="hash-s42",
    split_seed=42,
    split_digest="tbl1:" + "1" * 64,
    frame_digest="tbl1:" + "2" * 64,
    frame_recipe="3" * 64,
    feature_schema_hash="4" * 64,
    retrieved_at=datetime(2026, 11, 20, 10, 0, 0, 123456, tzinfo=UTC),
    feature_version="v1",
    views={
        "route": ViewFacts(version=1, definition="expr1:5", table="features.route_v1", digest="tbl1:6", commit="a" * 64)
    },
    params_hash="7" * 64,
    service="v1",
    git_commit="8" * 40,
    git_remote="https://example.com/flights.git",
    dirty=False,
    environment="9" * 64,
    recipe="b" * 64,
    seed=0,
    parameters={"max_iter": 200, "learning_rate": 0.1},
    run_id="0f3c",
    asset="models/late_arrival",
    partition="v1|hash-s42",
    samples={"train": 7, "val": 2, "test": 1},
    scores={"test": {"roc_auc": 0.75}},
)

INPUTS: Final = pa.schema(
    [pa.field("carrier", pa.string()), pa.field("origin", pa.string()), pa.field("delay", pa.float64())]
)

DIGESTS: Final = dict.fromkeys(SPLITS, "tbl1:" + "e" * 64)


def rows() -> pd.DataFrame:
    """Two hundred model inputs, nulls among them, with a label that depends on them."""
    numbers = range(200)
    return pd.DataFrame(
        {
            "carrier": [("AA", "UA", None, "B6")[n % 4] for n in numbers],
            "origin": [("EWR", "JFK", "LGA")[n % 3] for n in numbers],
            "delay": [None if n % 11 == 0 else float((n * 37) % 101) for n in numbers],
            "label": [(n * 37) % 101 > 60 for n in numbers],
        }
    )


@cache
def fitted() -> Any:
    """What the project trains: categories encoded, then gradient-boosted trees."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OrdinalEncoder

    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=float("nan"))
    encode = ColumnTransformer([("categories", encoder, ["carrier", "origin"])], remainder="passthrough")
    trees = HistGradientBoostingClassifier(max_iter=5, categorical_features=[0, 1], random_state=0)
    data = rows()
    return Pipeline([("encode", encode), ("trees", trees)]).fit(data[INPUTS.names], data["label"])


def lives(owner: Mapping[str, str]) -> bool | None:
    """Whether the process of a run's owner still runs."""
    return Process.from_text(owner).is_alive()


def unit(model: str) -> Unit:
    """The unit of the example's versions."""
    return Unit.of_both("models", model, EXAMPLE.split_version, EXAMPLE.feature_version)


def publication(of: Unit) -> Publication:
    """A publication that says little more than its unit."""
    commit = Commit(EXAMPLE.lakefs_commit)
    return Publication(
        unit=of,
        assets=((f"{of.stage}/{of.name}", of.version),),
        recipe="r" * 64,
        rules="q" * 64,
        definition=Definition(identity="expr1:0"),
        pin=commit,
        inputs={},
        outputs=(),
        audited=commit,
        verdict=(),
        code={},
        run={},
    )


def files(lineage: Lineage) -> dict[str, bytes]:
    """Every artifact that a run of a model keeps."""
    closure = [publication(Unit("sources", "flights")), publication(Unit("frames", "late_arrival", "hash-s42__v1"))]
    kept = {
        trace.PATH: trace.complete_lineage(closure),
        reproduce.PATH: reproduce.script(lineage, "late_arrival").encode(),
    }
    table = pa.Table.from_pandas(rows(), preserve_index=False)
    for split in SPLITS:
        kept |= runs.split_files(split, table, 100)
    return kept


def train(
    tracking: Tracking,
    model: str,
    *,
    lineage: Lineage = EXAMPLE,
    owner: Mapping[str, str] | None = None,
    estimator: Any = None,
) -> tuple[str, LoggedModel]:
    """A whole run of the model, as the gate makes it: its id, and the model that it kept."""
    process = Process.here().as_text() if owner is None else owner
    tags = {"recipe": lineage.recipe, "lakefs_branch": "run-0f3c"}
    with runs.begin(tracking, model, unit(model), owner=process, tags=tags) as run:
        run.log_lineage(lineage)
        run.log_splits(lineage, DIGESTS)
        run.log_files(files(lineage))
        logged = log_model(run, fitted() if estimator is None else estimator, name=model, inputs=INPUTS)
    return run.id, logged
