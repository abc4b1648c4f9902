"""Every classifier of scikit-learn can be published: written without pickle, trusted, read back unchanged."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, SplineTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from ml_assets.lib.core.errors import TrackingError
from ml_assets.lib.tracking.models import _allowed
from ml_assets.lib.tracking.trusted import is_trusted

OTHERS: Final = {
    "ClassifierChain": "of several labels",
    "MultiOutputClassifier": "of several labels",
    "LinearSVC": "no probabilities",
    "NuSVC": "no probabilities",
    "OneVsOneClassifier": "no probabilities",
    "OutputCodeClassifier": "no probabilities",
    "PassiveAggressiveClassifier": "no probabilities",
    "Perceptron": "no probabilities",
    "RidgeClassifier": "no probabilities",
    "RidgeClassifierCV": "no probabilities",
    "SGDClassifier": "no probabilities with its default loss",
    "SVC": "no probabilities by default",
    "VotingClassifier": "no probabilities with hard votes; with soft ones below",
}
"""Classifiers that cannot be models here as they are made without arguments, with the reason."""


def data() -> tuple[pd.DataFrame, pd.Series]:
    """Eighty rows of two classes."""
    draw = np.random.default_rng(0)
    rows = pd.DataFrame(draw.random((80, 3)), columns=["a", "b", "c"])
    return rows, (rows["a"] + rows["b"] > 1).astype("int32")


def made(name: str, kind: Any) -> Any:
    """An estimator of scikit-learn with what it cannot be made without."""
    if name in {
        "SelfTrainingClassifier",
        "FixedThresholdClassifier",
        "TunedThresholdClassifierCV",
        "OneVsRestClassifier",
    }:
        return kind(LogisticRegression())
    return (
        kind([("a", LogisticRegression()), ("b", DecisionTreeClassifier())]) if name == "StackingClassifier" else kind()
    )


COMPOSED: Final = {
    "imputed and scaled": lambda: make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()),
    "splines": lambda: make_pipeline(SplineTransformer(), LogisticRegression()),
    "quantiles": lambda: make_pipeline(QuantileTransformer(n_quantiles=10), LogisticRegression()),
    "grid": lambda: GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, scoring="roc_auc"),
    "isotonic": lambda: CalibratedClassifierCV(LogisticRegression(), method="isotonic"),
    "soft votes": lambda: VotingClassifier(
        [("a", LogisticRegression()), ("b", RandomForestClassifier(3))], voting="soft"
    ),
    "bags of neighbours": lambda: BaggingClassifier(KNeighborsClassifier(), 3),
    "stack of pipelines": lambda: StackingClassifier(
        [("a", make_pipeline(StandardScaler(), LogisticRegression())), ("b", RandomForestClassifier(3))]
    ),
    "columns": lambda: make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["a"]), remainder="passthrough"),
        LogisticRegression(),
    ),
}
ESTIMATORS: Final = {name: kind for name, kind in all_estimators("classifier") if name not in OTHERS}


@pytest.mark.parametrize("name", [*ESTIMATORS, *COMPOSED])
@pytest.mark.filterwarnings("ignore")
def test_an_estimator_of_scikit_learn_is_trusted(name: str) -> None:
    """What skops names of it is of scikit-learn, NumPy or SciPy, and the model that is read predicts the same."""
    import skops.io

    rows, label = data()
    fitted = (COMPOSED[name]() if name in COMPOSED else made(name, ESTIMATORS[name])).fit(rows, label)
    file = skops.io.dumps(fitted)
    types = skops.io.get_untrusted_types(data=file)
    back = skops.io.loads(file, trusted=_allowed(types, name, ()))
    assert np.array_equal(fitted.predict_proba(rows), back.predict_proba(rows))


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.filterwarnings("ignore")
def test_the_others_have_a_reason(name: str) -> None:
    """None of them gives probabilities of one label."""
    rows, label = data()
    kind = dict(all_estimators("classifier"))[name]
    if "several labels" in OTHERS[name]:
        return
    one = kind(LogisticRegression()) if name in {"OneVsOneClassifier", "OutputCodeClassifier"} else None
    if name == "VotingClassifier":
        one = kind([("a", LogisticRegression())])
    assert not hasattr((one or kind()).fit(rows, label), "predict_proba")


@pytest.mark.parametrize(
    "name",
    [
        "posix.system",
        "builtins.eval",
        "os.system",
        "subprocess.Popen",
        "shutil.rmtree",
        "sklearn.datasets._base.urlretrieve",
        "sklearn.datasets._openml.fetch_openml",
        "sklearn.utils._testing.TempMemmap",
        "sklearn.datasets._base.load_files",
        "numpy.load",
        "numpy.fromfile",
        "numpy.f2py.compile",
        "scipy.io.loadmat",
        "numpy.testing._private.utils.runstring",
        "sklearn.show_versions",
        "sklearn.utils.validation.np",
        "sklearn.nothing",
        "sklearnish.Tree",
        "sklearn",
        "",
        "sklearn.externals.array_api_compat.Array",
    ],
)
def test_what_may_run_code_is_not_trusted(name: str) -> None:
    """A name that begins with a distribution's is not enough: functions that do more than compute are refused."""
    assert not is_trusted(name)
    with pytest.raises(TrackingError, match="types that are not trusted"):
        _allowed([name], "model", ())
