"""Fitted scikit-learn models in MLflow, written and read with skops: a pickle runs code when it is read."""

from __future__ import annotations

import hashlib
import importlib.metadata
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ml_assets.lib.core.errors import DeclarationError, TrackingError
from ml_assets.lib.tracking.runs import MODEL_ID, MODEL_SHA256, Run, set_tags
from ml_assets.lib.tracking.store import Tracking, translated
from ml_assets.lib.tracking.trusted import found, is_trusted

if TYPE_CHECKING:
    import pyarrow as pa
    from mlflow.entities import LoggedModel as MLflowModel
    from mlflow.models import ModelSignature

FILE: Final = "model.skops"

_REQUIREMENTS: Final = ("scikit-learn", "skops", "pandas", "numpy")

_TYPES: Final = {
    "bool": "boolean", "int8": "integer", "int16": "integer", "int32": "integer", "int64": "long", "float": "float",
    "double": "double", "string": "string", "large_string": "string", "timestamp[us, tz=UTC]": "datetime",
}  # fmt: skip
"""MLflow's name of each Arrow type that a model input may have.

A whole number that may be missing is ``any``: pandas has doubles where a value is missing and whole numbers where none
is, and no other type of MLflow takes both. The types themselves are in the model's metadata, under `INPUT_TYPES`.
"""

INPUT_TYPES: Final = "input_types"
CLASSES: Final = "classes"
"""The labels in the order of the columns that the model gives."""
POSITIVE: Final = "positive"
"""The label that counts as true."""


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """A fitted model in MLflow.

    Attributes:
        id: MLflow's id of the logged model.
        sha256: Hash of its file, 64 hexadecimal digits.
        bytes: Size of its file.
    """

    id: str
    sha256: str
    bytes: int


def log_model(
    run: Run, estimator: Any, *, name: str, inputs: pa.Schema, trusted: Sequence[str] = (), positive: Any = None
) -> LoggedModel:
    """Keep *estimator* as the model of *run*: file, signature, requirements. Its id and hash become tags of the run.

    Args:
        run: The run that trained it.
        estimator: A fitted scikit-learn estimator.
        name: Name of the model.
        inputs: Columns of the model input, from the contract; not nullable means required.
        trusted: More types that may be in the file, by full name: those that the declaration names.
        positive: The label that counts as true; kept in the model's metadata beside the order of the classes.

    Types of scikit-learn, NumPy and SciPy may always be, see `ml_assets.lib.tracking.trusted`.

    Raises:
        TrackingError: A type in it is declared nowhere, a column's type is none of MLflow's, or MLflow refused.
    """
    from mlflow.entities import LoggedModelOutput

    allowed = _types_in(estimator, name, trusted)
    signature = _signature(estimator, inputs)
    client = run.tracking.client
    with tempfile.TemporaryDirectory() as folder, translated(f"keep the model {name!r} of run {run.id}"):
        path = Path(folder, "model")
        model = client.create_logged_model(run.experiment_id, name=name, source_run_id=run.id)
        _save(
            estimator,
            path,
            model,
            signature=signature,
            trusted=allowed,
            metadata=_metadata(estimator, inputs, positive),
        )
        client.log_model_artifacts(model.model_id, str(path))
        client.finalize_logged_model(model.model_id, "READY")
        client.log_outputs(run.id, [LoggedModelOutput(model.model_id, step=0)])
        data = (path / FILE).read_bytes()
    logged = LoggedModel(model.model_id, hashlib.sha256(data).hexdigest(), len(data))
    # Last, so that a run with these tags has a whole model.
    set_tags(run.tracking, run.id, {MODEL_ID: logged.id, MODEL_SHA256: logged.sha256})
    return logged


def load_model(tracking: Tracking, model_id: str, *, sha256: str, trusted: Sequence[str] = ()) -> Any:
    """The estimator that `log_model` kept, if its file is still the one with this hash.

    MLflow's own ``load_model`` is not used: it trusts whatever types the model itself lists.

    Args:
        tracking: Where it is.
        model_id: MLflow's id of the logged model.
        sha256: Hash of the file, from the model's record in the lake.
        trusted: As for `log_model`.

    Raises:
        TrackingError: No such model, another file than recorded, or a type in it that is not trusted.
    """
    import skops.io

    data = read_file(tracking, model_id, sha256=sha256)
    allowed = _allowed(skops.io.get_untrusted_types(data=data), f"model {model_id}", trusted)
    return skops.io.loads(data, trusted=allowed)


