"""Will the trip take long?"""

from __future__ import annotations

from typing import Any

from ml_assets.lib.declare import Params, model


@model(
    frame="late",
    floors={"test/roc_auc": 0.6},
    params={"max_iter": 5},
    seed=0,
    categories=("car",),
    libraries=("scikit-learn",),
)
def late(train: Any, val: Any, *, params: Params, seed: int) -> Any:
    """Few trees."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(
        **params, min_samples_leaf=5, early_stopping=False, random_state=seed, categorical_features=["car"]
    )
    return trees.fit(train.drop(columns="label"), train["label"])
