"""Perceptrons of many layers."""

from typing import Any

import numpy as np

from modelroll_server.packing.converters.frame import Frame
from modelroll_server.packing.converters.registry import Answers, CannotCompile, predictor, transformer
from modelroll_server.packing.graph import Graph, Value

_ACTIVATIONS = {"logistic": "Sigmoid", "tanh": "Tanh", "relu": "Relu"}


@predictor("MLPRegressor")
def regressor(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The last layer as it is."""
    raw = _through(graph, estimator, frame)
    if estimator.out_activation_ == "exp":
        raw = graph.op("Exp", raw)
    return Answers(raw.reshape(-1) if estimator.n_outputs_ == 1 else raw)


@predictor("MLPClassifier")
def classifier(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The last layer through the logistic function or softmax."""
    raw = _through(graph, estimator, frame)
    if estimator.out_activation_ == "softmax":
        share = graph.softmax(raw)
        return Answers(graph.argmax(share), share)
    if estimator.n_outputs_ > 1:
        raise CannotCompile("many labels at once")
    second = graph.op("Sigmoid", raw)
    return Answers(second.reshape(-1).above(0.5).cast(np.int64), graph.complement(second))


@transformer("BernoulliRBM")
def restricted_boltzmann_machine(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """P(hidden unit)."""
    weights = np.ascontiguousarray(np.asarray(estimator.components_, np.float64).T)
    made = graph.op("Sigmoid", frame.numbers() @ weights + np.asarray(estimator.intercept_hidden_))
    return Frame.of(made, weights.shape[1])


def _through(graph: Graph, estimator: Any, frame: Frame) -> Value:
    values = frame.numbers()
    last = len(estimator.coefs_) - 1
    for index, (weights, bias) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True)):
        values = values @ np.asarray(weights, np.float64) + np.asarray(bias, np.float64)
        if index < last and estimator.activation != "identity":
            values = graph.op(_ACTIVATIONS[estimator.activation], values)
    return values
