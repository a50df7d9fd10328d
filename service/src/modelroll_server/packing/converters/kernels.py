"""Kernels between rows and what was kept of training: support vectors, Gaussian processes, kernel ridge."""

from typing import Any

import numpy as np

from modelroll_server.packing.converters.distances import squared
from modelroll_server.packing.converters.frame import Frame
from modelroll_server.packing.converters.registry import Answers, CannotCompile, predictor
from modelroll_server.packing.graph import Graph, Value
from modelroll_server.tensors import Array


@predictor("SVR", "NuSVR")
def support_vector_regressor(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The kernel with each support vector, weighted."""
    return Answers(_decision(graph, estimator, frame).reshape(-1))


@predictor("OneClassSVM")
def one_class(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The same; what is below zero is an outlier."""
    score = _decision(graph, estimator, frame).reshape(-1)
    return Answers(graph.where(score.above(0.0), 1, -1, np.int64), score=score)


@predictor("SVC", "NuSVC")
def support_vector_classifier(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """One classifier a pair of classes, and a vote."""
    if hasattr(estimator, "predict_proba"):
        raise CannotCompile("its probabilities come from an iteration over pairs of classes (probability=True)")
    count = len(estimator.classes_)
    if count == 2:
        score = _decision(graph, estimator, frame).reshape(-1)
        return Answers(score.above(0.0).cast(np.int64), score=score)
    kernel = _support_kernel(graph, estimator, frame)
    weights, pairs = _pairwise(estimator)
    decisions = kernel @ weights + np.asarray(estimator.intercept_)
    # A decision of zero votes for the second class, and counts for the first in the scores, as scikit-learn has it.
    votes = _votes(graph, decisions.above(0.0).cast(np.float64), pairs, count)
    scores = one_against_one(graph, decisions.at_least(0.0).cast(np.float64), decisions, pairs, count)
    score = scores if estimator.decision_function_shape == "ovr" else decisions
    if estimator.break_ties and estimator.decision_function_shape == "ovr":
        return Answers(graph.argmax(scores), score=score)
    return Answers(graph.argmax(votes), score=score)


@predictor("KernelRidge")
def kernel_ridge(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The kernel with each row of training, weighted."""
    parameters = (estimator.kernel, estimator.gamma, estimator.coef0, estimator.degree)
    fitted = np.asarray(estimator.X_fit_, np.float64)
    gamma = 1.0 / fitted.shape[1] if estimator.gamma is None else float(estimator.gamma)
    kernel = _kernel(graph, frame.numbers(), fitted, parameters[0], (gamma, parameters[2], parameters[3]))
    weights = np.asarray(estimator.dual_coef_, np.float64)
    return Answers(kernel @ weights if weights.ndim == 2 else (kernel @ weights.reshape(-1, 1)).reshape(-1))


@predictor("GaussianProcessRegressor")
def gaussian_process_regressor(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The mean of the process."""
    if not hasattr(estimator, "X_train_"):
        raise CannotCompile("it was not fitted")
    kernel = covariance(graph, estimator.kernel_, frame.numbers(), np.asarray(estimator.X_train_, np.float64))
    weights = np.asarray(estimator.alpha_, np.float64)
    mean = kernel @ (weights if weights.ndim == 2 else weights.reshape(-1, 1))
    mean = mean * np.asarray(estimator._y_train_std) + np.asarray(estimator._y_train_mean)  # noqa: SLF001 - nowhere else
    return Answers(mean if weights.ndim == 2 and weights.shape[1] > 1 else mean.reshape(-1))


def covariance(graph: Graph, kernel: Any, values: Value, fitted: Array) -> Value:
    """A kernel of `sklearn.gaussian_process` between rows and what it was fitted on: [rows, fitted]."""
    kind = type(kernel).__name__
    if kind in {"Sum", "Product"}:
        one, other = (covariance(graph, part, values, fitted) for part in (kernel.k1, kernel.k2))
        return one + other if kind == "Sum" else one * other
    if kind == "ConstantKernel":
        return (values.take([0]) * 0.0 + float(kernel.constant_value)) * np.ones(len(fitted))
    if kind == "WhiteKernel":
        return (values.take([0]) * 0.0) * np.zeros(len(fitted))
    if kind == "DotProduct":
        return values @ np.ascontiguousarray(fitted.T) + float(kernel.sigma_0) ** 2
    if kind not in {"RBF", "Matern", "RationalQuadratic"}:
        raise CannotCompile(f"its kernel is a {kind}")
    scale = np.asarray(kernel.length_scale, np.float64)
    if kind == "RationalQuadratic":
        distance = squared(graph, values, fitted)
        base = distance / float(2 * kernel.alpha * kernel.length_scale**2) + 1.0
        return graph.op("Pow", base, -float(kernel.alpha))
    distance = squared(graph, values / scale, fitted / scale)
    if kind == "RBF" or kernel.nu == np.inf:
        return graph.op("Exp", distance * -0.5)
    root = graph.op("Sqrt", distance)
    if kernel.nu == 0.5:
        return graph.op("Exp", -root)
    if kernel.nu not in {1.5, 2.5}:
        raise CannotCompile(f"its Matern kernel has nu {kernel.nu}")
    scaled = root * float(np.sqrt(2 * kernel.nu))
    factor = scaled + 1.0 if kernel.nu == 1.5 else scaled + scaled * scaled / 3.0 + 1.0
    return factor * graph.op("Exp", -scaled)


def _decision(graph: Graph, estimator: Any, frame: Frame) -> Value:
    kernel = _support_kernel(graph, estimator, frame)
    weights = np.ascontiguousarray(_dense(estimator.dual_coef_).T)
    return kernel @ weights + np.asarray(estimator.intercept_, np.float64)


def _support_kernel(graph: Graph, estimator: Any, frame: Frame) -> Value:
    if callable(estimator.kernel) or estimator.kernel == "precomputed":
        raise CannotCompile("its kernel is a function")
    vectors = _dense(estimator.support_vectors_)
    gamma = float(estimator._gamma)  # noqa: SLF001 - nowhere else
    return _kernel(graph, frame.numbers(), vectors, estimator.kernel, (gamma, estimator.coef0, estimator.degree))


def _kernel(graph: Graph, values: Value, others: Array, kind: Any, parameters: tuple[float, float, float]) -> Value:
    gamma, constant, degree = parameters
    if kind == "rbf":
        return graph.op("Exp", squared(graph, values, others) * -gamma)
    product = values @ np.ascontiguousarray(others.T)
    if kind == "linear":
        return product
    scaled = product * gamma + float(constant)
    if kind in {"poly", "polynomial"}:
        return graph.op("Pow", scaled, float(degree))
    if kind == "sigmoid":
        return graph.op("Tanh", scaled)
    raise CannotCompile(f"its kernel is {kind}")


def _pairwise(estimator: Any) -> tuple[Array, list[tuple[int, int]]]:
    """The weights of each support vector in the classifier of each pair of classes, as libsvm keeps them."""
    dual, counts = _dense(estimator.dual_coef_), [int(count) for count in estimator.n_support_]
    starts = np.cumsum([0, *counts])
    pairs = [(one, other) for one in range(len(counts)) for other in range(one + 1, len(counts))]
    weights = np.zeros((int(starts[-1]), len(pairs)))
    for place, (one, other) in enumerate(pairs):
        first, second = slice(starts[one], starts[one + 1]), slice(starts[other], starts[other + 1])
        weights[first, place] = dual[other - 1, first]
        weights[second, place] = dual[one, second]
    return weights, pairs


def one_against_one(graph: Graph, for_first: Value, sure: Value, pairs: list[tuple[int, int]], count: int) -> Value:
    """Votes, and within a vote how sure they were: `_ovr_decision_function` in `sklearn.utils.multiclass`.

    Args:
        graph: Where it goes.
        for_first: 1.0 where a pair decides for its first class, [rows, pairs].
        sure: How sure it is of that.
        pairs: The two classes of each.
        count: How many classes.
    """
    signs = np.zeros((len(pairs), count))
    for place, (one, other) in enumerate(pairs):
        signs[place, one], signs[place, other] = 1.0, -1.0
    confidence = sure @ signs
    votes = _votes(graph, for_first, pairs, count)
    return votes + confidence / ((graph.op("Abs", confidence) + 1.0) * 3.0)


def _votes(graph: Graph, for_first: Value, pairs: list[tuple[int, int]], count: int) -> Value:
    first, second = np.zeros((len(pairs), count)), np.zeros((len(pairs), count))
    for place, (one, other) in enumerate(pairs):
        first[place, one] = second[place, other] = 1.0
    return for_first @ first + (graph.constant(1.0) - for_first) @ second


def _dense(values: Any) -> Array:
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values, np.float64)
