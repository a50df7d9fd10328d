"""Whose centre is nearest, one level at a time or with probabilities."""

from typing import Any

import numpy as np

from modelroll_server.packing.converters.distances import squared
from modelroll_server.packing.converters.frame import Frame
from modelroll_server.packing.converters.registry import Answers, CannotCompile, predictor
from modelroll_server.packing.graph import Graph, Value


@predictor("NearestCentroid")
def nearest_centroid(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The class of the nearest centroid; its probabilities are those of a discriminant with one spread a column.

    Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, equation 18.2.
    """
    if estimator.metric != "euclidean":
        raise CannotCompile(f"it measures {estimator.metric} distances")
    values, centroids = frame.numbers(), np.asarray(estimator.centroids_, np.float64)
    nearest = graph.argmin(squared(graph, values, centroids))
    if not hasattr(estimator, "predict_proba"):  # before scikit-learn 1.6
        return Answers(nearest)
    prior = np.asarray(estimator.class_prior_, np.float64)
    spread = np.asarray(estimator.within_class_std_dev_, np.float64)
    spread = np.where(spread == 0, 1.0, spread)
    score = squared(graph, values / spread, centroids / spread) * -1.0 + 2.0 * np.log(prior)
    even = np.allclose(prior, 1 / len(prior))
    difference = score.column(1) - score.column(0) if len(prior) == 2 else score
    return Answers(nearest if even else graph.argmax(score), graph.softmax(score), difference)


@predictor("BisectingKMeans")
def bisecting_k_means(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """Down the tree of clusters, to the nearer of two centres each time."""
    values, mean = frame.numbers(), getattr(estimator, "_X_mean", 0.0)

    def label(node: Any) -> Value | int:
        if node.left is None:
            return int(node.label)
        centres = np.stack([node.left.center, node.right.center]) + mean
        distance = values @ np.ascontiguousarray(centres.T) * -2.0 + np.sum(centres * centres, axis=1)
        left, right = (graph.constant(one, np.int64) if isinstance(one, int) else one for one in map(label, _two(node)))
        return graph.where(distance.column(0).at_most(distance.column(1)), left, right, np.int64)

    found = label(estimator._bisecting_tree)  # noqa: SLF001 - nowhere else
    if isinstance(found, int):
        raise CannotCompile("it found one cluster")
    return Answers(found)


def _two(node: Any) -> tuple[Any, Any]:
    return node.left, node.right
