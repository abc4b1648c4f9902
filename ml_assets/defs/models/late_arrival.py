"""Will a flight arrive more than 15 minutes late?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_assets.lib.declare import Params, model

if TYPE_CHECKING:  # heavy, and only named in the signature
    import pandas as pd
    from sklearn.base import ClassifierMixin

CATEGORIES = ("carrier", "dest", "origin")


@model(
    frame="late_arrival",
    floors={"test/roc_auc": 0.55},
    params={
        "max_iter": 200,
        "learning_rate": 0.1,
        "max_leaf_nodes": 31,
        "min_samples_leaf": 50,
        "l2_regularization": 1.0,
    },
    seed=0,
    categories=CATEGORIES,
    libraries=("scikit-learn", "numpy"),
    owner="team:flights",
)
def late_arrival(
    train: pd.DataFrame,
    val: pd.DataFrame,  # noqa: ARG001 (these trees do not stop early, so they need not look at it)
    *,
    params: Params,
    seed: int,
) -> ClassifierMixin:
    """Gradient-boosted trees on timetable, weather, aircraft and recent delays."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(
        **params, early_stopping=False, random_state=seed, categorical_features=list(CATEGORIES)
    )
    return trees.fit(train.drop(columns="label"), train["label"])
