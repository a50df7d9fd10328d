"""The path of a prediction: what needs no model is answered without one, and too much is refused."""

import time

import pytest

import stand_in
from modelroll_server import errors
from modelroll_server.inference import Inference
from modelroll_server.registry.registry import Registry
from modelroll_server.schema.schema import MAX_ROWS
from modelroll_server.telemetry.metrics import Metrics


def refuse(_: object) -> None:
    raise AssertionError


async def test_no_rows_are_answered_without_asking_the_model() -> None:
    metrics = Metrics()
    inference = Inference(Registry(metrics), metrics, threads=1)
    answers = await inference.predict(stand_in.version(runtime=stand_in.Echo(refuse)), [], 0.0)
    assert answers.rows == 0
    assert answers.lists() == {"prediction": [], "probability": [], "score": None}


async def test_too_many_rows_are_refused() -> None:
    metrics = Metrics()
    inference = Inference(Registry(metrics), metrics, threads=1)
    rows = [(3, 0.5, "month")] * (MAX_ROWS + 1)
    with pytest.raises(errors.PayloadTooLarge):
        await inference.predict(stand_in.version(), rows, time.monotonic() + 60)
