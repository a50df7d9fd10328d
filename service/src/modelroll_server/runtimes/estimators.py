"""What an estimator tells about itself: task, classes, names, outputs, the modules it is made of.

Reads estimators; `single_threaded` and `forget_names` alone change one. Imports scikit-learn only when asked about one,
and asks for no attribute that scikit-learn 1.3 lacks.
"""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from modelroll_server.artifact.manifest import Label, Output
from modelroll_server.tensors import Array, Datatype

Task = Literal["classifier", "regressor", "cluster", "outlier"]

_MAX_DEPTH = 12
_BY_NAME = {"ColumnTransformer", "FunctionTransformer", "TransformedTargetRegressor"}


def task(estimator: Any) -> Task:
    """What it is for."""
    from sklearn import base

    if base.is_classifier(estimator):
        return "classifier"
    if base.is_outlier_detector(estimator):
        return "outlier"
    if base.is_regressor(estimator):
        return "regressor"
    is_clusterer = getattr(base, "is_clusterer", lambda found: getattr(found, "_estimator_type", "") == "clusterer")
    if is_clusterer(estimator):
        return "cluster"
    if hasattr(estimator, "classes_"):
        return "classifier"
    return "cluster" if hasattr(estimator, "predict_proba") else "regressor"  # a mixture says how much of which it is


def feature_names(estimator: Any) -> list[str] | None:
    """The names of the columns it was fitted on; None when it was fitted on an array."""
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def feature_count(estimator: Any) -> int | None:
    """How many columns it was fitted on; None when it does not say (a list of texts, for one)."""
    count = getattr(estimator, "n_features_in_", None)
    return None if count is None else int(count)


def classes(estimator: Any) -> list[Label | list[Label]] | None:
    """Its classes as JSON types, in the order of its probabilities; a list of lists when it has many outputs."""
    found = getattr(estimator, "classes_", None)
    if found is None or task(estimator) != "classifier":
        return None
    if isinstance(found, list):
        return [np.asarray(one).tolist() for one in found]
    return list(np.asarray(found).tolist())


def outputs(prediction: Array, probability: Array | list[Array] | None, score: Array | None) -> list[Output]:
    """The tensors that a model answers with, from what it answered to one table."""
    described = [Output("prediction", datatype_of(prediction), [-1, *prediction.shape[1:]])]
    if isinstance(probability, list):
        width = max(array.shape[1] for array in probability)
        described.append(Output("probability", Datatype.FP64, [-1, len(probability), width]))
    elif probability is not None:
        described.append(Output("probability", Datatype.FP64, [-1, *probability.shape[1:]]))
    if score is not None:
        described.append(Output("score", Datatype.FP64, [-1, *score.shape[1:]]))
    return described


def datatype_of(array: Array) -> Datatype:
    """The datatype that holds what a numpy array holds."""
    if array.dtype.kind in "iu":
        return Datatype.INT64
    if array.dtype.kind == "b":
        return Datatype.BOOL
    if array.dtype.kind == "f":
        return Datatype.FP32 if array.dtype.itemsize <= 4 else Datatype.FP64
    return Datatype.BYTES


def single_threaded(estimator: Any) -> None:
    """Set every `n_jobs` within to 1: threads for one row cost more than they bring, and requests run in parallel."""
    for part in parts(estimator):
        if "n_jobs" in vars(part):
            part.n_jobs = 1


def forget_names(estimator: Any) -> bool:
    """Have an estimator take arrays as it takes frames of one dtype; False where names may mean something to it.

    Checking the names of a frame's columns is most of what scikit-learn does for a few rows. Its own estimators do
    nothing else with them, but for the few that choose columns, hand frames to functions, or give frames on.
    """
    found = [part for part in parts(estimator) if hasattr(part, "predict") or hasattr(part, "transform")]
    for part in found:
        kind = type(part)
        is_own = kind.__module__.partition(".")[0] == "sklearn" and kind.__name__ not in _BY_NAME
        if not is_own or hasattr(part, "_sklearn_output_config"):
            return False
    for part in found:
        vars(part).pop("feature_names_in_", None)
    return True


def parts(estimator: Any) -> Iterator[Any]:
    """The estimator and every object with attributes that it holds, each once."""
    seen: set[int] = set()
    stack: list[tuple[Any, int]] = [(estimator, 0)]
    while stack:
        part, depth = stack.pop()
        if id(part) in seen or depth > _MAX_DEPTH:
            continue
        seen.add(id(part))
        children: Any = ()
        if isinstance(part, dict):
            children = part.values()
        elif isinstance(part, list | tuple | set) or (isinstance(part, np.ndarray) and part.dtype == object):
            children = part.ravel() if isinstance(part, np.ndarray) else part
        elif hasattr(part, "__dict__") and not isinstance(part, type) and not callable(part):
            yield part
            children = vars(part).values()
        stack.extend((child, depth + 1) for child in children if not isinstance(child, str | int | float | None))


def known_categories(estimator: Any) -> set[Any]:
    """Every value that an encoder within it was fitted on (of whatever column)."""
    found: set[Any] = set()
    for part in parts(estimator):
        for values in getattr(part, "categories_", None) or ():
            found.update(value for value in np.asarray(values).tolist() if isinstance(value, str | int | float | bool))
    return found
