"""A model that ends its process at one value, as a fault in a library would, and may take its time before."""

import os
import time
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

FATAL = 666


class Deadly(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Answers twice the first value."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.n_features_in_ = 1

    def predict(self, rows: Any) -> Any:
        values = np.asarray(rows, dtype=float)
        if (values == FATAL).any():
            os._exit(139)
        time.sleep(self.seconds)
        return 2 * values[:, 0]
