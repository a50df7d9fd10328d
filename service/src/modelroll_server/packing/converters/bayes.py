"""Naive Bayes, discriminants and mixtures: the likelihood of a row under each class."""

from typing import Any

import numpy as np

from modelroll_server.packing.converters.frame import Frame
from modelroll_server.packing.converters.registry import Answers, predictor
from modelroll_server.packing.graph import Graph, Value
from modelroll_server.tensors import Array


@predictor("GaussianNB")
def gaussian(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """A normal distribution a class and column."""
    mean, variance = np.asarray(estimator.theta_), np.asarray(estimator.var_)
    constant = np.log(estimator.class_prior_) - 0.5 * np.sum(np.log(2.0 * np.pi * variance), axis=1)
    distance = frame.numbers().reshape(-1, 1, frame.width) - mean
    scaled = graph.sum((distance * distance) / variance, axis=2, keep=False)
    return likely(graph, scaled * -0.5 + constant)


@predictor("MultinomialNB", "ComplementNB")
def multinomial(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """Counts, weighted by class."""
    weights = np.ascontiguousarray(np.asarray(estimator.feature_log_prob_, np.float64).T)
    likelihood = frame.numbers() @ weights
    if type(estimator).__name__ == "MultinomialNB" or len(estimator.classes_) == 1:
        likelihood = likelihood + np.asarray(estimator.class_log_prior_)
    return likely(graph, likelihood)


@predictor("BernoulliNB")
def bernoulli(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """What is there and what is not, weighted by class."""
    values = frame.numbers()
    if estimator.binarize is not None:
        values = values.above(float(estimator.binarize)).cast(np.float64)
    present = np.asarray(estimator.feature_log_prob_, np.float64)
    absent = np.log(1.0 - np.exp(present))
    weights = np.ascontiguousarray((present - absent).T)
    return likely(graph, values @ weights + (np.asarray(estimator.class_log_prior_) + absent.sum(axis=1)))


@predictor("CategoricalNB")
def categorical(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """A table a column, looked up by the number that it holds."""
    values = frame.integers()
    total: Value | None = None
    for index, table in enumerate(estimator.feature_log_prob_):
        found = graph.op(
            "Gather",
            graph.constant(np.ascontiguousarray(np.asarray(table, np.float64).T)),
            values.column(index),
            axis=0,
        )
        total = found if total is None else total + found
    assert total is not None
    return likely(graph, total + np.asarray(estimator.class_log_prior_))


@predictor("QuadraticDiscriminantAnalysis")
def quadratic_discriminant(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """A normal distribution a class, by its rotations and scalings."""
    values, columns = frame.numbers(), []
    for index in range(len(estimator.classes_)):
        rotation, scaling = np.asarray(estimator.rotations_[index]), np.asarray(estimator.scalings_[index])
        moved = (values - np.asarray(estimator.means_[index])) @ np.ascontiguousarray(rotation * scaling**-0.5)
        columns.append(graph.sum(moved * moved) + float(np.sum(np.log(scaling))))
    score = graph.concat(columns) * -0.5 + np.log(np.asarray(estimator.priors_))
    answers = likely(graph, score)
    if len(estimator.classes_) > 2:
        return Answers(answers.prediction, answers.probability, score)
    difference = score.column(1) - score.column(0)
    # As scikit-learn from 1.6 on; before, the larger of the two decides, which is the same but for ties.
    return Answers(difference.above(0.0).cast(np.int64), answers.probability, difference)


@predictor("GaussianMixture", "BayesianGaussianMixture")
def mixture(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """A normal distribution a component; the label is the component."""
    score = _log_gaussian(graph, estimator, frame) + _per_component(estimator, frame.width)
    return Answers(graph.argmax(score), graph.softmax(score))


def likely(graph: Graph, score: Value) -> Answers:
    """The class of the largest joint log-likelihood, and the share of each."""
    return Answers(graph.argmax(score), graph.softmax(score))


def _log_gaussian(graph: Graph, estimator: Any, frame: Frame) -> Value:
    values, kind = frame.numbers(), estimator.covariance_type
    means, precisions = np.asarray(estimator.means_), np.asarray(estimator.precisions_cholesky_)
    columns = []
    for index, mean in enumerate(means):
        if kind == "full":
            factor: Array = precisions[index]
        elif kind == "tied":
            factor = precisions
        elif kind == "diag":
            factor = np.diag(precisions[index])
        else:
            factor = np.eye(frame.width) * precisions[index]
        moved = (values - mean) @ np.ascontiguousarray(factor)
        constant = float(np.sum(np.log(np.diag(factor)))) - 0.5 * frame.width * float(np.log(2.0 * np.pi))
        columns.append(graph.sum(moved * moved) * -0.5 + constant)
    return graph.concat(columns)


def _per_component(estimator: Any, columns: int) -> Array:
    """What is added to each component's density: its weight, and in the Bayesian kind what its spread is worth."""
    weights = np.asarray(estimator._estimate_log_weights(), np.float64)  # noqa: SLF001 - scikit-learn's own formula
    if type(estimator).__name__ == "GaussianMixture":
        return weights
    from scipy.special import digamma

    freedom = np.asarray(estimator.degrees_of_freedom_, np.float64)
    spread = columns * np.log(2.0) + digamma(0.5 * (freedom - np.arange(columns)[:, None])).sum(axis=0)
    added = 0.5 * (spread - columns / np.asarray(estimator.mean_precision_)) - 0.5 * columns * np.log(freedom)
    return np.asarray(weights + added)
