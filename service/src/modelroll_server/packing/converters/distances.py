"""Who is near: neighbours, centres, clusters."""

from typing import Any

import numpy as np

from modelroll_server.packing.converters.frame import Frame
from modelroll_server.packing.converters.registry import Answers, CannotCompile, predictor, transformer
from modelroll_server.packing.converters.trees import outlier
from modelroll_server.packing.graph import Graph, Value
from modelroll_server.tensors import Array

_MAX_DIFFERENCES = 1 << 19  # numbers a row: 4 MiB; with more, distances come from products
_MAX_KEPT = 200_000


def squared(graph: Graph, values: Value, others: Array) -> Value:
    """Squared Euclidean distances, [rows, columns] to [rows, others]: from differences, exact where two are equal."""
    if others.size > _MAX_DIFFERENCES:
        return by_products(graph, values, others)
    difference = values.reshape(-1, 1, others.shape[1]) - others
    return graph.sum(difference * difference, axis=2, keep=False)


def by_products(graph: Graph, values: Value, others: Array) -> Value:
    """The same from products of matrices, as scikit-learn's own pairwise distances are made."""
    product = values @ np.ascontiguousarray(others.T)
    distance = product * -2.0 + graph.sum(values * values) + np.sum(others * others, axis=1)
    return graph.op("Max", distance, 0.0)


def powered(graph: Graph, values: Value, estimator: Any, fitted: Array) -> Value:
    """Distances of a neighbours' estimator, up to a power that keeps their order."""
    metric, power = _metric(estimator)
    if is_euclidean(estimator):
        return squared(graph, values, fitted)
    if fitted.size > _MAX_DIFFERENCES:
        raise CannotCompile(f"it measures {metric} distances to {len(fitted):,} rows")
    difference = graph.op("Abs", values.reshape(-1, 1, fitted.shape[1]) - fitted)
    if metric in {"manhattan", "cityblock", "l1"} or (metric == "minkowski" and power == 1):
        return graph.sum(difference, axis=2, keep=False)
    if metric == "chebyshev":
        return graph.reduce("Max", difference, axis=2, keep=False)
    raise CannotCompile(f"it measures {metric} distances")


def is_euclidean(estimator: Any) -> bool:
    """Whether `powered` gives squares: the distances are their roots."""
    metric, power = _metric(estimator)
    return metric == "euclidean" or (metric == "minkowski" and power == 2)


def fitted_rows(estimator: Any) -> Array:
    """The rows that a neighbours' estimator keeps, [rows, columns]."""
    kept = estimator._fit_X  # noqa: SLF001 - nowhere else
    if kept.shape[0] > _MAX_KEPT:
        raise CannotCompile(f"it keeps {kept.shape[0]:,} rows, and looks at each of them when it is compiled")
    return np.asarray(kept.toarray() if hasattr(kept, "toarray") else kept, np.float64)


