"""Models that are one product of matrices and a link."""

from typing import Any

import numpy as np

from modelroll_server.packing.converters.frame import Frame
from modelroll_server.packing.converters.registry import Answers, CannotCompile, predictor
from modelroll_server.packing.converters.trees import outlier
from modelroll_server.packing.graph import Graph, Value


@predictor(
    "ARDRegression",
    "BayesianRidge",
    "ElasticNet",
    "ElasticNetCV",
    "HuberRegressor",
    "Lars",
    "LarsCV",
    "Lasso",
    "LassoCV",
    "LassoLars",
    "LassoLarsCV",
    "LassoLarsIC",
    "LinearRegression",
    "LinearSVR",
    "MultiTaskElasticNet",
    "MultiTaskElasticNetCV",
    "MultiTaskLasso",
    "MultiTaskLassoCV",
    "OrthogonalMatchingPursuit",
    "OrthogonalMatchingPursuitCV",
    "PassiveAggressiveRegressor",
    "QuantileRegressor",
    "Ridge",
    "RidgeCV",
    "SGDRegressor",
    "TheilSenRegressor",
)
def regressor(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The product; the shape of the target is the shape of the coefficients."""
    coefficients = np.asarray(estimator.coef_, np.float64)
    product = _product(frame, coefficients, estimator.intercept_)
    one_dimensional = coefficients.ndim == 1 and np.ndim(estimator.intercept_) == 0
    if type(estimator).__name__ in {"LinearSVR", "SGDRegressor", "PassiveAggressiveRegressor"}:
        one_dimensional = True
    return Answers(product.reshape(-1) if one_dimensional else product)


@predictor("PoissonRegressor", "GammaRegressor", "TweedieRegressor")
def generalized(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The product through the inverse of the link."""
    raw = _product(frame, np.asarray(estimator.coef_), estimator.intercept_).reshape(-1)
    link = getattr(estimator, "link", "log")
    if link == "auto":
        link = "identity" if estimator.power <= 0 else "log"
    return Answers(raw if link == "identity" else graph.op("Exp", raw))


@predictor("PLSRegression", "PLSCanonical", "CCA")
def partial_least_squares(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The product, of columns from which their means are taken."""
    centred = frame.numbers() - np.asarray(estimator._x_mean)  # noqa: SLF001 - nowhere else
    product = centred @ np.asarray(estimator.coef_, np.float64).T + np.asarray(estimator.intercept_)
    one_dimensional = getattr(estimator, "_predict_1d", False)
    return Answers(product.reshape(-1) if one_dimensional else product)


@predictor("LogisticRegression", "LogisticRegressionCV")
def logistic_regression(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """Softmax of the scores; for two classes, and one against the rest, by the logistic function."""
    score = _product(frame, np.asarray(estimator.coef_), estimator.intercept_)
    solver, multi_class = estimator.solver, getattr(estimator, "multi_class", "auto")
    two = len(estimator.classes_) == 2
    if (
        multi_class == "ovr"
        or (solver == "liblinear" and multi_class != "multinomial")
        or (two and multi_class != "multinomial")
    ):
        return _one_against_rest(graph, estimator, score)
    if two:
        doubled = graph.concat([-score, score])
        return Answers(_labels(graph, estimator, score), graph.softmax(doubled), score.reshape(-1))
    return Answers(_labels(graph, estimator, score), graph.softmax(score), score)


@predictor("RidgeClassifier", "RidgeClassifierCV", "LinearSVC", "Perceptron", "PassiveAggressiveClassifier")
def classifier(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The sign, or the largest, of the scores."""
    if np.ndim(estimator.classes_[0]) or isinstance(estimator.classes_, list):
        raise CannotCompile("many labels at once")
    score = _product(frame, np.asarray(estimator.coef_), estimator.intercept_)
    return Answers(_labels(graph, estimator, score), None, _scores(estimator, score))


@predictor("SGDClassifier")
def stochastic_gradient(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """As other linear classifiers; probabilities by the loss that it was fitted with."""
    score = _product(frame, np.asarray(estimator.coef_), estimator.intercept_)
    labels = _labels(graph, estimator, score)
    if estimator.loss == "log_loss":
        answers = _one_against_rest(graph, estimator, score)
        return Answers(labels, answers.probability, answers.score)
    if estimator.loss != "modified_huber":
        return Answers(labels, None, _scores(estimator, score))
    share = (graph.op("Max", graph.op("Min", score, 1.0), -1.0) + 1.0) / 2.0
    if len(estimator.classes_) == 2:
        return Answers(labels, graph.complement(share), score.reshape(-1))
    total = graph.sum(share)
    none = total.equals(0.0)
    even = graph.where(none, graph.op("Add", share, 1.0), share)
    return Answers(labels, even / graph.where(none, float(len(estimator.classes_)), total), score)


@predictor("LinearDiscriminantAnalysis")
def linear_discriminant(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """Softmax of the scores; for two classes the logistic function."""
    score = _product(frame, np.asarray(estimator.coef_), estimator.intercept_)
    labels = _labels(graph, estimator, score)
    if len(estimator.classes_) == 2:
        return Answers(labels, graph.complement(graph.op("Sigmoid", score)), score.reshape(-1))
    return Answers(labels, graph.softmax(score), score)


@predictor("SGDOneClassSVM")
def one_class(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The product less its offset."""
    score = _product(frame, np.asarray(estimator.coef_), 0.0) - float(estimator.offset_[0])
    return outlier(graph, score)


def _product(frame: Frame, coefficients: Any, intercept: Any) -> Value:
    """[rows, targets]."""
    weights = np.atleast_2d(np.asarray(coefficients, np.float64)).T
    product = frame.numbers() @ np.ascontiguousarray(weights)
    return product + np.asarray(intercept, np.float64).reshape(-1) if np.any(intercept) else product


def _scores(estimator: Any, score: Value) -> Value:
    return score.reshape(-1) if len(estimator.classes_) == 2 else score


def _labels(graph: Graph, estimator: Any, score: Value) -> Value:
    if len(estimator.classes_) > 2:
        return graph.argmax(score)
    return score.reshape(-1).above(0.0).cast(np.int64)


def _one_against_rest(graph: Graph, estimator: Any, score: Value) -> Answers:
    share = graph.op("Sigmoid", score)
    labels = _labels(graph, estimator, score)
    if len(estimator.classes_) == 2:
        return Answers(labels, graph.complement(share), score.reshape(-1))
    return Answers(labels, share / graph.sum(share), score)
