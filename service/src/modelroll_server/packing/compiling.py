"""From a fitted estimator and the inputs of its manifest to the bytes of model.onnx, or the reason why not.

Owns the tensors that go into the graph and the ones that come out. That a compiled model may answer is not decided
here: `equality` compares it with scikit-learn.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelroll_server.packing.converters.frame import Column, Frame
from modelroll_server.packing.converters.registry import Answers, CannotCompile, compile_predictor
from modelroll_server.packing.graph import Graph, Value
from modelroll_server.runtimes.onnx import MISSING_TEXTS, PREDICTION, PROBABILITY, SCORE, TENSORS
from modelroll_server.schema import Input
from modelroll_server.tensors import Datatype

MAX_BYTES = 1 << 30  # of a protobuf, two gigabytes would be the end


def compile_model(estimator: Any, inputs: Sequence[Input]) -> bytes:
    """The file model.onnx.

    Args:
        estimator: Fitted.
        inputs: Its columns, as the manifest has them.

    Raises:
        CannotCompile: It is served by scikit-learn; the message says why.
    """
    from modelroll_server.packing import converters

    assert converters.__all__  # importing them registers them
    graph = Graph()
    try:
        with np.errstate(all="ignore"):
            answers = compile_predictor(graph, estimator, _frame(graph, inputs))
            model = graph.model(_outputs(estimator, answers))
    except CannotCompile:
        raise
    except Exception as error:  # attributes of an estimator fitted in a way that no converter has met
        raise CannotCompile(f"{type(estimator).__name__}: {type(error).__name__}: {error}") from error
    if len(model) > MAX_BYTES:
        raise CannotCompile(f"the compiled model has {len(model) >> 20} MB, more than {MAX_BYTES >> 20}")
    return model


def _frame(graph: Graph, inputs: Sequence[Input]) -> Frame:
    counts = {kind: sum(column.datatype is kind for column in inputs) for kind in TENSORS}
    tensors = {kind: graph.input(TENSORS[kind], kind.dtype, count) for kind, count in counts.items() if count}
    missing: Value | None = None
    if any(column.datatype is Datatype.BYTES and column.missing != "refuse" for column in inputs):
        missing = graph.input(MISSING_TEXTS, np.bool_, counts[Datatype.BYTES])
    columns, seen = [], dict.fromkeys(TENSORS, 0)
    for column in inputs:
        kind = column.datatype
        masked = missing if kind is Datatype.BYTES else None
        columns.append(Column(tensors[kind], seen[kind], counts[kind], column.name, masked, column.missing))
        seen[kind] += 1
    return Frame(graph, columns)


def _outputs(estimator: Any, answers: Answers) -> dict[str, Value]:
    """What the estimator has methods for, and only that: the sklearn runtime answers the same."""
    found = {PREDICTION: answers.prediction}
    if hasattr(estimator, "predict_proba"):
        if answers.probability is None:
            raise CannotCompile(f"{type(estimator).__name__}: its probabilities have no converter")
        if isinstance(answers.probability, list):
            return found | {f"{PROBABILITY}_{index}": one for index, one in enumerate(answers.probability)}
        return found | {PROBABILITY: answers.probability}
    if hasattr(estimator, "decision_function"):
        if answers.score is None:
            raise CannotCompile(f"{type(estimator).__name__}: its scores have no converter")
        found[SCORE] = answers.score
    return found