def read_file(tracking: Tracking, model_id: str, *, sha256: str) -> bytes:
    """The file of a model, if it is still the one with this hash; nothing in it is read.

    Raises:
        TrackingError: No such model, or another file than recorded.
    """
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as folder, translated(f"fetch the model {model_id}"):
        place = tracking.client.get_logged_model(model_id).artifact_location
        data = Path(
            download_artifacts(f"{place}/{FILE}", dst_path=folder, tracking_uri=tracking.uri, registry_uri=tracking.uri)
        ).read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise TrackingError(
            f"the file of model {model_id} has SHA-256 {found[:12]}…, its record says {sha256[:12]}…",
            remedy="somebody changed it: do not load it, train the model again",
        )
    return data


def check_trusted(types: Sequence[str], place: str) -> None:
    """Let the types pass that a declaration at *place* trusts, before anything is trained.

    Raises:
        DeclarationError: One is not there.
    """
    for name in types:
        if found(name) is None:
            raise DeclarationError(
                f"{place} trusts {name!r}, which is not there",
                remedy="correct the name: module and type, as in trusted=('lightgbm.sklearn.LGBMClassifier',)",
            )


def _types_in(estimator: Any, name: str, trusted: Sequence[str]) -> list[str]:
    """Types in the file of *estimator* that skops does not trust by itself, all of which may be there.

    Raises:
        TrackingError: One may not, or it cannot be written.
    """
    import skops.io
    from skops.io.exceptions import UnsupportedTypeException

    try:
        data = skops.io.dumps(estimator)
    except UnsupportedTypeException as error:
        raise TrackingError(
            f"the model {name!r} cannot be written without pickle: {error}",
            remedy="build it of scikit-learn's estimators and of functions and classes of a module",
        ) from error
    return _allowed(skops.io.get_untrusted_types(data=data), f"model {name!r}", trusted)


def _allowed(types: Sequence[str], model: str, trusted: Sequence[str]) -> list[str]:
    """*types*, if each is one of scikit-learn's own or declared.

    Raises:
        TrackingError: One is neither.
    """
    if others := sorted(name for name in types if name not in trusted and not is_trusted(name)):
        raise TrackingError(
            f"{model} holds types that are not trusted: {', '.join(others)}",
            remedy=f"use scikit-learn's estimators, or declare them: @model(trusted=({', '.join(map(repr, others))},))",
        )
    return sorted(types)


def _save(
    estimator: Any,
    path: Path,
    model: MLflowModel,
    *,
    signature: ModelSignature,
    trusted: Sequence[str],
    metadata: dict[str, Any],
) -> None:
    """Write the model folder; requirements are named, because MLflow takes ten seconds to infer them."""
    from mlflow.models import Model

    with warnings.catch_warnings():  # MLflow imports its types for agents now, and they warn about themselves
        warnings.filterwarnings("ignore", message=".*Any type hint is inferred as AnyType", category=UserWarning)
        import mlflow.sklearn

        mlflow.sklearn.save_model(
            estimator,
            path,
            mlflow_model=Model(
                model.artifact_location,
                model.source_run_id,
                model_uuid=model.model_id,
                model_id=model.model_id,
                metadata=metadata,
            ),
            serialization_format="skops",
            skops_trusted_types=list(trusted),
            signature=signature,
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in _REQUIREMENTS],
            pyfunc_predict_fn=_predicts_with(estimator),
        )


def _metadata(estimator: Any, inputs: pa.Schema, positive: Any) -> dict[str, Any]:
    """What a signature does not say: the types that went in, and which column is the probability of which label."""
    classes = [label.item() if hasattr(label, "item") else label for label in getattr(estimator, "classes_", ())]
    types = {column.name: str(column.type) for column in inputs}
    return {INPUT_TYPES: types, CLASSES: classes, **({} if positive is None else {POSITIVE: positive})}


def _signature(estimator: Any, inputs: pa.Schema) -> ModelSignature:
    """What goes in by column, what comes out: of a classifier the probability of each class."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    if unknown := [f"{column.name}: {column.type}" for column in inputs if str(column.type) not in _TYPES]:
        raise TrackingError(
            f"MLflow has no type for {', '.join(unknown)}", remedy=f"give the model one of {', '.join(_TYPES)}"
        )
    anything = AnyType()  # type: ignore[no-untyped-call]  # it has no annotations
    columns: list[ColSpec | TensorSpec] = [
        ColSpec(anything if _has_gaps(column) else _TYPES[str(column.type)], column.name, required=not column.nullable)
        for column in inputs
    ]
    shape = (-1, len(estimator.classes_)) if _predicts_with(estimator) == "predict_proba" else (-1,)
    return ModelSignature(Schema(columns), Schema([TensorSpec(np.dtype("float64"), shape)]))


def _has_gaps(column: pa.Field) -> bool:
    """Whether it is a whole number that may be missing."""
    return bool(column.nullable) and "int" in str(column.type)


def _predicts_with(estimator: Any) -> str:
    return "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
