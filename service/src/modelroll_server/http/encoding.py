"""Answers as JSON values: shortest decimals of their own dtype, null where a number is not finite.

Owns the bodies of `/predict` and `/batch_predict` on the way out.
"""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from modelroll_server.inference import Prediction


def values(array: npt.NDArray[Any]) -> tuple[list[Any], int]:
    """An array as nested lists, and how many of its numbers were not finite and became None."""
    if array.dtype == np.float32:
        # Through text: 0.1 as a float32 is 0.1 to a reader, not 0.10000000149011612.
        array = np.array([float(str(value)) for value in array.ravel()], dtype=np.float64).reshape(array.shape)
    if array.dtype.kind != "f":
        return array.tolist(), 0
    finite = np.isfinite(array)
    lost = int(array.size - np.count_nonzero(finite))
    if lost:
        array = np.where(finite, array.astype(object), np.array(None, dtype=object))
    return array.tolist(), lost


def columns(prediction: Prediction) -> tuple[dict[str, list[Any] | None], int]:
    """The lists `prediction`, `probability` and, without probabilities, `score`, by row; and the count of nulls."""
    outputs = prediction.outputs
    labels, lost = values(outputs.prediction)
    found: dict[str, list[Any] | None] = {"prediction": labels, "probability": None}
    if isinstance(outputs.probability, list):
        parts = [values(array) for array in outputs.probability]
        found["probability"] = [list(row) for row in zip(*(part for part, _ in parts), strict=True)]
        lost += sum(count for _, count in parts)
    elif outputs.probability is not None:
        found["probability"], count = values(outputs.probability)
        lost += count
    elif outputs.score is not None:
        found["score"], count = values(outputs.score)
        lost += count
    return found, lost


def one(prediction: Prediction) -> tuple[bytes, int]:
    """The body of `/predict`, and how many numbers became null."""
    found, lost = columns(prediction)
    body = {name: None if rows is None else rows[0] for name, rows in found.items()}
    return msgspec.json.encode({**body, "model_version": prediction.version.number}), lost


def many(prediction: Prediction) -> tuple[bytes, int]:
    """The body of `/batch_predict`, and how many numbers became null."""
    found, lost = columns(prediction)
    body: dict[str, Any] = {"predictions": found["prediction"], "probabilities": found["probability"]}
    if "score" in found:
        body["scores"] = found["score"]
    return msgspec.json.encode({**body, "model_version": prediction.version.number}), lost
