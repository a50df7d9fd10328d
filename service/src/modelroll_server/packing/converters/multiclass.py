"""Classifiers and regressors made of one a class, a pair, or a target."""

from typing import Any

import numpy as np

from modelroll_server.packing.converters.distances import by_products
from modelroll_server.packing.converters.ensembles import zeros
from modelroll_server.packing.converters.frame import Frame
from modelroll_server.packing.converters.kernels import one_against_one
from modelroll_server.packing.converters.registry import Answers, CannotCompile, compile_predictor, predictor
from modelroll_server.packing.graph import Graph, Value


@predictor("OneVsRestClassifier")
def one_against_rest(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The class that is surest of itself."""
    if estimator.multilabel_:
        raise CannotCompile("many labels at once")
    parts = [(one, compile_predictor(graph, one, frame)) for one in estimator.estimators_]
    sure = [_sure(one, answers) for one, answers in parts]
    probability = None
    if all(isinstance(answers.probability, Value) for _, answers in parts):
        columns = [answers.probability.take([1]) for _, answers in parts if isinstance(answers.probability, Value)]
        if len(columns) == 1:
            probability = graph.complement(columns[0])
        else:
            together = graph.concat(columns)
            whole = graph.sum(together)
            probability = together / graph.where(whole.equals(0.0), 1.0, whole)
    if len(sure) == 1:
        threshold = 0.0 if parts[0][1].score is not None else 0.5
        return Answers(sure[0].reshape(-1).above(threshold).cast(np.int64), probability, parts[0][1].score)
    score = graph.concat(sure) if all(answers.score is not None for _, answers in parts) else None
    return Answers(graph.argmax(graph.concat(sure)), probability, score)


@predictor("OneVsOneClassifier")
def pairwise(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """Votes of each pair, ties broken by how sure they were."""
    if estimator.pairwise_indices_ is not None:
        raise CannotCompile("its kernel was computed before")
    count = len(estimator.classes_)
    parts = [(one, compile_predictor(graph, one, frame)) for one in estimator.estimators_]
    sure = graph.concat([_sure(one, answers) for one, answers in parts])
    second = graph.concat([answers.prediction.reshape(-1, 1) for _, answers in parts]).cast(np.float64)
    pairs = [(one, other) for one in range(count) for other in range(one + 1, count)]
    score = one_against_one(graph, graph.constant(1.0) - second, -sure, pairs, count)
    if count > 2:
        return Answers(graph.argmax(score), score=score)
    threshold = 0.0 if parts[0][1].score is not None else 0.5
    flat = score.column(1)
    return Answers(flat.above(threshold).cast(np.int64), score=flat)


@predictor("OutputCodeClassifier")
def output_code(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The class whose code is nearest."""
    sure = [_sure(one, compile_predictor(graph, one, frame)) for one in estimator.estimators_]
    return Answers(graph.argmin(by_products(graph, graph.concat(sure), np.asarray(estimator.code_book_, np.float64))))


@predictor("MultiOutputClassifier")
def outputs_classified(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """One classifier a target."""
    parts = [compile_predictor(graph, one, frame) for one in estimator.estimators_]
    probability = [part.probability for part in parts if isinstance(part.probability, Value)]
    labels = graph.concat([part.prediction.reshape(-1, 1) for part in parts])
    return Answers(labels, probability if len(probability) == len(parts) else None)


@predictor("MultiOutputRegressor")
def outputs_regressed(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """One regressor a target."""
    parts = [compile_predictor(graph, one, frame).prediction.reshape(-1, 1) for one in estimator.estimators_]
    return Answers(graph.concat(parts))


@predictor("RegressorChain")
def chain(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """One regressor a target, each told what those before it said."""
    said: list[Value] = []
    for one in estimator.estimators_:
        columns = [column for value in said for column in Frame.of(value, 1).columns]
        told = Frame(graph, [*frame.columns, *columns])
        said.append(compile_predictor(graph, one, told).prediction.reshape(-1, 1))
    order = [list(estimator.order_).index(index) for index in range(len(said))]
    return Answers(graph.concat([said[place] for place in order]))


@predictor("_ConstantPredictor")
def constant(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """What stands for a classifier of one class."""
    second = zeros(graph, frame) + float(np.ravel(estimator.y_)[0])
    return Answers(second.cast(np.int64).reshape(-1), graph.complement(second), second.reshape(-1))


def _sure(estimator: Any, answers: Answers) -> Value:
    """How sure a classifier of two is of its second class, [rows, 1]."""
    if hasattr(estimator, "decision_function") and answers.score is not None:
        return answers.score.reshape(-1, 1)
    if hasattr(estimator, "decision_function") or not isinstance(answers.probability, Value):
        raise CannotCompile("one of its parts has neither scores nor probabilities")
    return answers.probability.take([1])
