"""Answers of a model as tensors: which ones a request selects, and each with its datatype and shape."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelroll_server import errors
from modelroll_server.openinference.tensors import Tensor
from modelroll_server.tensors import Answers, Array

_BY_KIND = {"i": "INT64", "u": "INT64", "b": "BOOL", "f": "FP64"}
NAMES = ("prediction", "probability", "score")


def tensors(answers: Answers, selected: Sequence[str] | None) -> list[Tensor]:
    """The tensors of an answer, with values as arrays (texts as a list).

    Args:
        answers: To all rows of a request.
        selected: The names to give, in this order; None for all there are.

    Raises:
        errors.InvalidField: a name is no output of this model, or there twice.
    """
    outputs = answers.outputs
    there: dict[str, Array] = {"prediction": outputs.prediction}
    if outputs.probability is not None:
        probability = outputs.probability
        there["probability"] = _stacked(probability) if isinstance(probability, list) else probability
    if outputs.score is not None:
        there["score"] = outputs.score
    return [_tensor(name, there[name]) for name in _checked(there, selected)]


def json_tensors(answers: Answers, selected: Sequence[str] | None) -> list[Tensor]:
    """The same with values as JSON lists: shortest decimals, None for what is not finite."""
    there = {name: values for name, values in answers.lists().items() if values is not None}
    arrays = answers.together
    found = []
    for name in _checked(there, selected):
        array, values = getattr(arrays, name), there[name]
        if isinstance(array, list):
            array = _stacked(getattr(answers.outputs, name))
            values = _padded(values, array.shape)
        shape = (answers.rows, *array.shape[1:])
        for _ in shape[1:]:
            values = [value for row in values for value in row]
        datatype = _datatype(array, values)
        found.append(Tensor(name, datatype, shape, _as_texts(values) if datatype == "BYTES" else values))
    return found


def _checked(there: dict[str, Any], selected: Sequence[str] | None) -> Sequence[str]:
    if selected is None:
        return list(there)
    for index, name in enumerate(selected):
        if name not in there:
            sentence = f"{name[:100]} is no output of this model; {', '.join(there)} are"
            raise errors.InvalidField(sentence, field=f"outputs[{index}]")
    if len(set(selected)) != len(selected):
        raise errors.InvalidField("an output is asked for twice", field="outputs")
    return selected


def _tensor(name: str, array: Array) -> Tensor:
    values = array.ravel().tolist() if array.dtype.kind not in _BY_KIND else []
    datatype = _datatype(array, values)
    if datatype == "BYTES":
        return Tensor(name, datatype, array.shape, _as_texts(values))
    return Tensor(name, datatype, array.shape, array)


def _datatype(array: Array, values: list[Any]) -> str:
    """The datatype of an array, which may hold more than the values that are answered with."""
    if array.dtype.kind == "O":  # labels that came from a list
        types = set(map(type, values))
        if types and types <= {bool}:
            return "BOOL"
        if types and types <= {int}:
            return "INT64"
        return "FP64" if types and types <= {int, float} else "BYTES"
    if array.dtype == np.float32:
        return "FP32"
    return _BY_KIND.get(array.dtype.kind, "BYTES")


def _as_texts(values: list[Any]) -> list[Any]:
    return [value if type(value) is str or value is None else str(value) for value in values]


def _stacked(arrays: list[Array]) -> Array:
    """One array [rows, outputs, classes] of many; outputs with fewer classes are filled with nan."""
    width = max(array.shape[1] for array in arrays)
    found = np.full((len(arrays[0]), len(arrays), width), np.nan)
    for index, array in enumerate(arrays):
        found[:, index, : array.shape[1]] = array
    return found


def _padded(rows: list[Any], shape: Sequence[int]) -> list[Any]:
    return [[[*values, *[None] * (shape[2] - len(values))] for values in row] for row in rows]
