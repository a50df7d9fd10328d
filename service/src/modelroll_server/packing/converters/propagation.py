"""Labels that spread from rows that have one to rows that are near."""

from typing import Any

import numpy as np

from modelroll_server.packing.converters.distances import by_products, squared
from modelroll_server.packing.converters.frame import Frame
from modelroll_server.packing.converters.registry import Answers, CannotCompile, predictor
from modelroll_server.packing.graph import Graph


@predictor("LabelPropagation", "LabelSpreading")
def label_propagation(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The distributions of labels of the rows that it was fitted on, weighted by a kernel, or of the nearest."""
    fitted = np.asarray(estimator.X_, np.float64)
    distributions = np.asarray(estimator.label_distributions_, np.float64)
    if estimator.kernel == "rbf":
        weights = graph.op("Exp", by_products(graph, frame.numbers(), fitted) * -float(estimator.gamma))
        total = weights @ distributions
    elif estimator.kernel == "knn":
        distance = squared(graph, frame.numbers(), fitted)
        count = np.array([estimator.n_neighbors], np.int64)
        _, nearest = graph.ops("TopK", distance, count, dtypes=(None, np.int64), axis=1, largest=0, sorted=1)
        total = graph.sum(graph.op("Gather", graph.constant(distributions), nearest, axis=0), keep=False)
    else:
        raise CannotCompile("its kernel is a function")
    probability = total / graph.sum(total)
    return Answers(graph.argmax(probability), probability)
