"""A model's answers as Arrow columns: which there are, and of what type, before the first row is computed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from modelroll_server.artifact.manifest import Manifest, Output
from modelroll_server.errors import BatchFailed
from modelroll_server.tensors import Array, Datatype, Outputs

Take = Callable[[Outputs], Array]

_NUMBER = pa.float64()
_TYPES = {
    Datatype.FP64: _NUMBER,
    Datatype.FP32: pa.float32(),
    Datatype.INT64: pa.int64(),
    Datatype.BOOL: pa.bool_(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of answers.

    Attributes:
        name: Its name, without prefix.
        type: Its Arrow type.
        make: Makes it of the outputs of a table.
    """

    name: str
    type: Any
    make: Callable[[Outputs], Any]


def columns(outputs: Sequence[Output], manifest: Manifest, *, per_class: bool) -> list[Column]:
    """The columns of what a model answers.

    `prediction`; `probability`, of classes[1] where there are two and else of the predicted class; with `per_class`
    also `probability_<class>`; `score` where there is no probability. A model of several outputs has `prediction_0`,
    `prediction_1`, … and so on. A number that is not finite is null, as in every other answer.

    Args:
        outputs: The tensors that it answers with.
        manifest: Its own; labels come from its classes.
        per_class: Whether each class has a column.

    Raises:
        BatchFailed: Two columns would have one name.
    """
    by_name = {output.name: output for output in outputs}
    prediction, probability, score = (by_name.get(name) for name in ("prediction", "probability", "score"))
    assert prediction is not None
    found = _predictions(prediction)
    if probability is not None:
        found += _probabilities(probability, prediction, manifest.classes, per_class=per_class)
    if score is not None:
        found += _scores(score, manifest.classes)
    names = [column.name for column in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise BatchFailed(f"two classes would have a column of one name: {', '.join(sorted(twice))}")
    return found


def _predictions(output: Output) -> list[Column]:
    kind = _TYPES.get(output.datatype, pa.string())
    if len(output.shape) == 1:
        return [_column("prediction", kind, _prediction)]
    return [_column(f"prediction_{at}", kind, _nth(_prediction, at)) for at in range(output.shape[1])]


def _probabilities(
    output: Output, prediction: Output, classes: Sequence[Any] | None, *, per_class: bool
) -> list[Column]:
    if len(output.shape) == 3:  # a list of arrays, one an output of the model
        found = []
        for at in range(output.shape[1]):
            labels = classes[at] if classes is not None else range(output.shape[2])
            columns = (_probability_of(at), _nth(_prediction, at))
            found += _of_output(labels, f"_{at}", columns, per_class=per_class)
        return found
    if len(prediction.shape) == 2:  # of each label, whether it applies
        return [_column(f"probability_{at}", _NUMBER, _nth(_probability, at)) for at in range(output.shape[1])]
    labels = classes if classes is not None else range(output.shape[1])
    return _of_output(labels, "", (_probability, _prediction), per_class=per_class)


def _of_output(labels: Sequence[Any], suffix: str, arrays: tuple[Take, Take], *, per_class: bool) -> list[Column]:
    """The columns of one output of the model: of its probabilities, [rows, classes], and its predictions, [rows]."""
    probability, prediction = arrays
    take = _nth(probability, 1) if len(labels) == 2 else _of_predicted(labels, probability, prediction)
    found = [_column(f"probability{suffix}", _NUMBER, take)]
    if per_class:
        found += [
            _column(f"probability{suffix}_{_text(label)}", _NUMBER, _nth(probability, at))
            for at, label in enumerate(labels)
        ]
    return found


def _of_predicted(labels: Sequence[Any], probability: Take, prediction: Take) -> Take:
    index = {label: at for at, label in enumerate(labels)}

    def take(outputs: Outputs) -> Array:
        encoded = pa.array(prediction(outputs)).dictionary_encode()  # few labels for many rows
        at = np.array([index[label] for label in encoded.dictionary.to_pylist()], np.intp)
        chosen = at[encoded.indices.to_numpy()]
        return np.take_along_axis(probability(outputs), chosen[:, None], axis=1)[:, 0]

    return take


def _scores(output: Output, classes: Sequence[Any] | None) -> list[Column]:
    if len(output.shape) == 1:
        return [_column("score", _NUMBER, _score)]
    width = output.shape[1]
    labels = classes if classes is not None and len(classes) == width else range(width)
    return [_column(f"score_{_text(label)}", _NUMBER, _nth(_score, at)) for at, label in enumerate(labels)]


def _prediction(outputs: Outputs) -> Array:
    return outputs.prediction


def _probability(outputs: Outputs) -> Array:
    assert isinstance(outputs.probability, np.ndarray)
    return outputs.probability


def _probability_of(at: int) -> Take:
    def take(outputs: Outputs) -> Array:
        assert isinstance(outputs.probability, list)
        return outputs.probability[at]

    return take


def _score(outputs: Outputs) -> Array:
    assert outputs.score is not None
    return outputs.score


def _nth(take: Take, at: int) -> Take:
    def nth(outputs: Outputs) -> Array:
        found: Array = take(outputs)[:, at]
        return found

    return nth


def _column(name: str, kind: Any, take: Take) -> Column:
    return Column(name, kind, lambda outputs: _array(take(outputs), kind))


def _array(values: Array, kind: Any) -> Any:
    if kind == pa.string() and values.dtype.kind not in "OU":
        values = values.astype(str)
    if values.dtype.kind != "f":
        return pa.array(values).cast(kind)
    lost = ~np.isfinite(values)
    found = pa.array(np.ascontiguousarray(values), mask=lost if lost.any() else None)
    return found if found.type == kind else found.cast(kind)


def _text(label: Any) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)
