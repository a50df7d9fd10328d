"""Estimators made of others, in a row or side by side."""

from typing import Any

import numpy as np

from modelroll_server.packing.converters.frame import Column, Frame
from modelroll_server.packing.converters.registry import (
    Answers,
    CannotCompile,
    compile_predictor,
    compile_transformer,
    predictor,
    transformer,
)
from modelroll_server.packing.graph import Graph


@predictor("Pipeline")
def pipeline(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """Transformers, then a predictor."""
    *steps, last = [step for _, step in estimator.steps]
    return compile_predictor(graph, last, _through(graph, steps, frame))


@transformer("Pipeline")
def transforming_pipeline(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """Transformers in a row."""
    return _through(graph, [step for _, step in estimator.steps], frame)


@transformer("ColumnTransformer")
def column_transformer(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """Transformers side by side, each of some columns."""
    columns: list[Column] = []
    weights = estimator.transformer_weights or {}
    for name, part, _ in estimator.transformers_:
        indexes = list(estimator._transformer_to_input_indices[name])  # noqa: SLF001 - names, masks, slices resolved
        if not indexes or (isinstance(part, str) and part == "drop"):
            continue
        made = _transformed(graph, part, frame.select(int(index) for index in indexes))
        columns += _weighted(made, weights.get(name)).columns
    return Frame(graph, columns)


@transformer("FeatureUnion")
def feature_union(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """Transformers side by side, each of all columns."""
    columns: list[Column] = []
    weights = estimator.transformer_weights or {}
    for name, part in estimator.transformer_list:
        if not (isinstance(part, str) and part == "drop"):
            columns += _weighted(_transformed(graph, part, frame), weights.get(name)).columns
    return Frame(graph, columns)


@predictor("FixedThresholdClassifier", "TunedThresholdClassifierCV")
def threshold(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The label by a threshold of one's own."""
    answers = compile_predictor(graph, estimator.estimator_, frame)
    method, limit = estimator.response_method, getattr(estimator, "best_threshold_", None)
    limit = estimator.threshold if limit is None else limit
    by_probability = method == "predict_proba" or (method == "auto" and answers.probability is not None)
    if limit == "auto":
        limit = 0.5 if by_probability else 0.0
    if len(estimator.classes_) > 2 or isinstance(answers.probability, list):
        raise CannotCompile("it has more than two classes")
    # A tuned one knows its positive class by its scorer, and by nothing public.
    tuned = not hasattr(estimator, "pos_label")
    label = estimator._curve_scorer._get_pos_label() if tuned else estimator.pos_label  # noqa: SLF001 - see above
    positive = 1 if label is None else list(estimator.classes_).index(label)
    if by_probability:
        if answers.probability is None:
            raise CannotCompile("its classifier has no probabilities")
        score = answers.probability.column(positive)
    elif answers.score is None:
        raise CannotCompile("its classifier has no scores")
    else:
        score = answers.score if positive else -answers.score
    is_positive = score.at_least(float(limit))
    index = graph.where(is_positive, positive, 1 - positive, np.int64)
    return Answers(index, answers.probability, answers.score)


@predictor("GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV")
def search(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The best that was found."""
    return compile_predictor(graph, estimator.best_estimator_, frame)


@predictor("RFE", "RFECV")
def feature_elimination(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """A model of the columns that were kept."""
    return compile_predictor(graph, estimator.estimator_, frame.select(estimator.get_support(indices=True).tolist()))


def _through(graph: Graph, steps: list[Any], frame: Frame) -> Frame:
    for step in steps:
        frame = _transformed(graph, step, frame)
    return frame


def _transformed(graph: Graph, part: Any, frame: Frame) -> Frame:
    if part is None or (isinstance(part, str) and part == "passthrough"):
        return frame
    return compile_transformer(graph, part, frame)


def _weighted(frame: Frame, weight: float | None) -> Frame:
    return frame if weight is None else Frame.of(frame.numbers() * float(weight), frame.width)
