"""The Open Inference Protocol (V2) over HTTP: health, metadata and inference under `/v2`.

Only the live version is there: a request that names another gets 404.
"""

import asyncio
import functools
import time

import msgspec

from modelroll_server import errors
from modelroll_server.http import body
from modelroll_server.http.asgi import JSON, Response
from modelroll_server.http.exchange import Endpoint, Exchange, Route
from modelroll_server.http.predictions import LARGE_BODY
from modelroll_server.http.v2_bodies import InferRequest
from modelroll_server.inference import Inference
from modelroll_server.openinference import metadata, requests
from modelroll_server.registry.registry import Registry
from modelroll_server.telemetry.metrics import Metrics

LIMIT = 64 * 2**20
_GET = ("GET", "HEAD")
_POST = ("POST",)


class OpenInference:
    """The endpoints under `/v2`."""

    def __init__(self, registry: Registry, inference: Inference, metrics: Metrics, memory: body.Memory) -> None:
        self._registry = registry
        self._inference = inference
        self._metrics = metrics
        self._memory = memory
        self._decode_seconds = metrics.phases.labels("decode")
        self._encode_seconds = metrics.phases.labels("encode")
        self._of_server: dict[str, Endpoint] = {
            "/v2": self._server,
            "/v2/health/live": self._live,
            "/v2/health/ready": self._ready,
            "/v2/models": self._models,
        }

    def find(self, path: str) -> Route | None:
        """The endpoint of a path."""
        match path.split("/"):
            case ["", "v2", "models", model, *rest] if model:
                return self._of_model(model, rest)
        endpoint = self._of_server.get(path.rstrip("/"))
        return None if endpoint is None else (_GET, endpoint)

    def _of_model(self, model: str, rest: list[str]) -> Route | None:
        number = None
        if rest[:1] == ["versions"]:
            number, rest = rest[1] if len(rest) > 1 else "", rest[2:]
        match rest:
            case ["infer"]:
                return _POST, functools.partial(self._infer, model, number)
            case ["ready"]:
                return _GET, functools.partial(self._model_ready, model, number)
            case [] | [""]:
                return _GET, functools.partial(self._model, model, number)
        return None

    async def _infer(self, model: str, number: str | None, exchange: Exchange) -> Response:
        exchange.is_prediction = True
        self._metrics.in_flight += 1
        size = 0
        try:
            data = await body.read(exchange.heads, exchange.receive, self._memory, LIMIT)
            size = len(data)
            self._memory.bytes += size
            is_large = size >= LARGE_BODY
            began = time.monotonic()
            if is_large:
                bound = self._registry.live or await self._inference.version(body.deadline(exchange.heads))
                request = await asyncio.to_thread(InferRequest, exchange.heads, data, bound.json)
            else:
                request = InferRequest(exchange.heads, data)
            deadline = body.deadline(exchange.heads, request.timeout or body.DEFAULT_SECONDS)
            version = exchange.version = self._registry.live or await self._inference.version(deadline)
            metadata.check_names(version, model, number)
            decoder = requests.decoder(version)
            if is_large:
                rows = await asyncio.to_thread(decoder.rows, request.tensors)
            else:
                rows = decoder.rows(request.tensors)
            if exchange.is_timed:
                exchange.timed("decode", self._decode_seconds, began)
            computing = self._inference.predict(version, rows, deadline, exchange.trace)
            answers = await body.answered(exchange.receive, computing)
        finally:
            self._metrics.in_flight -= 1
            self._memory.bytes -= size
        began = time.monotonic()
        if answers.by is not None:
            version = exchange.version = answers.by
        response = request.response(answers, version)
        if exchange.is_timed:
            exchange.timed("encode", self._encode_seconds, began)
        if lost := request.lost(answers):
            self._metrics.non_finite.labels(version.model, version.number).inc(lost)
        return response

    async def _server(self, _: Exchange) -> Response:
        return _json(
            {"name": metadata.SERVER, "version": metadata.SERVER_VERSION, "extensions": list(metadata.EXTENSIONS)}
        )

    async def _live(self, _: Exchange) -> Response:
        return _json({"live": True})

    async def _ready(self, _: Exchange) -> Response:
        ready = self._registry.is_ready
        return _json({"ready": ready}, 200 if ready else 503)

    async def _models(self, _: Exchange) -> Response:
        return _json({"models": [self._registry.model]})

    async def _model(self, model: str, number: str | None, exchange: Exchange) -> Response:
        version = exchange.version = await self._inference.version(body.deadline(exchange.heads))
        metadata.check_names(version, model, number)
        return _json(metadata.model(version))

    async def _model_ready(self, model: str, number: str | None, exchange: Exchange) -> Response:
        if exchange.version is None:
            raise errors.NotReady("no model is loaded yet")
        metadata.check_names(exchange.version, model, number)
        return _json({"name": model, "ready": True})


def _json(document: object, status: int = 200) -> Response:
    return Response(status, msgspec.json.encode(document), [JSON])
