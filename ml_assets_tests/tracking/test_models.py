"""Models are written and read without pickle: only trusted types, only the recorded file."""

from __future__ import annotations

import functools
import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ml_assets.lib.core.errors import TrackingError
from ml_assets.lib.tracking import runs
from ml_assets.lib.tracking.models import FILE, load_model, log_model
from ml_assets.lib.tracking.store import Tracking
from ml_assets_tests.tracking.examples import EXAMPLE, INPUTS, fitted, rows, train, unit


def place(tracking: Tracking, model_id: str) -> Path:
    """The folder of a model in the embedded store."""
    return Path(tracking.client.get_logged_model(model_id).artifact_location.removeprefix("file://"))


def test_a_model_comes_back_as_it_was(tracking: Tracking, model: str) -> None:
    """Loaded again it predicts the same, to the last bit."""
    run_id, logged = train(tracking, model)
    back = load_model(tracking, logged.id, sha256=logged.sha256)
    data = rows()[INPUTS.names]
    assert np.array_equal(fitted().predict_proba(data), back.predict_proba(data))
    tags = tracking.client.get_run(run_id).data.tags
    assert (logged.id, logged.sha256) == (tags["ml_assets/model_id"], tags["ml_assets/model_sha256"])


def test_there_is_no_pickle(embedded: Tracking, model: str) -> None:
    """The folder holds the skops file, what MLflow says of it, and the recorded hash is the file's."""
    _, logged = train(embedded, model)
    folder = place(embedded, logged.id)
    names = {"MLmodel", "conda.yaml", FILE, "python_env.yaml", "requirements.txt"}
    assert names == {path.name for path in folder.iterdir()}
    data = (folder / FILE).read_bytes()
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (logged.sha256, logged.bytes)
    requirements = {line.partition("==")[0] for line in (folder / "requirements.txt").read_text().split()}
    assert {"scikit-learn", "skops", "pandas", "numpy"} <= requirements


def test_the_signature_is_the_contract(embedded: Tracking, model: str) -> None:
    """Columns, types and which are required come from the schema; MLflow's own loader then gives probabilities."""
    import mlflow.pyfunc

    inputs = pa.schema([*list(INPUTS)[:2], pa.field("delay", pa.float64(), nullable=False)])
    with runs.begin(embedded, model, unit(model), owner={}, tags={}) as run:
        logged = log_model(run, fitted(), name=model, inputs=inputs)
    served = mlflow.pyfunc.load_model(str(place(embedded, logged.id)))
    columns = [(c["name"], c["type"], c["required"]) for c in served.metadata.signature.inputs.to_dict()]
    assert columns == [("carrier", "string", False), ("origin", "string", False), ("delay", "double", True)]
    data = rows()[INPUTS.names].fillna({"delay": 0.0})
    assert np.array_equal(fitted().predict_proba(data), served.predict(data))


def test_a_column_without_a_type_in_mlflow_is_refused(embedded: Tracking, model: str) -> None:
    """Rather than leave a column out of the signature."""
    with (
        runs.begin(embedded, model, unit(model), owner={}, tags={}) as run,
        pytest.raises(TrackingError, match="price: decimal"),
    ):
        log_model(run, fitted(), name=model, inputs=pa.schema([pa.field("price", pa.decimal128(9, 2))]))


class Own:
    """A type of a package that nobody trusts by itself."""


def test_an_undeclared_type_is_refused_and_a_declared_one_is_not(embedded: Tracking, model: str) -> None:
    """The error names it and how to declare it, and the declaration may add it."""
    from sklearn.linear_model import LogisticRegression

    data = rows().dropna()
    fit = LogisticRegression().fit(data[["delay"]], data["label"])
    fit.own_ = Own()
    own, inputs = f"{__name__}.Own", pa.schema([pa.field("delay", pa.float64())])
    with runs.begin(embedded, model, unit(model), owner={}, tags={}) as run:
        with pytest.raises(TrackingError, match=rf"not trusted: {own}; .*@model\(trusted=\('{own}',\)\)"):
            log_model(run, fit, name=model, inputs=inputs)
        logged = log_model(run, fit, name=model, inputs=inputs, trusted=[own])
    with pytest.raises(TrackingError, match=own):
        load_model(embedded, logged.id, sha256=logged.sha256)
    back = load_model(embedded, logged.id, sha256=logged.sha256, trusted=[own])
    assert np.array_equal(fit.predict_proba(data[["delay"]]), back.predict_proba(data[["delay"]]))


def test_what_only_a_pickle_could_hold_is_refused(embedded: Tracking, model: str) -> None:
    """A function without a name has no place in a model; the error says what to do instead."""
    from sklearn.preprocessing import FunctionTransformer

    with (
        runs.begin(embedded, model, unit(model), owner={}, tags={}) as run,
        pytest.raises(TrackingError, match=r"not trusted|without pickle"),
    ):
        log_model(run, FunctionTransformer(lambda table: table), name=model, inputs=INPUTS)


def test_a_changed_file_is_not_loaded(embedded: Tracking, model: str) -> None:
    """One flipped byte, and the file is not even opened."""
    _, logged = train(embedded, model)
    path = place(embedded, logged.id) / FILE
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(TrackingError, match="somebody changed it"):
        load_model(embedded, logged.id, sha256=logged.sha256)


@pytest.mark.parametrize("function", [os.system, functools.partial(os.system, "true")], ids=["function", "partial"])
def test_a_file_that_runs_commands_is_not_loaded(embedded: Tracking, model: str, function: Any) -> None:
    """Even with the right hash: a trusted ``partial`` does not make the function inside it trusted."""
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    _, logged = train(embedded, model)
    file = io.BytesIO()
    skops.io.dump(FunctionTransformer(function), file)
    (place(embedded, logged.id) / FILE).write_bytes(file.getvalue())
    with pytest.raises(TrackingError, match=r"not trusted: posix\.system"):
        load_model(embedded, logged.id, sha256=hashlib.sha256(file.getvalue()).hexdigest())


def test_an_unknown_model_is_an_error(tracking: Tracking) -> None:
    """The error is ours, whichever store answers."""
    with pytest.raises(TrackingError, match="fetch the model"):
        load_model(tracking, "m-" + "0" * 32, sha256=EXAMPLE.recipe)