@predictor("KNeighborsRegressor")
def neighbours_regressor(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The mean of the nearest, or weighted by distance."""
    indexes, weights = _nearest(graph, estimator, frame)
    target = np.asarray(estimator._y, np.float64)  # noqa: SLF001 - nowhere else
    found = graph.op("Gather", graph.constant(target.reshape(len(target), -1)), indexes, axis=0)
    if weights is None:
        mean = graph.reduce("Mean", found, keep=False)
    else:
        mean = graph.sum(found * weights.reshape(0, 0, 1), keep=False) / graph.sum(weights)
    return Answers(mean.reshape(-1) if target.ndim == 1 else mean)


@predictor("KNeighborsClassifier")
def neighbours_classifier(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The votes of the nearest."""
    if estimator.outputs_2d_:
        raise CannotCompile("many labels at once")
    indexes, weights = _nearest(graph, estimator, frame)
    votes = _votes(graph, estimator._y, len(estimator.classes_), indexes, weights)  # noqa: SLF001 - nowhere else
    return Answers(graph.argmax(votes), votes / graph.sum(votes))


@predictor("RadiusNeighborsRegressor")
def radius_regressor(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The mean of all within a radius; NaN where nobody is."""
    target = np.asarray(estimator._y, np.float64)  # noqa: SLF001 - nowhere else
    within = _within(graph, estimator, frame)
    total = within @ target.reshape(len(target), -1)
    mean = total / graph.sum(within)
    return Answers(mean.reshape(-1) if target.ndim == 1 else mean)


@predictor("KMeans", "MiniBatchKMeans")
def k_means(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The nearest centre."""
    centres = np.asarray(estimator.cluster_centers_, np.float64)
    product = frame.numbers() @ np.ascontiguousarray(centres.T)
    return Answers(graph.argmin(product * -2.0 + np.sum(centres * centres, axis=1)))


@transformer("KMeans", "MiniBatchKMeans")
def distances_to_centres(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """The distance to each centre."""
    centres = np.asarray(estimator.cluster_centers_, np.float64)
    distance = graph.op("Sqrt", by_products(graph, frame.numbers(), centres))
    return Frame.of(distance, len(centres))


@predictor("MeanShift", "AffinityPropagation")
def nearest_centre(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The nearest centre."""
    centres = np.asarray(estimator.cluster_centers_, np.float64)
    if not len(centres):
        raise CannotCompile("it found no cluster")
    return Answers(graph.argmin(by_products(graph, frame.numbers(), centres)))


@predictor("Birch")
def birch(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The label of the nearest subcluster's centre."""
    centres = np.asarray(estimator.subcluster_centers_, np.float64)
    nearest = graph.argmin(by_products(graph, frame.numbers(), centres))
    labels = np.asarray(estimator.subcluster_labels_, np.int64)
    return Answers(graph.op("Gather", graph.constant(labels), nearest, axis=0))


@predictor("EllipticEnvelope")
def elliptic_envelope(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The Mahalanobis distance, less its offset."""
    moved = frame.numbers() - np.asarray(estimator.location_)
    precision = np.asarray(estimator.get_precision(), np.float64)
    distance = graph.sum((moved @ precision) * moved)
    return outlier(graph, -distance - float(estimator.offset_))


def _nearest(graph: Graph, estimator: Any, frame: Frame) -> tuple[Value, Value | None]:
    """The indexes of the nearest, [rows, k], and their weights (None when they are equal)."""
    fitted = fitted_rows(estimator)
    distance = powered(graph, frame.numbers(), estimator, fitted)
    count = np.array([estimator.n_neighbors], np.int64)
    nearest, indexes = graph.ops("TopK", distance, count, dtypes=(None, np.int64), axis=1, largest=0, sorted=1)
    if estimator.weights == "uniform" or estimator.weights is None:
        return indexes, None
    if estimator.weights != "distance":
        raise CannotCompile("its weights are a function")
    far = graph.op("Sqrt", nearest) if is_euclidean(estimator) else nearest
    same = far.equals(0.0)
    any_same = graph.reduce("Max", same.cast(np.float64)).equals(1.0)
    inverse = graph.constant(1.0) / graph.where(same, 1.0, far)
    return indexes, graph.where(any_same, same.cast(np.float64), inverse)


def _metric(estimator: Any) -> tuple[str, float]:
    """Its name, and the power of Minkowski's, which has a meaning for that one alone."""
    more = estimator.effective_metric_params_ or {}
    if more.get("w") is not None:
        raise CannotCompile("its metric weighs the columns")
    return estimator.effective_metric_, more.get("p", estimator.p)


def _votes(graph: Graph, labels: Any, count: int, indexes: Value, weights: Value | None) -> Value:
    hot = np.eye(count)[np.asarray(labels, np.int64).ravel()]
    found = graph.op("Gather", graph.constant(hot), indexes, axis=0)
    return graph.sum(found if weights is None else found * weights.reshape(0, 0, 1), keep=False)


def _within(graph: Graph, estimator: Any, frame: Frame) -> Value:
    if estimator.weights not in {"uniform", None}:
        raise CannotCompile("it weighs by distance")
    distance = powered(graph, frame.numbers(), estimator, fitted_rows(estimator))
    radius = float(estimator.radius)
    return distance.at_most(radius * radius if is_euclidean(estimator) else radius).cast(np.float64)
