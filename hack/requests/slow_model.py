"""A model that takes its time, whatever it is asked. Its pickle names this module, so the server must find it."""

import time
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin


class SlowModel(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A classifier: the probability of class 1 is the mean of the row."""

    n_features_in_ = 2
    classes_ = np.array([0, 1])

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds

    def predict_proba(self, rows: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """P(class), [rows, 2], after its time."""
        time.sleep(self.seconds)
        positive = np.asarray(rows, np.float64).mean(axis=1)
        return np.stack([1 - positive, positive], axis=1)

    def predict(self, rows: npt.ArrayLike) -> Any:
        """Labels, [rows]."""
        return (np.asarray(rows, np.float64).mean(axis=1) > 0.5).astype(int)
