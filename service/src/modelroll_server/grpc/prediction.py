"""`modelroll.v1.PredictionService`: rows by name or by position, one at a time, many at once, or as a stream."""

import asyncio
import math
from collections.abc import Mapping
from typing import Any

import grpc

from modelroll_server import errors
from modelroll_server.grpc import prediction_pb2 as pb
from modelroll_server.grpc.calls import DEFAULT_SECONDS, LARGE_MESSAGE, Call, Calls, most_fields, parse
from modelroll_server.grpc.statuses import COUNTED, STATUS, UNKNOWN
from modelroll_server.pipeline import Begun, Pipeline
from modelroll_server.registry.version import Version
from modelroll_server.schema import Row
from modelroll_server.schema.schema import MAX_ROWS
from modelroll_server.tensors import Answers

SERVICE = "modelroll.v1.PredictionService"
_MAX_INT32 = 2**31


class PredictionService:
    """The methods of the service.

    A draining server ends streams: what was read is answered, and the status UNAVAILABLE says that there was more.
    """

    def __init__(self, calls: Calls, leaving: asyncio.Event) -> None:
        self._calls = calls
        self._leaving = leaving

    def handlers(self) -> Mapping[str, Any]:
        """Each method's handler, by its name."""
        calls = self._calls
        return {
            "Predict": calls.unary(pb.PredictRequest, calls.counted(self._predict), f"{SERVICE}/Predict"),
            "BatchPredict": calls.unary(
                pb.BatchPredictRequest, calls.counted(self._batch_predict), f"{SERVICE}/BatchPredict"
            ),
            "HealthCheck": calls.unary(pb.HealthCheckRequest, self._health_check),
            "PredictStream": calls.stream(self._predict_stream, f"{SERVICE}/PredictStream"),
        }

    async def _predict(self, request: pb.PredictRequest, call: Call) -> pb.PredictResponse:
        version = self._calls.registry.live or await self._calls.pin(call)
        call.version = version
        answers = await self._calls.predict(version, [_row(request, version)], call)
        return _first(answers, call.answered(answers, version))

    async def _batch_predict(self, request: pb.BatchPredictRequest, call: Call) -> pb.BatchPredictResponse:
        version = await self._calls.pin(call)
        if len(request.requests) > MAX_ROWS:
            raise errors.PayloadTooLarge(f"{len(request.requests)} rows; one request may have {MAX_ROWS}")
        rows = await call.read(
            lambda: [_row(one, version, f"requests[{index}]") for index, one in enumerate(request.requests)]
        )
        answers = await self._calls.predict(version, rows, call)
        version = call.answered(answers, version)
        return pb.BatchPredictResponse(responses=_responses(answers, version) if rows else [])

    async def _health_check(self, _: pb.HealthCheckRequest, call: Call) -> pb.HealthCheckResponse:
        live = call.version = self._calls.registry.live
        return pb.HealthCheckResponse(
            status="healthy" if self._calls.registry.is_ready else "unhealthy",
            model_loaded=live is not None,
            model_version="" if live is None else live.number,
        )

    async def _predict_stream(self, context: grpc.aio.ServicerContext, call: Call) -> None:
        calls = self._calls
        seconds, until = (math.inf, call.deadline) if call.has_deadline else (DEFAULT_SECONDS, math.inf)
        pipeline = Pipeline(calls.registry, calls.inference, calls.metrics, _decoded, seconds=seconds, until=until)

        async def read() -> None:
            while (data := await context.read()) is not grpc.aio.EOF:
                await pipeline.begin(data)

        async with pipeline.reading(read()):
            leaving = asyncio.ensure_future(self._leaving.wait())
            leaving.add_done_callback(lambda _: pipeline.stop())
            try:
                while (begun := await pipeline.next()) is not None:
                    message = _answered(begun, pipeline).SerializeToString()
                    call.version = begun.version
                    await context.write(message)
            finally:
                leaving.cancel()
        if self._leaving.is_set():
            raise errors.NotReady("the server is leaving; what was read is answered, the rest is for another")


def _decoded(version: Version, data: bytes) -> Row:
    most = most_fields(version.schema, rows=1) if len(data) >= LARGE_MESSAGE else None
    return _row(parse(pb.PredictRequest, data, most), version)


