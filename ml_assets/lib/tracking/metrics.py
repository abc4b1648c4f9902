"""How good predicted probabilities are, as plain figures: functions of labels and probabilities, without MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

THRESHOLD: Final = 0.5
"""A row counts as predicted true from this probability on."""


def score(
    labels: Sequence[bool] | NDArray[Any], probabilities: Sequence[float] | NDArray[np.float64]
) -> dict[str, float]:
    """``roc_auc``, ``log_loss``, ``brier``, ``accuracy``, ``precision``, ``recall``, ``f1`` of one split.

    Args:
        labels: Whether each row is of the positive class: booleans, never the label itself.
        probabilities: Probability of true per row, in [0, 1], in the same order.

    Returns:
        Each metric by name. One that these rows do not define is left out: ``roc_auc`` without rows of both classes,
        everything without rows. ``precision`` is 0 where nothing was predicted true, ``recall`` where nothing is.

    Raises:
        TypeError: Something else than booleans, whose truth nobody has decided.
    """
    import numpy as np
    from sklearn import metrics

    truth = np.asarray(labels)
    chance = np.asarray(probabilities, dtype=np.float64)
    if not len(truth):
        return {}
    if truth.dtype != np.bool_:
        raise TypeError(f"labels are {truth.dtype}, not booleans: compare them with the positive class")
    guess = chance >= THRESHOLD
    figures = {
        "log_loss": metrics.log_loss(truth, chance, labels=[False, True]),
        "brier": metrics.brier_score_loss(truth, chance, labels=[False, True]),
        "accuracy": metrics.accuracy_score(truth, guess),
        "precision": metrics.precision_score(truth, guess, zero_division=0.0),
        "recall": metrics.recall_score(truth, guess, zero_division=0.0),
        "f1": metrics.f1_score(truth, guess, zero_division=0.0),
    }
    if truth.any() and not truth.all():
        figures["roc_auc"] = metrics.roc_auc_score(truth, chance)
    return {name: float(value) for name, value in figures.items()}
