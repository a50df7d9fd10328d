"""Compiled estimators answer as scikit-learn does: on their samples, and on rows that mix the samples' values.

The equality check of `pack` asks more of each model; here every family is asked, and quickly.
"""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import (
    cluster,
    covariance,
    discriminant_analysis,
    ensemble,
    gaussian_process,
    kernel_ridge,
    linear_model,
    mixture,
    naive_bayes,
    neighbors,
    neural_network,
    svm,
    tree,
)

from both_runtimes import assert_equal, both, named, shuffled

pytestmark = pytest.mark.filterwarnings("ignore")  # models stopped early, on purpose

CLASSIFIERS = [
    discriminant_analysis.LinearDiscriminantAnalysis(),
    discriminant_analysis.QuadraticDiscriminantAnalysis(),
    ensemble.ExtraTreesClassifier(10, random_state=0),
    ensemble.GradientBoostingClassifier(n_estimators=10, random_state=0),
    ensemble.HistGradientBoostingClassifier(max_iter=10, random_state=0),
    ensemble.RandomForestClassifier(10, random_state=0),
    ensemble.RandomForestClassifier(10, min_samples_leaf=5, random_state=0),
    linear_model.LogisticRegression(),
    linear_model.Perceptron(random_state=0),
    linear_model.RidgeClassifier(),
    linear_model.SGDClassifier(random_state=0),
    linear_model.SGDClassifier(loss="log_loss", random_state=0),
    linear_model.SGDClassifier(loss="modified_huber", random_state=0),
    naive_bayes.BernoulliNB(),
    naive_bayes.GaussianNB(),
    neighbors.KNeighborsClassifier(3),
    neighbors.KNeighborsClassifier(5, weights="distance", p=1),
    neural_network.MLPClassifier((8,), max_iter=30, random_state=0),
    neural_network.MLPClassifier((8, 4), activation="tanh", max_iter=30, random_state=0),
    svm.LinearSVC(random_state=0),
    svm.SVC(),
    svm.SVC(kernel="poly", decision_function_shape="ovo"),
    svm.NuSVC(kernel="linear", break_ties=True),
    tree.DecisionTreeClassifier(random_state=0),
    tree.ExtraTreeClassifier(max_depth=4, random_state=0),
]

REGRESSORS = [
    ensemble.ExtraTreesRegressor(10, random_state=0),
    ensemble.GradientBoostingRegressor(n_estimators=10, random_state=0),
    ensemble.GradientBoostingRegressor(n_estimators=5, init="zero", random_state=0),
    ensemble.HistGradientBoostingRegressor(max_iter=10, random_state=0),
    ensemble.HistGradientBoostingRegressor(max_iter=10, loss="poisson", random_state=0),
    ensemble.RandomForestRegressor(10, random_state=0),
    gaussian_process.GaussianProcessRegressor(gaussian_process.kernels.Matern(nu=2.5), alpha=1.0),
    kernel_ridge.KernelRidge(kernel="rbf"),
    linear_model.ARDRegression(),
    linear_model.BayesianRidge(),
    linear_model.ElasticNet(),
    linear_model.GammaRegressor(),
    linear_model.HuberRegressor(max_iter=1000),
    linear_model.LassoLars(alpha=0.01),
    linear_model.LinearRegression(),
    linear_model.PoissonRegressor(),
    linear_model.Ridge(),
    linear_model.SGDRegressor(random_state=0),
    linear_model.TweedieRegressor(power=0),
    neighbors.KNeighborsRegressor(),
    neighbors.KNeighborsRegressor(3, weights="distance"),
    neural_network.MLPRegressor(hidden_layer_sizes=(8,), max_iter=30, random_state=0),
    svm.LinearSVR(random_state=0),
    svm.SVR(),
    svm.NuSVR(kernel="sigmoid"),
    tree.DecisionTreeRegressor(random_state=0),
]

WITHOUT_TARGET = [
    cluster.AffinityPropagation(random_state=0),
    cluster.Birch(threshold=0.8),
    cluster.KMeans(4, n_init=1, random_state=0),
    cluster.MeanShift(),
    cluster.MiniBatchKMeans(4, n_init=1, random_state=0),
    covariance.EllipticEnvelope(random_state=0),
    ensemble.IsolationForest(n_estimators=20, random_state=0),
    linear_model.SGDOneClassSVM(random_state=0),
    mixture.BayesianGaussianMixture(n_components=3, random_state=0),
    mixture.BayesianGaussianMixture(n_components=2, covariance_type="diag", random_state=0),
    mixture.GaussianMixture(3, random_state=0),
    mixture.GaussianMixture(2, covariance_type="tied", random_state=0),
    svm.OneClassSVM(),
]

