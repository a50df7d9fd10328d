"""Port 8000: `/predict`, `/batch_predict`, `/health`, and the door to the documentation pages.

Owns what every answer has in common: the request id, the headers that name the version, the error body, the counts.
"""

import asyncio
import functools
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from modelroll_server import errors
from modelroll_server.batching.batch import Rows
from modelroll_server.http import asgi, body, encoding, problems
from modelroll_server.http.asgi import JSON, Header, Heads, Lifecycle, Receive, Response, Scope, Send
from modelroll_server.http.documentation import Documentation
from modelroll_server.inference import Inference
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.version import Version
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.tensors import Answers

LARGE_BODY = 256 * 1024  # bytes; larger ones are decoded in a thread

_log = structlog.get_logger(__name__)
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+=@")


class InferenceApp:
    """The ASGI application of the inference port."""

    def __init__(
        self,
        registry: Registry,
        inference: Inference,
        metrics: Metrics,
        lifecycle: Lifecycle,
        *,
        log_requests: bool = False,
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
        self._routes: dict[str, tuple[tuple[str, ...], Callable[[Exchange], Awaitable[Response]]]] = {
            "/predict": (("POST",), functools.partial(self._predict, one)),
            "/batch_predict": (("POST",), functools.partial(self._predict, many)),
            "/health": (("GET", "HEAD"), self._health),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, self._registry.live)
        self._lifecycle.requests += 1
        try:
            response = await self._answer(exchange)
        except body.Disconnected:
            return
        response.headers += exchange.answer_headers()
        await asgi.send(response, scope, send, self._lifecycle)
        if self._log_requests:
            self._log(exchange, response)

    async def _answer(self, exchange: "Exchange") -> Response:
        try:
            return await self._dispatch(exchange)
        except errors.RequestError as error:
            return problems.response(error, exchange.request_id)
        except body.Disconnected:
            raise
        except Exception:  # noqa: BLE001 - logged; the caller gets a fixed text
            _log.exception("a request failed", request_id=exchange.request_id, path=exchange.scope["path"])
            return problems.unknown(exchange.request_id)

    async def _dispatch(self, exchange: "Exchange") -> Response:
        path = exchange.scope["path"]
        route = self._routes.get(path)
        if route is not None:
            allowed, endpoint = route
        elif self._documentation.has(path):
            allowed, endpoint = ("GET", "HEAD"), self._document
        else:
            await self._discard(exchange)
            raise errors.NotFound(f"there is no {path} here")
        method = exchange.scope["method"]
        if method not in allowed:
            await self._discard(exchange)
            raise errors.MethodNotAllowed(f"{path} takes {' or '.join(allowed)}, not {method}", allow=allowed)
        return await endpoint(exchange)

    async def _predict(self, bodies: "_Bodies", exchange: "Exchange") -> Response:
        self._metrics.in_flight += 1
        status = 500
        try:
            response = await self._predict_pinned(bodies, exchange)
            status = response.status
        except errors.RequestError as error:
            status = problems.STATUS[type(error)]
            raise
        except (body.Disconnected, asyncio.CancelledError):
            status = 0
            raise
        finally:
            self._metrics.in_flight -= 1
            if status:
                self._count(exchange, status)
        return response

    async def _predict_pinned(self, bodies: "_Bodies", exchange: "Exchange") -> Response:
        data = await body.read(exchange.heads, exchange.receive, self._memory)
        self._memory.bytes += len(data)
        try:
            deadline = body.deadline(exchange.heads)
            version = exchange.version = await self._inference.version(deadline)
            began = time.monotonic()
            if len(data) < LARGE_BODY:
                rows = bodies.decode(version, data)
            else:
                rows = await asyncio.to_thread(bodies.decode, version, data)
            self._decode_seconds.observe(time.monotonic() - began)
            answers = await self._inference.predict(version, rows, deadline)
        finally:
            self._memory.bytes -= len(data)
        began = time.monotonic()
        content = bodies.encode(answers, version)
        self._encode_seconds.observe(time.monotonic() - began)
        if lost := answers.lost():
            self._metrics.non_finite.labels(version.model, version.number).inc(lost)
        return Response(200, content, [JSON])

    async def _health(self, exchange: "Exchange") -> Response:
        version = exchange.version
        ready = self._registry.is_ready
        document = {
            "status": "healthy" if ready else "unhealthy",
            "model_loaded": version is not None,
            "model_version": None if version is None else version.number,
        }
        return Response(200 if ready else 503, msgspec.json.encode(document), [JSON])

    async def _document(self, exchange: "Exchange") -> Response:
        return await self._documentation.answer(exchange.scope["path"])

    async def _discard(self, exchange: "Exchange") -> None:
        """Read a body that nobody wants, so that its sender is not reset before it reads the answer."""
        if exchange.scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            return
        try:
            await body.read(exchange.heads, exchange.receive, self._memory)
        except errors.RequestError:
            return

    def _count(self, exchange: "Exchange", status: int) -> None:
        version = exchange.version
        of_version = self._metrics.of_version(self._registry.model, "" if version is None else version.number)
        of_version.count(status)
        of_version.latency.observe(time.monotonic() - exchange.began)

    def _log(self, exchange: "Exchange", response: Response) -> None:
        _log.info(
            "request",
            method=exchange.scope["method"],
            path=exchange.scope["path"],
            status=response.status,
            request_id=exchange.request_id,
            version=None if exchange.version is None else exchange.version.number,
            milliseconds=round((time.monotonic() - exchange.began) * 1000, 2),
        )


class _Bodies:
    """How an endpoint's bodies become rows, and how answers become its bodies."""

    __slots__ = ("decode", "encode")

    def __init__(self, decode: Callable[[Version, bytes], Rows], encode: Callable[[Answers, Version], bytes]) -> None:
        self.decode = decode
        self.encode = encode


class Exchange:
    """One request on its way: its head, its id, and the version that its answer will name."""

    __slots__ = ("began", "heads", "receive", "request_id", "scope", "version")

    def __init__(self, scope: Scope, receive: Receive, version: Version | None) -> None:
        self.began = time.monotonic()
        self.scope = scope
        self.receive = receive
        self.version = version
        self.heads: Heads = dict(scope["headers"])
        given = self.heads.get(b"x-request-id")
        self.request_id = _ids() if given is None else _checked_id(given)

    def answer_headers(self) -> list[Header]:
        """What every answer carries."""
        found = [(b"x-request-id", self.request_id.encode())]
        if self.version is not None:
            found += _identity(self.version.number, self.version.digest)
        return found


@functools.lru_cache(maxsize=64)
def _identity(number: str, digest: str) -> tuple[Header, Header]:
    return (b"x-model-version", number.encode()), (b"x-model-digest", digest.encode())


def _request_ids() -> Callable[[], str]:
    """Ids that no other process gives: a random part, and a count."""
    prefix, numbers = secrets.token_hex(6), itertools.count(1)
    return lambda: f"{prefix}-{next(numbers):x}"


_ids = _request_ids()


def _checked_id(given: bytes) -> str:
    text = given.decode("latin-1")
    return text if 0 < len(text) <= 128 and _ID_CHARACTERS.issuperset(text) else _ids()
