"""How dense it is around a row, beside how dense it is around its neighbours."""

from typing import Any

import numpy as np

from modelroll_server.packing.converters.distances import fitted_rows, is_euclidean, powered
from modelroll_server.packing.converters.frame import Frame
from modelroll_server.packing.converters.registry import Answers, predictor
from modelroll_server.packing.converters.trees import outlier
from modelroll_server.packing.graph import Graph


@predictor("LocalOutlierFactor")
def local_outlier_factor(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The mean density of the neighbours over the row's own: Breunig and others, LOF, 2000."""
    distance = powered(graph, frame.numbers(), estimator, fitted_rows(estimator))
    count = np.array([estimator.n_neighbors_], np.int64)
    near, indexes = graph.ops("TopK", distance, count, dtypes=(None, np.int64), axis=1, largest=0, sorted=1)
    if is_euclidean(estimator):
        near = graph.op("Sqrt", near)
    farthest = np.asarray(estimator._distances_fit_X_[:, estimator.n_neighbors_ - 1], np.float64)
    density = np.asarray(estimator._lrd, np.float64)  # noqa: SLF001 - the same
    reach = graph.op("Max", near, graph.op("Gather", graph.constant(farthest), indexes, axis=0))
    own = graph.reduce("Mean", reach) + 1e-10
    factor = graph.reduce("Mean", graph.op("Gather", graph.constant(density), indexes, axis=0) * own)
    return outlier(graph, -factor - float(estimator.offset_))
