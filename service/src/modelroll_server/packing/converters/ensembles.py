"""Estimators that ask several others and combine what these say."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import numpy_helper

from modelroll_server.packing.converters.frame import Column, Frame
from modelroll_server.packing.converters.registry import Answers, CannotCompile, compile_predictor, predictor
from modelroll_server.packing.graph import Graph, Value


@predictor("BaggingClassifier")
def bagging_classifier(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The mean of the probabilities, or of the votes of those who have none."""
    shares, count = [], len(estimator.classes_)
    for one, features in zip(estimator.estimators_, estimator.estimators_features_, strict=True):
        answers = compile_predictor(graph, one, frame.select(features))
        shares.append(_spread(graph, answers, one.classes_, range(count)))
    probability = total(shares) / float(estimator.n_estimators)
    return Answers(graph.argmax(probability), probability)


@predictor("BaggingRegressor")
def bagging_regressor(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The mean."""
    pairs = zip(estimator.estimators_, estimator.estimators_features_, strict=True)
    answers = [compile_predictor(graph, one, frame.select(features)).prediction for one, features in pairs]
    return Answers(total(answers) / float(len(answers)))


@predictor("VotingClassifier")
def voting_classifier(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The weighted mean of the probabilities, or the most votes."""
    weights = estimator._weights_not_none or [1.0] * len(estimator.estimators_)  # noqa: SLF001 - those not dropped
    shares = []
    for one, weight in zip(estimator.estimators_, weights, strict=True):
        answers = compile_predictor(graph, one, frame)
        if estimator.voting == "hard":
            answers = Answers(answers.prediction)
        shares.append(_spread(graph, answers, one.classes_, range(len(estimator.classes_))) * float(weight))
    if estimator.voting == "hard":
        return Answers(graph.argmax(total(shares)))
    probability = total(shares) / float(np.sum(weights))
    return Answers(graph.argmax(probability), probability)


@predictor("VotingRegressor")
def voting_regressor(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The weighted mean."""
    weights = estimator._weights_not_none or [1.0] * len(estimator.estimators_)  # noqa: SLF001 - those not dropped
    answers = [compile_predictor(graph, one, frame).prediction for one in estimator.estimators_]
    weighted = [answer * float(weight) for answer, weight in zip(answers, weights, strict=True)]
    return Answers(total(weighted) / float(np.sum(weights)))


@predictor("StackingClassifier", "StackingRegressor")
def stacking(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """A model of what the others say."""
    columns: list[Column] = []
    for one, method in zip(estimator.estimators_, estimator.stack_method_, strict=True):
        answers = compile_predictor(graph, one, frame)
        classes = getattr(one, "classes_", None)
        columns += _said(graph, answers, method, classes, binary=len(getattr(estimator, "classes_", ())) == 2).columns
    if estimator.passthrough:
        columns += frame.columns
    return compile_predictor(graph, estimator.final_estimator_, Frame(graph, columns))


@predictor("AdaBoostClassifier")
def ada_boost_classifier(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """Weighted votes, for one class and against the others: SAMME, Zhu et al., Multi-class AdaBoost, 2009."""
    count = len(estimator.classes_)
    if count < 2 or getattr(estimator, "algorithm", "SAMME") == "SAMME.R":
        raise CannotCompile("it has one class, or boosts by SAMME.R")
    weights = np.asarray(estimator.estimator_weights_, np.float64)[: len(estimator.estimators_)]
    votes = []
    for one, weight in zip(estimator.estimators_, weights, strict=True):
        chosen = compile_predictor(graph, one, frame).prediction
        places = _places(one.classes_, estimator.classes_)
        table = np.full((len(places), count), -1.0 / (count - 1) * weight)
        table[np.arange(len(places)), places] = weight
        votes.append(graph.op("Gather", graph.constant(table), chosen, axis=0))
    decision = total(votes) / float(estimator.estimator_weights_.sum())
    if count > 2:
        return Answers(graph.argmax(decision), graph.softmax(decision / float(count - 1)), decision)
    score = decision.column(1) - decision.column(0)
    half = score.reshape(-1, 1) / 2.0
    return Answers(score.above(0.0).cast(np.int64), graph.softmax(graph.concat([-half, half])), score)


@predictor("AdaBoostRegressor")
def ada_boost_regressor(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The weighted median."""
    count = len(estimator.estimators_)
    answers = [compile_predictor(graph, one, frame).prediction.reshape(-1, 1) for one in estimator.estimators_]
    together = graph.concat(answers)
    size = np.array([count], np.int64)
    ordered, order = graph.ops("TopK", together, size, dtypes=(None, np.int64), axis=1, largest=0, sorted=1)
    weights = graph.constant(np.asarray(estimator.estimator_weights_, np.float64)[:count])
    reached = graph.op(
        "CumSum", graph.op("Gather", weights, order, dtype=np.float64, axis=0), np.array(1, np.int64), dtype=np.float64
    )
    enough = graph.op("GreaterOrEqual", reached, reached.take([count - 1]) * 0.5, dtype=np.bool_)
    first = graph.argmax(enough.cast(np.float64)).reshape(-1, 1)
    return Answers(graph.op("GatherElements", ordered, first, axis=1).reshape(-1))


@predictor("CalibratedClassifierCV")
def calibrated(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The mean of the calibrated probabilities."""
    shares = [_calibrated(graph, one, frame) for one in estimator.calibrated_classifiers_]
    probability = total(shares) / float(len(shares))
    return Answers(graph.argmax(probability), probability)


@predictor("IsotonicRegression")
def isotonic_regression(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """A line through the points that are left of training."""
    return Answers(isotonic(graph, estimator, frame.numbers()).reshape(-1))


@predictor("DummyRegressor")
def dummy_regressor(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The same number for all."""
    value = np.ravel(np.asarray(estimator.constant_, np.float64))
    made = zeros(graph, frame) + value
    return Answers(made.reshape(-1) if len(value) == 1 else made)


@predictor("DummyClassifier")
def dummy_classifier(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The same label for all; not at random."""
    if estimator.strategy in {"uniform", "stratified"} or isinstance(estimator.classes_, list):
        raise CannotCompile("it answers at random")
    classes, prior = list(estimator.classes_), np.asarray(estimator.class_prior_, np.float64)
    index = classes.index(estimator.constant) if estimator.strategy == "constant" else int(prior.argmax())
    probability = prior if estimator.strategy == "prior" else np.eye(len(classes))[index]
    share = zeros(graph, frame) + probability
    return Answers((zeros(graph, frame) + float(index)).cast(np.int64).reshape(-1), share)


@predictor("TransformedTargetRegressor")
def transformed_target(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """A model of a transformed target, and the way back."""
    from modelroll_server.packing.converters.scaling import inverse

    prediction = compile_predictor(graph, estimator.regressor_, frame).prediction
    return Answers(inverse(graph, estimator.transformer_, prediction.reshape(-1, 1)).reshape(-1))


@predictor("RANSACRegressor")
def random_sample_consensus(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The model of the inliers."""
    return compile_predictor(graph, estimator.estimator_, frame)


@predictor("SelfTrainingClassifier")
def self_training(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """The model that was trained last."""
    return compile_predictor(graph, estimator.estimator_, frame)


def isotonic(graph: Graph, estimator: Any, values: Value) -> Value:
    """[rows, 1] to the same: linear between the thresholds, constant (or NaN) outside of them."""
    x = np.asarray(estimator.X_thresholds_, np.float64)
    y = np.asarray(estimator.y_thresholds_, np.float64)
    if estimator.out_of_bounds == "raise":
        raise CannotCompile("it raises out of its bounds")
    if len(x) == 1:
        return values * 0.0 + float(y[0])
    inside = graph.op("Min", graph.op("Max", values, float(x[0])), float(x[-1]))
    place = graph.sum(graph.op("Greater", inside, x[1:-1], dtype=np.bool_).cast(np.float64)).cast(np.int64)
    slope = np.diff(y) / np.diff(x)
    low, start, steep = (
        graph.op("Gather", graph.constant(table), place, axis=0, dtype=np.float64) for table in (x[:-1], y[:-1], slope)
    )
    made = steep * (inside - low) + start
    if estimator.out_of_bounds == "clip":
        return made
    return graph.where(inside.equals(values), made, np.nan)


def total(values: Sequence[Value]) -> Value:
    """Their sum, from the first to the last."""
    first, *others = values
    for other in others:
        first = first + other
    return first


def _calibrated(graph: Graph, one: Any, frame: Frame) -> Value:
    answers, count = compile_predictor(graph, one.estimator, frame), len(one.classes)
    if len(one.estimator.classes_) != count:
        raise CannotCompile("one of its parts has not seen all classes")
    if answers.score is not None and hasattr(one.estimator, "decision_function"):
        said = answers.score.reshape(-1, 1) if count == 2 else answers.score
    else:
        assert isinstance(answers.probability, Value)
        said = answers.probability.take([1]) if count == 2 else answers.probability
    if one.method == "temperature":
        return _tempered(graph, one, answers, said, binary=count == 2)
    columns = []
    for index, calibrator in enumerate(one.calibrators):
        column = said.take([index])
        if one.method == "sigmoid":
            columns.append(graph.op("Sigmoid", -(column * float(calibrator.a_) + float(calibrator.b_))))
        else:
            columns.append(isotonic(graph, calibrator, column))
    if count == 2:
        return _at_most_one(graph, graph.complement(columns[0]))
    together = graph.concat(columns)
    whole = graph.sum(together)
    nothing = whole.equals(0.0)
    share = together / graph.where(nothing, 1.0, whole)
    return _at_most_one(graph, graph.where(nothing, 1.0 / count, share))


def _tempered(graph: Graph, one: Any, answers: Answers, said: Value, *, binary: bool) -> Value:
    if answers.score is None or not hasattr(one.estimator, "decision_function"):
        raise CannotCompile("it scales the temperature of probabilities")
    logits = graph.concat([-said, said]) if binary else said
    return graph.softmax(logits * float(one.calibrators[0].beta_))


def _at_most_one(graph: Graph, share: Value) -> Value:
    """Rounding may bring a share a little above 1."""
    over = share.above(1.0)
    return graph.where(over, 1.0, share)


def _said(graph: Graph, answers: Answers, method: str, classes: Any, *, binary: bool) -> Frame:
    """What one estimator adds to a stack."""
    if method == "predict_proba":
        if not isinstance(answers.probability, Value):
            raise CannotCompile("many labels at once")
        if binary:
            return Frame.of(answers.probability.take([1]), 1)
        return Frame.of(answers.probability, len(classes))
    if method == "decision_function":
        assert answers.score is not None
        return Frame.of(answers.score.reshape(-1, 1), 1) if len(classes) == 2 else Frame.of(answers.score, len(classes))
    if classes is None:
        return Frame.of(answers.prediction.reshape(-1, 1), 1)
    numbers = np.asarray(classes, np.float64)
    return Frame.of(graph.op("Gather", graph.constant(numbers), answers.prediction, axis=0).reshape(-1, 1), 1)


def _spread(graph: Graph, answers: Answers, classes: Any, among: Sequence[Any]) -> Value:
    """Probabilities, or votes, of an estimator that may not know all classes: [rows, all classes]."""
    places = _places(classes, among)
    if isinstance(answers.probability, list):
        raise CannotCompile("many labels at once")
    if answers.probability is None:
        return graph.op(
            "Gather", graph.constant(np.eye(len(among))[places]), answers.prediction, dtype=np.float64, axis=0
        )
    if places == list(range(len(among))):
        return answers.probability
    wide = np.zeros((len(places), len(among)))
    wide[np.arange(len(places)), places] = 1.0
    return answers.probability @ wide


def _places(classes: Any, among: Sequence[Any]) -> list[int]:
    known = {value: index for index, value in enumerate(np.asarray(among).tolist())}
    return [known[value] for value in np.asarray(classes).tolist()]


def zeros(graph: Graph, frame: Frame) -> Value:
    """Zeros [rows, 1], whatever the columns hold."""
    shape = graph.op("Shape", frame.columns[0].tensor, dtype=np.int64)
    rows = graph.op("Slice", shape, np.array([0], np.int64), np.array([1], np.int64))
    wanted = graph.concat([rows, graph.constant(np.array([1]))], axis=0)
    return graph.op("ConstantOfShape", wanted, dtype=np.float64, value=numpy_helper.from_array(np.zeros(1)))
