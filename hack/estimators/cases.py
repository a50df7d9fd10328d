"""How each estimator is fitted: on a small table that suits it, with its defaults where these will do.

scikit-learn itself lists them; what is new in a release is here by itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn import base, linear_model
from sklearn.preprocessing import StandardScaler
from sklearn.utils import all_estimators

_ROWS = 240
_GENERATOR = np.random.default_rng(7)
FRAME = pd.DataFrame(
    {
        "age": _GENERATOR.integers(18, 80, _ROWS) / 10,
        "size": _GENERATOR.normal(0, 1, _ROWS).round(2),
        "weight": _GENERATOR.normal(1, 2, _ROWS).round(3),
        "share": _GENERATOR.random(_ROWS).round(4),
    }
)
_SIGNAL = FRAME["age"] / 4 + FRAME["size"] * FRAME["weight"] + 2 * FRAME["share"]
NUMBERS = (_SIGNAL + _GENERATOR.normal(0, 0.1, _ROWS)).round(3)
CLASSES = np.array(["high", "low", "middle"])[np.digitize(_SIGNAL, np.quantile(_SIGNAL, [0.4, 0.7])) - 1]
YES_NO = np.where(_SIGNAL.median() < _SIGNAL, "yes", "no")
COUNTS = pd.DataFrame(_GENERATOR.poisson(3, (_ROWS, 4)), columns=["a", "b", "c", "d"])
CODES = COUNTS.clip(upper=4)
TWO_NUMBERS = np.c_[NUMBERS, NUMBERS * 2 - FRAME["share"]]
TWO_CLASSES = np.c_[_SIGNAL > 1, np.digitize(_SIGNAL, [0, 2])].astype(int)
SOME_UNKNOWN = np.where(np.arange(_ROWS) % 3, np.digitize(_SIGNAL, [0, 2]), -1)

_CLASSIFIER = linear_model.LogisticRegression
_REGRESSOR = linear_model.Ridge
_NAMED = [("one", _CLASSIFIER()), ("other", _CLASSIFIER(C=0.1))]
_NAMED_REGRESSORS = [("one", _REGRESSOR()), ("other", _REGRESSOR(alpha=10))]

# What their defaults lack, as keyword arguments.
_PARAMETERS: dict[str, dict[str, Any]] = {
    "ClassifierChain": {"estimator": _CLASSIFIER()},
    "FixedThresholdClassifier": {"estimator": _CLASSIFIER(), "threshold": 0.4, "pos_label": "yes"},
    "GridSearchCV": {"estimator": _CLASSIFIER(), "param_grid": {"C": [0.1, 1]}},
    "LocalOutlierFactor": {"novelty": True},
    "MultiOutputClassifier": {"estimator": _CLASSIFIER()},
    "MultiOutputRegressor": {"estimator": _REGRESSOR()},
    "OneVsOneClassifier": {"estimator": _CLASSIFIER()},
    "OneVsRestClassifier": {"estimator": _CLASSIFIER()},
    "OutputCodeClassifier": {"estimator": _CLASSIFIER(), "random_state": 0},
    "Pipeline": {"steps": [("scale", StandardScaler()), ("model", _CLASSIFIER())]},
    "RFE": {"estimator": _CLASSIFIER()},
    "RFECV": {"estimator": _CLASSIFIER()},
    "RandomizedSearchCV": {"estimator": _CLASSIFIER(), "param_distributions": {"C": [0.1, 1]}, "n_iter": 2},
    "RegressorChain": {"estimator": _REGRESSOR()},
    "SelfTrainingClassifier": {"estimator": _CLASSIFIER()},
    "StackingClassifier": {"estimators": _NAMED},
    "StackingRegressor": {"estimators": _NAMED_REGRESSORS},
    "TunedThresholdClassifierCV": {"estimator": _CLASSIFIER()},
    "VotingClassifier": {"estimators": _NAMED},
    "VotingRegressor": {"estimators": _NAMED_REGRESSORS},
}
# What the usual target does not suit.
_TARGETS: dict[str, Any] = {
    "CCA": TWO_NUMBERS,
    "ClassifierChain": TWO_CLASSES.clip(max=1),
    "FixedThresholdClassifier": YES_NO,
    "GammaRegressor": np.exp(NUMBERS / 4),
    "GridSearchCV": CLASSES,
    "MultiOutputClassifier": TWO_CLASSES,
    "MultiOutputRegressor": TWO_NUMBERS,
    "MultiTaskElasticNet": TWO_NUMBERS,
    "MultiTaskElasticNetCV": TWO_NUMBERS,
    "MultiTaskLasso": TWO_NUMBERS,
    "MultiTaskLassoCV": TWO_NUMBERS,
    "PLSCanonical": TWO_NUMBERS,
    "Pipeline": CLASSES,
    "PoissonRegressor": np.exp(NUMBERS / 4),
    "RFE": CLASSES,
    "RFECV": CLASSES,
    "RandomizedSearchCV": CLASSES,
    "RegressorChain": TWO_NUMBERS,
    "SelfTrainingClassifier": SOME_UNKNOWN,
    "TunedThresholdClassifierCV": YES_NO,
    "TweedieRegressor": np.exp(NUMBERS / 4),
}
_FRAMES: dict[str, pd.DataFrame] = {
    "CategoricalNB": CODES,
    "ComplementNB": COUNTS,
    "IsotonicRegression": FRAME[["age"]],
    "MultinomialNB": COUNTS,
}


@dataclass(frozen=True, slots=True)
class Case:
    """One estimator.

    Attributes:
        name: Of its class.
        frame: Rows that it is fitted on, and packed with.
        fit: Makes it, fitted.
    """

    name: str
    frame: pd.DataFrame
    fit: Callable[[], Any]


def cases() -> Iterator[Case]:
    """All that have predict, by name."""
    for name, kind in all_estimators():
        if hasattr(kind, "predict") or name in _PARAMETERS:
            frame = _FRAMES.get(name, FRAME)
            yield Case(name, frame, partial(_fitted, name, kind, frame))


def _fitted(name: str, kind: Any, frame: pd.DataFrame) -> Any:
    estimator = kind(**_PARAMETERS.get(name, {}))
    if "random_state" in estimator.get_params(deep=False):
        estimator.set_params(random_state=0)  # fitted twice, it is the same
    target = _TARGETS.get(name)
    if target is None:
        target = CLASSES if base.is_classifier(estimator) else NUMBERS
    return estimator.fit(frame, target)
