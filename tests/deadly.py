"""A model that ends its process at one value, as a fault in a library would, takes its time, and waits at another."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

FATAL = 666
HELD = 777


class Deadly(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Answers twice the first value.

    Attributes:
        seconds: That it takes.
        gate: The file that has to be there before HELD is answered.
    """

    def __init__(self, seconds: float = 0.0, gate: str = "") -> None:
        self.seconds = seconds
        self.gate = gate
        self.n_features_in_ = 1

    def predict(self, rows: Any) -> Any:
        values = np.asarray(rows, dtype=float)
        if (values == FATAL).any():
            os._exit(139)
        while (values == HELD).any() and not Path(self.gate).exists():
            time.sleep(0.01)
        time.sleep(self.seconds)
        return 2 * values[:, 0]
