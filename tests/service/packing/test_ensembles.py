"""Compiled models that are made of others answer as scikit-learn does."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import (
    calibration,
    compose,
    dummy,
    ensemble,
    isotonic,
    linear_model,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    preprocessing,
    semi_supervised,
    svm,
    tree,
)

from both_runtimes import assert_equal, both, named, shuffled

pytestmark = pytest.mark.filterwarnings("ignore")  # models fitted on little, on purpose

LOGISTIC = linear_model.LogisticRegression()
TREE = tree.DecisionTreeClassifier(max_depth=3, random_state=0)
NAMED = [("logistic", LOGISTIC), ("tree", TREE), ("bayes", naive_bayes.GaussianNB())]
REGRESSORS = [("ridge", linear_model.Ridge()), ("tree", tree.DecisionTreeRegressor(max_depth=3, random_state=0))]

CLASSIFYING = [
    calibration.CalibratedClassifierCV(svm.LinearSVC(random_state=0), cv=3),
    calibration.CalibratedClassifierCV(TREE, method="isotonic", cv=3),
    calibration.CalibratedClassifierCV(LOGISTIC, method="temperature", cv=3),
    dummy.DummyClassifier(strategy="most_frequent"),
    dummy.DummyClassifier(),
    ensemble.AdaBoostClassifier(n_estimators=5, random_state=0),
    ensemble.BaggingClassifier(svm.LinearSVC(random_state=0), n_estimators=3, random_state=0),
    ensemble.BaggingClassifier(max_features=0.5, n_estimators=3, random_state=0),
    ensemble.StackingClassifier(NAMED, cv=3),
    ensemble.StackingClassifier(NAMED[:2], final_estimator=TREE, passthrough=True, stack_method="predict_proba", cv=3),
    ensemble.VotingClassifier(NAMED, voting="hard"),
    ensemble.VotingClassifier(NAMED, voting="soft", weights=[1, 2, 3]),
    model_selection.GridSearchCV(LOGISTIC, {"C": [0.1, 1.0]}, cv=3),
    multiclass.OneVsOneClassifier(svm.LinearSVC(random_state=0)),
    multiclass.OneVsRestClassifier(LOGISTIC),
    multiclass.OneVsRestClassifier(TREE),
    multiclass.OutputCodeClassifier(LOGISTIC, random_state=0),
]

REGRESSING = [
    compose.TransformedTargetRegressor(linear_model.Ridge(), func=np.log, inverse_func=np.exp),
    compose.TransformedTargetRegressor(linear_model.Ridge(), transformer=preprocessing.StandardScaler()),
    dummy.DummyRegressor(),
    ensemble.AdaBoostRegressor(n_estimators=7, random_state=0),
    ensemble.BaggingRegressor(n_estimators=3, max_features=0.5, random_state=0),
    ensemble.StackingRegressor(REGRESSORS, cv=3),
    ensemble.VotingRegressor(REGRESSORS, weights=[1, 3]),
    linear_model.RANSACRegressor(random_state=0),
]


@pytest.mark.parametrize("estimator", CLASSIFYING, ids=named)
@pytest.mark.parametrize("classes", [["no", "yes"], [1, 2, 7]], ids=["two classes", "three classes"])
def test_a_compiled_classifier_of_others_answers_alike(
    estimator: Any, classes: list[Any], rows: pd.DataFrame, target: Any
) -> None:
    labels = np.array(classes)[pd.qcut(target, len(classes), labels=False)]
    pair = both(estimator.fit(rows, labels), rows)
    assert_equal(pair, pair.table)
    assert_equal(pair, shuffled(pair.table))


@pytest.mark.parametrize("estimator", REGRESSING, ids=named)
def test_a_compiled_regressor_of_others_answers_alike(estimator: Any, rows: pd.DataFrame, target: Any) -> None:
    pair = both(estimator.fit(rows, target - target.min() + 1), rows)
    assert_equal(pair, shuffled(pair.table))


@pytest.mark.parametrize(
    "estimator",
    [
        multioutput.MultiOutputRegressor(linear_model.Ridge()),
        multioutput.RegressorChain(tree.DecisionTreeRegressor(max_depth=4, random_state=0), order=[1, 0]),
    ],
    ids=named,
)
def test_a_compiled_regressor_a_target_answers_alike(estimator: Any, rows: pd.DataFrame, target: Any) -> None:
    pair = both(estimator.fit(rows, np.stack([target, target**2], axis=1)), rows)
    assert_equal(pair, shuffled(pair.table))


def test_a_compiled_classifier_a_target_answers_alike(rows: pd.DataFrame, target: Any) -> None:
    labels = np.stack([np.where(target > 1, "x", "y"), np.where(rows["b"] > 0, "up", "down")], axis=1)
    pair = both(multioutput.MultiOutputClassifier(LOGISTIC).fit(rows, labels), rows)
    assert_equal(pair, shuffled(pair.table))


def test_a_compiled_classifier_that_trained_itself_answers_alike(rows: pd.DataFrame, target: Any) -> None:
    labels = np.where(rows["d"] > 2, -1, (target > 1).astype(int))
    pair = both(semi_supervised.SelfTrainingClassifier(LOGISTIC).fit(rows, labels), rows)
    assert_equal(pair, shuffled(pair.table))


@pytest.mark.parametrize("threshold", [0.2, 0.8])
@pytest.mark.parametrize("positive", ["no", "yes"])
def test_a_threshold_of_ones_own_is_kept(threshold: float, positive: str, rows: pd.DataFrame, target: Any) -> None:
    labels = np.where(target > 1, "yes", "no")
    model = model_selection.FixedThresholdClassifier(
        LOGISTIC, threshold=threshold, pos_label=positive, response_method="predict_proba"
    )
    pair = both(model.fit(rows, labels), rows)
    assert_equal(pair, shuffled(pair.table))


def test_a_threshold_that_was_tuned_is_kept(rows: pd.DataFrame, target: Any) -> None:
    model = model_selection.TunedThresholdClassifierCV(LOGISTIC, cv=3).fit(rows, np.where(target > 1, 1, 0))
    pair = both(model, rows)
    assert_equal(pair, shuffled(pair.table))


@pytest.mark.parametrize("bounds", ["clip", "nan"])
def test_a_compiled_isotonic_line_ends_as_it_was_told_to(bounds: str, rows: pd.DataFrame, target: Any) -> None:
    fitted = isotonic.IsotonicRegression(out_of_bounds=bounds).fit(rows[["a"]], target)
    wide = pd.DataFrame({"x0": np.linspace(-20, 20, 101)})
    pair = both(fitted, wide)
    assert_equal(pair, pair.table)
