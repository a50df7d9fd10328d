"""Answers as JSON: the bodies of `/predict` and `/batch_predict`, and what is said of an event."""

from typing import Any

import msgspec

from modelroll_server.registry.version import Version
from modelroll_server.tensors import Answers

_ENCODER = msgspec.json.Encoder()


class _One(msgspec.Struct, gc=False):
    prediction: Any
    probability: Any
    model_version: str


class _OneScored(msgspec.Struct, gc=False):
    # There is always a probability, if only null; a score is there only for a model that has one instead.
    prediction: Any
    probability: Any
    score: Any
    model_version: str


def one(answers: Answers, version: Version) -> bytes:
    """The body of `/predict`: the answer to the first row."""
    prediction, probability, score = answers.first()
    if score is None:
        return _ENCODER.encode(_One(prediction, probability, version.number))
    return _ENCODER.encode(_OneScored(prediction, probability, score, version.number))


def many(answers: Answers, version: Version) -> bytes:
    """The body of `/batch_predict`: the answers to all rows."""
    found = answers.lists()
    body = {"predictions": found["prediction"], "probabilities": found["probability"]}
    if found["score"] is not None:
        body["scores"] = found["score"]
    return _ENCODER.encode({**body, "model_version": version.number})
