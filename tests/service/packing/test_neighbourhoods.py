"""Compiled models of centres, densities and labels that spread answer as scikit-learn does."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import cluster, neighbors, semi_supervised

from both_runtimes import assert_equal, both, named, shuffled
from modelroll_server.packing.converters.registry import CannotCompile

MODELS = [
    neighbors.NearestCentroid(),
    neighbors.NearestCentroid(priors="empirical"),
    neighbors.NearestCentroid(shrink_threshold=0.3),
    neighbors.LocalOutlierFactor(n_neighbors=5, novelty=True),
    neighbors.LocalOutlierFactor(n_neighbors=5, metric="manhattan", novelty=True),
    neighbors.LocalOutlierFactor(n_neighbors=5, metric="euclidean", p=3, novelty=True),  # whose p means nothing
    semi_supervised.LabelPropagation(gamma=0.5),
    semi_supervised.LabelPropagation(kernel="knn", n_neighbors=3),
    semi_supervised.LabelSpreading(gamma=0.5),
    cluster.BisectingKMeans(4, random_state=0),
    cluster.BisectingKMeans(2, random_state=0),
]


def rows_and_target() -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(11)
    rows = pd.DataFrame(rng.normal([3.0, -1.0, 10.0], [1.0, 2.0, 3.0], (90, 3)), columns=["a", "b", "c"])
    return rows, np.where(rows["a"] * 3 > rows["c"], 2, np.where(rows["b"] > 0, 1, 0))


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")  # which it raises while it is fitted
@pytest.mark.parametrize("estimator", MODELS, ids=named)
def test_it_answers_as_scikit_learn_does(estimator: Any) -> None:
    rows, target = rows_and_target()
    pair = both(estimator.fit(rows, target), rows)
    assert_equal(pair, pair.table)
    assert_equal(pair, shuffled(pair.table))


@pytest.mark.parametrize(
    "estimator",
    [
        neighbors.NearestCentroid(metric="manhattan"),
        neighbors.KNeighborsClassifier(metric_params={"w": [1.0, 2.0, 3.0]}),
        cluster.BisectingKMeans(1, random_state=0),
    ],
    ids=named,
)
def test_what_is_not_compiled_says_so(estimator: Any) -> None:
    rows, target = rows_and_target()
    with pytest.raises(CannotCompile):
        both(estimator.fit(rows, target), rows)
