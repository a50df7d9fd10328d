"""How dense it is around a row, beside how dense it is around its neighbours."""

from typing import Any

import numpy as np

from modelroll_server.packing.converters.distances import powered
from modelroll_server.packing.converters.frame import Frame
from modelroll_server.packing.converters.registry import Answers, CannotCompile, predictor
from modelroll_server.packing.converters.trees import outlier
from modelroll_server.packing.graph import Graph

_MAX_KEPT = 200_000


@predictor("LocalOutlierFactor")
def local_outlier_factor(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The mean density of the neighbours over the row's own: Breunig and others, LOF, 2000."""
    kept = estimator._fit_X  # noqa: SLF001 - nowhere else
    if hasattr(kept, "toarray") or len(kept) > _MAX_KEPT:
        raise CannotCompile(f"it keeps {kept.shape[0]:,} rows, and looks at each of them when it is compiled")
    fitted = np.asarray(kept, np.float64)
    distance = powered(graph, frame.numbers(), estimator, fitted)
    count = np.array([estimator.n_neighbors_], np.int64)
    near, indexes = graph.ops("TopK", distance, count, dtypes=(None, np.int64), axis=1, largest=0, sorted=1)
    if estimator.effective_metric_ in {"euclidean", "minkowski"} and estimator.p == 2:
        near = graph.op("Sqrt", near)
    farthest = np.asarray(estimator._distances_fit_X_[:, estimator.n_neighbors_ - 1], np.float64)
    density = np.asarray(estimator._lrd, np.float64)  # noqa: SLF001 - the same
    reach = graph.op("Max", near, graph.op("Gather", graph.constant(farthest), indexes, axis=0))
    own = graph.reduce("Mean", reach) + 1e-10
    factor = graph.reduce("Mean", graph.op("Gather", graph.constant(density), indexes, axis=0) * own)
    return outlier(graph, -factor - float(estimator.offset_))