SEVERAL_TARGETS = [
    ensemble.ExtraTreesRegressor(5, random_state=0),
    linear_model.LinearRegression(),
    linear_model.MultiTaskLasso(alpha=0.01),
    neighbors.KNeighborsRegressor(),
    neural_network.MLPRegressor(hidden_layer_sizes=(8,), max_iter=30, random_state=0),
    tree.DecisionTreeRegressor(random_state=0),
]


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=named)
@pytest.mark.parametrize("classes", [["no", "yes"], [0, 1, 7]], ids=["two classes", "three classes"])
def test_a_compiled_classifier_answers_alike(
    estimator: Any, classes: list[Any], rows: pd.DataFrame, target: Any
) -> None:
    labels = np.array(classes)[pd.qcut(target, len(classes), labels=False)]
    pair = both(estimator.fit(rows, labels), rows)
    assert_equal(pair, pair.table)
    assert_equal(pair, shuffled(pair.table))


@pytest.mark.parametrize("estimator", REGRESSORS, ids=named)
def test_a_compiled_regressor_answers_alike(estimator: Any, rows: pd.DataFrame, target: Any) -> None:
    pair = both(estimator.fit(rows, target - target.min() + 1), rows)
    assert_equal(pair, pair.table)
    assert_equal(pair, shuffled(pair.table))


@pytest.mark.parametrize("estimator", WITHOUT_TARGET, ids=named)
def test_a_compiled_clustering_or_outlier_detector_answers_alike(estimator: Any, rows: pd.DataFrame) -> None:
    pair = both(estimator.fit(rows), rows)
    assert_equal(pair, pair.table)
    assert_equal(pair, shuffled(pair.table))


@pytest.mark.parametrize("estimator", SEVERAL_TARGETS, ids=named)
def test_a_compiled_model_of_two_targets_answers_alike(estimator: Any, rows: pd.DataFrame, target: Any) -> None:
    pair = both(estimator.fit(rows, np.stack([target, -2 * target], axis=1)), rows)
    assert pair.trained.predict(pair.table).prediction.shape == (len(rows), 2)
    assert_equal(pair, shuffled(pair.table))


@pytest.mark.parametrize(
    "estimator",
    [tree.DecisionTreeClassifier(random_state=0), ensemble.ExtraTreesClassifier(5, random_state=0)],
    ids=named,
)
def test_a_compiled_classifier_of_two_outputs_answers_alike(estimator: Any, rows: pd.DataFrame, target: Any) -> None:
    labels = np.stack([np.where(target > 1, "x", "y"), np.where(rows["b"] > 0, "up", "down")], axis=1)
    pair = both(estimator.fit(rows, labels), rows)
    assert_equal(pair, shuffled(pair.table))


def test_a_compiled_tree_decides_on_both_sides_of_every_threshold_as_scikit_learn_does(
    rows: pd.DataFrame, target: Any
) -> None:
    """Exactly: the sum of a forest decides ties by its last bit, and a threshold lies between two doubles."""
    labels = pd.qcut(target, 2, labels=False)
    forest = ensemble.RandomForestClassifier(20, min_samples_leaf=4, random_state=0).fit(rows.to_numpy(), labels)
    near: list[Any] = []
    for one in forest.estimators_:
        for feature, threshold in zip(one.tree_.feature, one.tree_.threshold, strict=True):
            for value in (np.float32(threshold), threshold, np.nextafter(np.float32(threshold), np.float32(np.inf))):
                row = rows.to_numpy()[len(near) % len(rows)].copy()
                row[feature] = value
                near.append(row)
    pair = both(forest, rows)
    table = type(pair.table)(pair.table.names, np.array(near), len(near))
    expected, found = pair.trained.predict(table), pair.compiled.predict(table)
    assert np.array_equal(np.asarray(expected.probability), np.asarray(found.probability))
    assert expected.prediction.tolist() == found.prediction.tolist()
    assert len(near) > 500


def test_missing_numbers_go_down_a_compiled_tree_as_they_were_trained_to(rows: pd.DataFrame, target: Any) -> None:
    holes = rows.mask(np.random.default_rng(1).random(rows.shape) < 0.2)
    for estimator in (
        ensemble.RandomForestRegressor(5, random_state=0),
        ensemble.HistGradientBoostingRegressor(max_iter=5),
    ):
        pair = both(estimator.fit(holes, target), holes)
        assert_equal(pair, shuffled(pair.table))
