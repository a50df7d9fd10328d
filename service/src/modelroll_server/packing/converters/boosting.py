"""Gradient boosting: trees added to a first guess, and the link from their sum to an answer."""

from typing import Any

import numpy as np

from modelroll_server.packing.converters import trees
from modelroll_server.packing.converters.frame import Frame
from modelroll_server.packing.converters.registry import Answers, CannotCompile, predictor
from modelroll_server.packing.graph import Graph, Value
from modelroll_server.tensors import Array

_LEAF = np.array([-1])


@predictor("GradientBoostingClassifier")
def gradient_boosting_classifier(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """Labels by the sign (or the largest) of the sum, probabilities by its link."""
    raw = _gradient_boosting(graph, estimator, frame)
    if len(estimator.classes_) > 2:
        return _most_probable(graph, raw)
    flat = raw.reshape(-1)
    second = graph.op("Sigmoid", raw * 2.0 if estimator.loss == "exponential" else raw)
    return Answers(flat.at_least(0.0).cast(np.int64), graph.complement(second), flat)


@predictor("GradientBoostingRegressor")
def gradient_boosting_regressor(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The sum itself."""
    return Answers(_gradient_boosting(graph, estimator, frame).reshape(-1))


@predictor("HistGradientBoostingClassifier")
def hist_gradient_boosting_classifier(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """Labels by the sign (or the largest) of the sum, probabilities by its link."""
    raw = _hist_gradient_boosting(graph, estimator, frame)
    if len(estimator.classes_) > 2:
        return _most_probable(graph, raw)
    flat = raw.reshape(-1)
    return Answers(flat.above(0.0).cast(np.int64), graph.complement(graph.op("Sigmoid", raw)), flat)


@predictor("HistGradientBoostingRegressor")
def hist_gradient_boosting_regressor(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The sum, through the inverse of the loss's link."""
    raw = _hist_gradient_boosting(graph, estimator, frame).reshape(-1)
    return Answers(graph.op("Exp", raw) if estimator.loss in {"poisson", "gamma"} else raw)


def _most_probable(graph: Graph, raw: Value) -> Answers:
    return Answers(graph.argmax(raw), graph.softmax(raw), raw)


def _gradient_boosting(graph: Graph, estimator: Any, frame: Frame) -> Value:
    fitted = estimator.estimators_
    count = fitted.shape[1]
    grown = [_constant(_first_guess(estimator, count))]
    for stage in fitted:
        for target, one in enumerate(stage):
            value = np.zeros((one.tree_.node_count, count))
            value[:, target] = estimator.learning_rate * np.asarray(one.tree_.value)[:, 0, 0]
            grown.append(trees.structure(one.tree_, value))
    return trees.ensemble(graph, trees.as_trees_see_it(frame), grown)


def _first_guess(estimator: Any, count: int) -> Array:
    """What boosting starts from, when it is the same for every row."""
    init = estimator.init_
    if init != "zero" and type(init).__name__ not in {"DummyClassifier", "DummyRegressor"}:
        raise CannotCompile(f"it starts from a {type(init).__name__}")
    zeros = np.zeros((1, estimator.n_features_in_))
    guess: Array = np.asarray(estimator._raw_predict_init(zeros), np.float64)  # noqa: SLF001 - nowhere else
    return guess.reshape(count)


def _hist_gradient_boosting(graph: Graph, estimator: Any, frame: Frame) -> Value:
    if getattr(estimator, "_preprocessor", None) is not None:
        raise CannotCompile("it has categorical features")
    baseline = np.ravel(estimator._baseline_prediction)  # noqa: SLF001 - nowhere else
    count = len(baseline)
    grown = [_constant(baseline)]
    for stage in estimator._predictors:  # noqa: SLF001 - nowhere else
        for target, one in enumerate(stage):
            nodes = one.nodes
            if nodes["is_categorical"].any():
                raise CannotCompile("it has categorical features")
            leaf = nodes["is_leaf"].astype(bool)
            value = np.zeros((len(nodes), count))
            value[:, target] = nodes["value"]
            grown.append(
                trees.Tree(
                    nodes["feature_idx"],
                    nodes["num_threshold"],
                    np.where(leaf, -1, nodes["left"].astype(np.int64)),
                    nodes["right"].astype(np.int64),
                    nodes["missing_go_to_left"],
                    value,
                )
            )
    return trees.ensemble(graph, frame.numbers(), grown)


def _constant(value: Array) -> trees.Tree:
    """A tree of one leaf: so that a sum begins where scikit-learn's begins."""
    return trees.Tree(np.zeros(1), np.zeros(1), _LEAF, _LEAF, np.zeros(1), np.reshape(value, (1, -1)))
