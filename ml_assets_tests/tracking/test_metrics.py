"""Scores of predicted probabilities."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.lib.tracking.metrics import score

probabilities = st.floats(0, 1)


def test_scores_are_what_the_definitions_say() -> None:
    """Reckoned by hand: three of four pairs in order, two of four rows right, one of two late flights found."""
    found = score([True, True, False, False], [0.9, 0.4, 0.5, 0.1])
    expected = {
        "roc_auc": 3 / 4,
        "log_loss": -(math.log(0.9) + math.log(0.4) + math.log(0.5) + math.log(0.9)) / 4,
        "brier": (0.1**2 + 0.6**2 + 0.5**2 + 0.1**2) / 4,
        "accuracy": 1 / 2,
        "precision": 1 / 2,
        "recall": 1 / 2,
        "f1": 1 / 2,
    }
    assert pytest.approx(expected) == found


@pytest.mark.parametrize("label", [True, False])
def test_one_class_has_no_auc(label: bool) -> None:
    """What the rows do not define is left out; nothing warns, nothing is made up."""
    found = score([label, label], [0.2, 0.8])
    assert "roc_auc" not in found
    assert pytest.approx(-(math.log(0.2) + math.log(0.8)) / 2) == found["log_loss"]


def test_no_rows_have_no_scores() -> None:
    """An empty split is no error."""
    assert score([], []) == {}


@given(st.lists(st.tuples(st.booleans(), probabilities), min_size=1, max_size=30))
def test_scores_are_finite_plain_floats(rows: list[tuple[bool, float]]) -> None:
    """Whatever the rows are, MLflow and JSON can keep the scores."""
    found = score([label for label, _ in rows], [chance for _, chance in rows])
    assert all(type(value) is float and math.isfinite(value) for value in found.values())
    assert all(0 <= value <= 1 for name, value in found.items() if name != "log_loss")
