"""Which converter compiles which estimator, by the estimator's name; and what a converter yields or refuses with.

Converters are functions of (graph, fitted estimator, frame). They import nothing of scikit-learn: they read the fitted
attributes that its documentation names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelroll_server.packing.converters.frame import Frame
    from modelroll_server.packing.graph import Graph, Value


class CannotCompile(Exception):
    """This estimator, fitted as it is, is served by scikit-learn; the message says why."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a compiled predictor says about each row.

    Attributes:
        prediction: Of a classifier the index among its classes as int64, else what predict returns; [rows], or [rows,
            outputs] when multi-output.
        probability: [rows, classes], a list of those when multi-output; None without predict_proba.
        score: decision_function; None without one.
    """

    prediction: "Value"
    probability: "Value | list[Value] | None" = None
    score: "Value | None" = None


Predictor = Callable[["Graph", Any, "Frame"], Answers]
Transformer = Callable[["Graph", Any, "Frame"], "Frame"]

_PREDICTORS: dict[str, Predictor] = {}
_TRANSFORMERS: dict[str, Transformer] = {}


def predictor(*names: str) -> Callable[[Predictor], Predictor]:
    """Register the converter of estimators with predict."""

    def register(function: Predictor) -> Predictor:
        _PREDICTORS.update(dict.fromkeys(names, function))
        return function

    return register


def transformer(*names: str) -> Callable[[Transformer], Transformer]:
    """Register the converter of estimators with transform."""

    def register(function: Transformer) -> Transformer:
        _TRANSFORMERS.update(dict.fromkeys(names, function))
        return function

    return register


def compile_predictor(graph: "Graph", estimator: Any, frame: "Frame") -> Answers:
    """What `estimator` predicts for the columns of `frame`.

    Raises:
        CannotCompile: It has no converter, or is fitted in a way that its converter cannot compile.
    """
    answers: Answers = _named(estimator, lambda: _found(_PREDICTORS, estimator)(graph, estimator, frame))
    return answers


def compile_transformer(graph: "Graph", estimator: Any, frame: "Frame") -> "Frame":
    """What `estimator` makes of the columns of `frame`. Raises as `compile_predictor`."""
    found: Frame = _named(estimator, lambda: _found(_TRANSFORMERS, estimator)(graph, estimator, frame))
    return found.named(_names_out(estimator))


def _found(converters: dict[str, Any], estimator: Any) -> Any:
    name = type(estimator).__name__
    if not type(estimator).__module__.startswith("sklearn."):
        raise CannotCompile("it is no estimator of scikit-learn's own")
    if name not in converters:
        raise CannotCompile("there is no converter for it")
    return converters[name]


def _named(estimator: Any, convert: Callable[[], Any]) -> Any:
    try:
        return convert()
    except CannotCompile as error:
        name = type(estimator).__name__
        message = str(error)
        raise CannotCompile(message if ": " in message else f"{name}: {message}") from error


def _names_out(estimator: Any) -> Sequence[str] | None:
    try:
        return [str(name) for name in estimator.get_feature_names_out()]
    except Exception:  # noqa: BLE001 - whoever cannot name its columns has none
        return None
