"""Answers as bytes: the bodies of `/predict` and `/batch_predict` on the way out."""

from typing import Any

import msgspec

from modelroll_server.inference import Prediction


def one(prediction: Prediction) -> tuple[bytes, int]:
    """The body of `/predict`, and how many numbers were not finite and became null."""
    found, lost = prediction.outputs.as_lists()
    body = {name: None if rows is None else rows[0] for name, rows in found.items()}
    return _encoded(body, "score", prediction), lost


def many(prediction: Prediction) -> tuple[bytes, int]:
    """The body of `/batch_predict`, and how many numbers were not finite and became null."""
    found, lost = prediction.outputs.as_lists()
    body = {"predictions": found["prediction"], "probabilities": found["probability"], "scores": found["score"]}
    return _encoded(body, "scores", prediction), lost


def _encoded(body: dict[str, Any], score: str, prediction: Prediction) -> bytes:
    # There is always a probability, if only null; a score is there only for a model that has one instead.
    if body[score] is None:
        del body[score]
    return msgspec.json.encode({**body, "model_version": prediction.version.number})
