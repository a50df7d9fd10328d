"""Port 8000: `/predict`, `/batch_predict`, `/health`, and the door to the other protocols and the documentation pages.

Owns what every answer has in common: the request id, the headers that name the version, the error body, the counts.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable

import msgspec
import structlog

from modelroll_server import errors
from modelroll_server.batching.batch import Rows
from modelroll_server.http import asgi, body, encoding, problems, stream, wire
from modelroll_server.http.asgi import JSON, Header, Lifecycle, Receive, Response, Scope, Send
from modelroll_server.http.documentation import Documentation
from modelroll_server.http.exchange import TIMED, Endpoint, Exchange, Route
from modelroll_server.http.repository import Repository
from modelroll_server.http.stream import LineStream
from modelroll_server.http.v1 import V1, Decode, Encode
from modelroll_server.http.v2 import OpenInference
from modelroll_server.inference import Inference
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.version import Version
from modelroll_server.telemetry.metrics import Metrics, OfVersion

LARGE_BODY = 256 * 1024  # bytes; larger ones are decoded in a thread

_log = structlog.get_logger(__name__)


class InferenceApp:
    """The ASGI application of the inference port.

    Attributes:
        repository: Where MODEL_PATH is read again; None where nobody may ask for that.
    """

    def __init__(
        self,
        registry: Registry,
        inference: Inference,
        metrics: Metrics,
        lifecycle: Lifecycle,
        *,
        log_requests: bool = False,
        repository: Repository | None = None,
    ) -> None:
        self._registry = registry
        self._inference = inference
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._log_requests = log_requests
        self._memory = body.Memory()
        self._decode_seconds = metrics.phases.labels("decode")
        self._encode_seconds = metrics.phases.labels("encode")
        self._documentation = Documentation(registry)
        one = _Bodies(lambda version, data: [version.json.row(data)], encoding.one)
        many = _Bodies(lambda version, data: version.json.rows(data), encoding.many)
        self.repository = repository
        self._v1 = V1(registry, self._predicting)
        self._v2 = OpenInference(registry, inference, metrics, self._memory)
        lines = LineStream(registry, inference, metrics, lifecycle, self._memory)
        self._routes: dict[str, Route] = {
            "/predict": (("POST",), functools.partial(self._predict, one)),
            "/batch_predict": (("POST",), functools.partial(self._predict, many)),
            stream.PATH: (("POST",), lines.answer),
            "/health": (("GET", "HEAD"), self._health),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, self._registry.live)
        self._lifecycle.requests += 1
        try:
            response = await self._endpoint(exchange)
        except errors.RequestError as error:
            response = problems.response(error, exchange.request_id.decode())
        except body.Disconnected:
            return
        except Exception:  # noqa: BLE001 - logged; the caller gets a fixed text
            request_id = exchange.request_id.decode()
            _log.exception("a request failed", request_id=request_id, path=scope["path"])
            response = problems.unknown(request_id)
        if exchange.is_prediction:
            counted = exchange.counted or self._counted(exchange.version)
            counted.count(response.status)
            counted.latency.observe(time.monotonic() - exchange.began)
        headers = response.headers
        headers.append((b"x-request-id", exchange.request_id))
        if exchange.version is not None:
            headers += _identity(exchange.version.number, exchange.version.digest)
        if response.parts is not None or not wire.write(response, send, close=self._lifecycle.draining):
            await self._send(response, scope, send)
        if self._log_requests:
            self._log(exchange, response)

    async def _send(self, response: Response, scope: Scope, send: Send) -> None:
        if response.parts is None:
            await asgi.send(response, scope, send, self._lifecycle)
        elif not await asgi.stream(response, response.parts, send, self._lifecycle):
            wire.cut(send)

    def _endpoint(self, exchange: Exchange) -> Awaitable[Response]:
        scope = exchange.scope
        path = scope["path"]
        route = self._routes.get(path) or self._find(path)
        if route is None:
            return self._other(exchange)
        allowed, endpoint = route
        if scope["method"] not in allowed:
            return self._not_allowed(exchange, allowed)
        return endpoint(exchange)

    def _find(self, path: str) -> Route | None:
        """The routes whose paths name a model."""
        if path.startswith("/v2/repository"):
            return None if self.repository is None else self.repository.find(path)
        if path.startswith("/v2"):
            return self._v2.find(path)
        return self._v1.find(path) if path.startswith("/v1") else None

    def _predicting(self, decode: Decode, encode: Encode) -> Endpoint:
        return functools.partial(self._predict, _Bodies(decode, encode))

    async def _other(self, exchange: Exchange) -> Response:
        path = exchange.scope["path"]
        if not self._documentation.has(path):
            await self._discard(exchange)
            raise errors.NotFound(f"there is no {path} here")
        allowed = ("GET", "HEAD")
        if exchange.scope["method"] not in allowed:
            return await self._not_allowed(exchange, allowed)
        return await self._documentation.answer(path)

    async def _not_allowed(self, exchange: Exchange, allowed: tuple[str, ...]) -> Response:
        await self._discard(exchange)
        path, method = exchange.scope["path"], exchange.scope["method"]
        raise errors.MethodNotAllowed(f"{path} takes {' or '.join(allowed)}, not {method}", allow=allowed)

    async def _predict(self, bodies: "_Bodies", exchange: Exchange) -> Response:
        exchange.is_prediction = True
        metrics, heads, memory = self._metrics, exchange.heads, self._memory
        is_timed = exchange.number % TIMED == 0
        metrics.in_flight += 1
        size = 0
        try:
            data = await body.read(heads, exchange.receive, memory)
            size = len(data)
            memory.bytes += size
            deadline = body.deadline(heads)
            version = self._registry.live or await self._inference.version(deadline)
            exchange.version = version
            exchange.counted = self._counted(version)
            began = time.monotonic()
            rows = bodies.decode(version, data) if size < LARGE_BODY else await _in_thread(bodies, version, data)
            if is_timed:
                self._decode_seconds.observe(time.monotonic() - began)
            answers = await self._inference.predict(version, rows, deadline)
        finally:
            metrics.in_flight -= 1
            memory.bytes -= size
        began = time.monotonic()
        content = bodies.encode(answers, version)
        if is_timed:
            self._encode_seconds.observe(time.monotonic() - began)
        if lost := answers.lost():
            metrics.non_finite.labels(version.model, version.number).inc(lost)
        return Response(200, content, [JSON])

    async def _health(self, exchange: Exchange) -> Response:
        version = exchange.version
        ready = self._registry.is_ready
        document = {
            "status": "healthy" if ready else "unhealthy",
            "model_loaded": version is not None,
            "model_version": None if version is None else version.number,
        }
        return Response(200 if ready else 503, msgspec.json.encode(document), [JSON])

    async def _discard(self, exchange: Exchange) -> None:
        """Read a body that nobody wants, so that its sender is not reset before it reads the answer."""
        if exchange.scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            return
        try:
            await body.read(exchange.heads, exchange.receive, self._memory)
        except errors.RequestError:
            return

    def _counted(self, version: Version | None) -> OfVersion:
        if version is None:
            return self._metrics.of_version(self._registry.model, "")
        found: OfVersion | None = version.attached.get("counted")
        if found is None:
            found = version.attached["counted"] = self._metrics.of_version(version.model, version.number)
        return found

    def _log(self, exchange: Exchange, response: Response) -> None:
        _log.info(
            "request",
            method=exchange.scope["method"],
            path=exchange.scope["path"],
            status=response.status,
            request_id=exchange.request_id.decode(),
            version=None if exchange.version is None else exchange.version.number,
            milliseconds=round((time.monotonic() - exchange.began) * 1000, 2),
        )


class _Bodies:
    """How an endpoint's bodies become rows, and how answers become its bodies."""

    __slots__ = ("decode", "encode")

    def __init__(self, decode: Decode, encode: Encode) -> None:
        self.decode = decode
        self.encode = encode


async def _in_thread(bodies: _Bodies, version: Version, data: bytes) -> Rows:
    return await asyncio.to_thread(bodies.decode, version, data)


@functools.lru_cache(maxsize=64)
def _identity(number: str, digest: str) -> tuple[Header, Header]:
    return (b"x-model-version", number.encode()), (b"x-model-digest", digest.encode())
