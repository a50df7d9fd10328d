"""A BentoML service with adaptive batching.

MODEL=model.joblib bentoml serve serve_bentoml:Predictor
"""

import os
from typing import Any

import bentoml
import joblib
import numpy as np
import pandas as pd


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Predictor:
    """Labels of rows: objects of named features, or lists."""

    def __init__(self) -> None:
        self.estimator = joblib.load(os.environ["MODEL"])

    @bentoml.api(batchable=True, max_batch_size=64)
    def predict(self, rows: list[Any]) -> list[Any]:
        table = pd.DataFrame(rows) if isinstance(rows[0], dict) else np.asarray(rows)
        labels: list[Any] = self.estimator.predict(table).tolist()
        return labels
