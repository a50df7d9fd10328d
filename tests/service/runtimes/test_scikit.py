"""scikit-learn called as a server calls it: arrays in place of frames, but only where that changes nothing."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from modelroll_server.runtimes.scikit import SklearnRuntime
from modelroll_server.tensors import Table

NAMES = ("a", "b", "c")
ROWS = np.random.default_rng(0).normal(size=(80, 3))
FRAME = pd.DataFrame(ROWS, columns=NAMES)
LABELS = (ROWS.sum(axis=1) > 0).astype(int)


class Own(StandardScaler):  # type: ignore[misc]
    """Somebody's own transformer, of which nothing is known."""


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        RandomForestClassifier(10, random_state=0),
        Pipeline(
            [
                ("union", FeatureUnion([("s", StandardScaler()), ("p", PolynomialFeatures())])),
                ("m", GradientBoostingClassifier(n_estimators=5)),
            ]
        ),
        VotingClassifier([("k", KNeighborsClassifier()), ("l", LogisticRegression())], voting="soft"),
    ],
)
def test_blocks_are_answered_as_frames_are_and_without_a_warning(estimator: Any) -> None:
    estimator.fit(FRAME, LABELS)
    expected = estimator.predict_proba(FRAME)
    runtime = SklearnRuntime(estimator, call="frame", label="argmax")
    runtime.take_blocks()
    assert not hasattr(estimator, "feature_names_in_")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        as_block = runtime.predict(Table(NAMES, ROWS, len(ROWS)))
        as_frame = runtime.predict(Table(NAMES, tuple(ROWS.T), len(ROWS)))
    for found in (as_block, as_frame):  # the last bit depends on how an array lies in memory
        assert np.allclose(np.asarray(found.probability), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(ColumnTransformer([("scale", StandardScaler(), ["c", "a"])]), LogisticRegression()),
        make_pipeline(FunctionTransformer(lambda frame: frame[["b", "a"]]), LogisticRegression()),
        make_pipeline(Own(), LogisticRegression()),
        make_pipeline(StandardScaler().set_output(transform="pandas"), LogisticRegression()),
    ],
)
def test_an_estimator_to_which_names_may_mean_something_keeps_them(estimator: Any) -> None:
    estimator.fit(FRAME, LABELS)
    expected = estimator.predict_proba(FRAME)
    runtime = SklearnRuntime(estimator, call="frame", label="argmax")
    runtime.take_blocks()
    assert list(estimator.feature_names_in_ if hasattr(estimator, "feature_names_in_") else NAMES) == list(NAMES)
    found = runtime.predict(Table(NAMES, ROWS, len(ROWS)))
    assert np.allclose(np.asarray(found.probability), expected, rtol=0, atol=1e-12)