def _answered(begun: Begun, pipeline: Pipeline[bytes]) -> pb.PredictResponse:
    found, version = begun.result(), begun.version
    if version is not None and isinstance(found, Answers):
        pipeline.count(begun, 200)
        return _first(found, version)
    message, status = UNKNOWN, 500
    if isinstance(found, errors.RequestError):
        message, status = found.message, COUNTED[STATUS[type(found)]]
    pipeline.count(begun, status)
    return pb.PredictResponse(error=message, model_version="" if version is None else version.number)


def _row(request: pb.PredictRequest, version: Version, prefix: str = "") -> Row:
    """The checked row of a request.

    Raises:
        errors.RequestError: it is not one of this model.
    """
    by_name, values, features = request.named, request.values, request.features
    if bool(by_name) + bool(values) + bool(features) > 1:
        raise errors.InvalidField("a row is given by one of features, named and values", field=prefix or None)
    schema = version.schema
    if by_name:
        named = {name: _python(value) for name, value in by_name.items()}
        missing = not all(map(named.__contains__, schema.names))
        if missing or (len(named) != len(schema.names) and schema.refuses_extra_fields):
            return schema.decode_row(named, prefix)  # says what is missing, or extra
        row = [named[name] for name in schema.names]
    else:
        row = list(values or features)
        if len(row) != len(schema.names):
            return schema.decode_row(row, prefix)
    return version.arrays.row(row, prefix)


def _python(value: pb.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind is None:
        return None
    if kind == "list":
        return [_python(one) for one in value.list.values]
    return getattr(value, kind)


def _value(label: Any) -> pb.Value:
    if label is None:
        return pb.Value()
    if isinstance(label, bool):
        return pb.Value(boolean=label)
    if isinstance(label, int):
        return pb.Value(integer=label)
    if isinstance(label, float):
        return pb.Value(number=label)
    if isinstance(label, list):
        return pb.Value(list=pb.Values(values=[_value(one) for one in label]))
    return pb.Value(text=str(label))


def _first(answers: Answers, version: Version) -> pb.PredictResponse:
    """The answer to the first row; of many that were computed together, the lists are made once."""
    if answers.lost():
        return _responses(answers, version)[0]
    return _response(*answers.first(), version)


def _responses(answers: Answers, version: Version) -> list[pb.PredictResponse]:
    """The answers to all rows."""
    found = _arrays(answers) if answers.lost() else answers.lists()
    nothing = [None] * answers.rows
    columns = [found[name] or nothing for name in ("prediction", "probability", "score")]
    rows = zip(*columns, strict=True)
    return [_response(label, probability, score, version) for label, probability, score in rows]


def _arrays(answers: Answers) -> dict[str, list[Any] | None]:
    """As `Answers.lists`; unlike JSON, a message holds what is not finite."""
    outputs = answers.outputs
    probability, score = outputs.probability, outputs.score
    if isinstance(probability, list):
        probabilities: list[Any] | None = list(zip(*(array.tolist() for array in probability), strict=True))
    else:
        probabilities = None if probability is None else probability.tolist()
    return {
        "prediction": outputs.prediction.tolist(),
        "probability": probabilities,
        "score": None if score is None else score.tolist(),
    }


def _response(label: Any, probability: Any, score: Any, version: Version) -> pb.PredictResponse:
    """One answer. The probabilities of a model with many outputs follow one another."""
    found = pb.PredictResponse(prediction=_place(label, version), model_version=version.number)
    kind = type(label)
    if kind is int:
        found.label.integer = label
    elif kind is str:
        found.label.text = label
    else:
        found.label.CopyFrom(_value(label))
    if probability is not None:
        if probability and isinstance(probability[0], list):
            probability = [value for one in probability for value in one]
        found.probability.extend(probability)
        found.probabilities.extend(probability)
    if score is not None:
        found.score.extend(score if isinstance(score, list) else [score])
    return found


class _Places(dict[Any, int]):
    """The places of a version's labels among its classes."""


def _place(label: Any, version: Version) -> int:
    """The label if it is a number that fits, else its place among the classes."""
    if type(label) is int:
        return label if -_MAX_INT32 <= label < _MAX_INT32 else 0
    places: _Places | None = version.attached.get(_Places)
    if places is None:
        classes = version.manifest.classes or []
        places = _Places({label: place for place, label in enumerate(classes) if isinstance(label, str | bool)})
        version.attached[_Places] = places
    if isinstance(label, bool):
        return places.get(label, int(label))
    return places.get(label, 0) if isinstance(label, str) else 0
