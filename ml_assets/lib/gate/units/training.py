"""What a model is trained and scored on: rows in the frame's types, labels of two classes, probabilities by class."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ml_assets.lib.core.errors import ContractError, DeclarationError, FunctionError, MLAssetsError
from ml_assets.lib.core.names import SPLIT, SPLITS
from ml_assets.lib.declare.models import default_positive
from ml_assets.lib.declare.where import of_error

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from ml_assets.lib.declare.declarations import Frame, Model
    from ml_assets.lib.gate.rows import Rows

EXACT: Final = 2**53
"""A double holds every whole number up to this one."""

MANY: Final = 255
"""Distinct values of a category from which on an error in training says how many there are."""

_SHOWN: Final = 5


@dataclass(frozen=True, kw_only=True)
class Part:
    """The rows of one split, in order of key: scikit-learn bins on a sample, so order matters.

    Attributes:
        keys: Key of each row.
        inputs: Model input, as `pyarrow.Table.to_pandas` gives the frame's columns.
        labels: Labels of the rows that have one, in the frame's type.
        labelled: Which rows have one.
    """

    keys: pd.Series[Any]
    inputs: pd.DataFrame
    labels: pd.Series[Any]
    labelled: NDArray[np.bool_]

    @property
    def unlabelled(self) -> int:
        """Number of rows without a label."""
        return len(self.labelled) - len(self.labels)

    def known(self, label: str) -> pd.DataFrame:
        """Input and label of the rows that have a label: what a model learns from."""
        known = self.inputs if not self.unlabelled else self.inputs[self.labelled].reset_index(drop=True)
        return known.assign(**{label: self.labels})


def load(rows: Rows, model: Model, *, key: str, columns: Sequence[str], label: str) -> dict[str, Part]:
    """The rows of each split.

    Raises:
        ContractError: A column has missing values and whole numbers that pandas cannot hold beside them.
    """
    import pyarrow.compute as pc

    table = rows.reader([key, *columns, label, SPLIT]).read_all()
    _refuse_inexact(model, table.select(columns))
    return {
        split: _part(table.filter(pc.equal(table[SPLIT], split)).sort_by(key), key=key, columns=columns, label=label)
        for split in SPLITS
    }


def _part(table: pa.Table, *, key: str, columns: Sequence[str], label: str) -> Part:
    labels = table[label]
    return Part(
        keys=table.select([key]).to_pandas()[key],
        inputs=table.select(columns).to_pandas(),
        labels=labels.drop_null().to_pandas().rename(label),
        labelled=labels.is_valid().to_numpy(zero_copy_only=False),
    )


def _refuse_inexact(model: Model, table: pa.Table) -> None:
    """Pandas makes doubles of whole numbers with gaps, which hold no number beyond 2**53."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in table.column_names:
        column = table[name]
        if column.null_count and pa.types.is_int64(column.type):
            ends = [abs(end) for end in pc.min_max(column).as_py().values() if end is not None]
            if ends and max(ends) > EXACT:
                raise ContractError(
                    f"{model.place}: column {name!r} has {column.null_count} missing values and whole numbers up to "
                    f"{max(ends)}, which pandas would round beside them",
                    remedy="make it text and a category, fill the missing values, or use smaller numbers in the view",
                )


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The two values of a label.

    Attributes:
        negative: Value that counts as false.
        positive: Value that counts as true.
    """

    negative: Any
    positive: Any

    def truth(self, labels: pd.Series[Any]) -> NDArray[np.bool_]:
        """Whether each label is the positive class."""
        truth: NDArray[np.bool_] = (labels == self.positive).to_numpy(dtype=bool)
        return truth

    def chances(self, model: Model, estimator: Any, inputs: pd.DataFrame) -> list[float]:
        """Probability of the positive class per row, found by the estimator's own order of classes.

        Raises:
            DeclarationError: The estimator gives something else than one probability per class.
        """
        import numpy as np

        if inputs.empty:
            return []
        found = np.asarray(estimator.predict_proba(inputs))
        if found.shape != (len(inputs), 2):
            raise DeclarationError(
                f"{model.place} returns a {type(estimator).__name__} that gives {found.shape} probabilities for "
                f"{len(inputs)} rows and 2 classes",
                remedy="return a classifier of one label",
            )
        column = [value == self.positive for value in estimator.classes_].index(True)
        return [float(chance) for chance in found[:, column]]

    def check(self, model: Model, estimator: Any) -> None:
        """Let an *estimator* pass that gives probabilities of exactly these classes.

        Raises:
            DeclarationError: It is no such classifier.
        """
        import numpy as np

        returned = f"{model.place} returns a {type(estimator).__name__}"
        if not callable(getattr(estimator, "predict_proba", None)):
            raise DeclarationError(
                f"{returned}, which gives no probabilities (predict_proba)",
                remedy="return a fitted classifier; one without probabilities can be wrapped in scikit-learn's "
                "CalibratedClassifierCV. Regression is not supported",
            )
        known = list(getattr(estimator, "classes_", ()))
        wanted = (self.negative, self.positive)
        if len(known) != len(wanted) or not all(np.ndim(c) == 0 for c in known) or not all(w in known for w in wanted):
            raise DeclarationError(
                f"{returned} of the classes {_listed(known)}, and the label has {_listed(wanted)}",
                remedy="fit it on the label as it comes, on rows of both classes",
            )


def classes_of(model: Model, frame: Frame, parts: Mapping[str, Part]) -> Classes:
    """The two values of the label, from all rows that have one.

    Raises:
        ContractError: There are others, or the training rows do not have both.
    """
    import pandas as pd

    place = f"{model.place}: label {frame.label!r} of frame {frame.name}"
    labels = pd.concat([part.labels for part in parts.values()])
    found = sorted(labels.unique().tolist())
    if frame.positive is None:
        positive = default_positive(type(found[0])) if found else None
        lawful = positive is not None and set(found) <= {type(positive)(0), positive}
        negative = None if positive is None else type(positive)(0)
    else:
        positive = frame.positive
        others = [value for value in found if value != positive]
        lawful, negative = len(others) <= 1, others[0] if others else None
    if found and not lawful:
        raise ContractError(
            f"{place} has the values {_listed(found)}, and models here are classifiers of two classes",
            remedy="make the label a bool or 0 and 1, or name the positive one of two values: @frame(positive=...)",
        )
    train = parts["train"]
    if len(had := train.labels.unique().tolist()) <= 1:
        only = f"only the value {had[0]!r}" if had else "no value"
        raise ContractError(
            f"{place} has {only} in the {len(train.labels)} labelled of {len(train.labelled)} training rows",
            remedy="correct the label or the split: a classifier needs training rows of both classes",
        )
    return Classes(negative=negative, positive=positive)


@contextmanager
def failures_of(model: Model, parts: Mapping[str, Part]) -> Iterator[None]:
    """What the function of *model* raises, with file and line.

    Raises:
        ContractError: It raised ``ValueError``, and a category has more than `MANY` distinct values.
        FunctionError: It raised anything else.
    """
    try:
        yield
    except (MLAssetsError, MemoryError):
        raise
    except Exception as error:  # a person's function, and the libraries that it calls, may raise anything
        inputs = parts["train"].inputs
        counts = {name: inputs[name].nunique() for name in model.categories if name in inputs}
        many = {name: count for name, count in counts.items() if count > MANY}
        if many and isinstance(error, ValueError):
            told = ", ".join(f"{name!r} ({count} distinct values)" for name, count in many.items())
            raise ContractError(
                f"{model.place} failed on categories of many values: {told}: {error}",
                remedy="group rare values in the view or frame, encode them in the model's pipeline, or take another "
                "estimator",
            ) from error
        raise FunctionError(
            f"the function of models/{model.name} failed: {type(error).__name__}: {error} "
            f"({of_error(error, model.function)})",
            remedy="correct the function; nothing was published; `ml-assets --traceback …` shows all of it",
        ) from error


def figures(classes: Classes, parts: Mapping[str, Part], chances: Mapping[str, list[float]]) -> dict[str, Any]:
    """Scores on the rows that have a label, what the predictions are, and how many rows have no label if any."""
    from ml_assets.lib.tracking.metrics import score

    usable = {split: [c for c in row if not math.isnan(c)] for split, row in chances.items()}
    scores = {
        split: score(
            classes.truth(part.labels), [c for c, known in zip(chances[split], part.labelled, strict=True) if known]
        )
        for split, part in parts.items()
        if len(usable[split]) == len(part.labelled)
    }
    everything = [chance for row in usable.values() for chance in row]
    unlabelled = {split: part.unlabelled for split, part in parts.items()}
    return {
        "scores": scores,
        "predictions": {
            "rows": sum(map(len, chances.values())),
            "nulls": sum(map(len, chances.values())) - len(everything),
            "outside": sum(not 0.0 <= chance <= 1.0 for chance in everything),
            "min": min(everything, default=None),
            "max": max(everything, default=None),
        },
        **({"unlabelled": unlabelled} if any(unlabelled.values()) else {}),
    }


def same(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether both are equal to the last bit, NaN beside NaN included."""
    return all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(one, other, strict=True))


def _listed(values: Sequence[Any]) -> str:
    shown = ", ".join(repr(value.item() if hasattr(value, "item") else value) for value in values[:_SHOWN])
    return f"({shown}{', …' if len(values) > _SHOWN else ''})"
