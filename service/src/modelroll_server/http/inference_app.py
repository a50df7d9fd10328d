"""Port 8000: `/predict`, `/batch_predict`, `/health`, and the door to the documentation pages.

Owns what every answer has in common: the request id, the headers that name the version, the error body, the counts.
"""

import functools
import secrets
import time
from typing import TYPE_CHECKING

import msgspec
import structlog

from modelroll_server import errors
from modelroll_server.http import asgi, body, decoding, encoding, problems
from modelroll_server.http.asgi import JSON, Header, Lifecycle, Receive, Response, Scope, Send
from modelroll_server.http.documentation import Documentation
from modelroll_server.inference import Inference, Prediction
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.version import Version
from modelroll_server.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

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
        self._documentation = Documentation(registry)
        self._routes: dict[str, tuple[tuple[str, ...], Callable[[Exchange], Awaitable[Response]]]] = {
            "/predict": (("POST",), functools.partial(self._predict, many=False)),
            "/batch_predict": (("POST",), functools.partial(self._predict, many=True)),
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
        response.headers += exchange.headers()
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
            await exchange.discard()
            raise errors.NotFound(f"there is no {path} here")
        method = exchange.scope["method"]
        if method not in allowed:
            await exchange.discard()
            raise errors.MethodNotAllowed(f"{path} takes {' or '.join(allowed)}, not {method}", allow=allowed)
        return await endpoint(exchange)

    async def _predict(self, exchange: "Exchange", *, many: bool) -> Response:
        with self._metrics.in_flight.track_inprogress():
            try:
                response = await self._predict_pinned(exchange, many=many)
            except errors.RequestError as error:
                self._count(exchange, problems.STATUS[type(error)])
                raise
            except body.Disconnected:
                raise
            except Exception:
                self._count(exchange, 500)
                raise
            self._count(exchange, response.status)
            return response

    async def _predict_pinned(self, exchange: "Exchange", *, many: bool) -> Response:
        data = await body.read(exchange.scope, exchange.receive)
        deadline = body.deadline(exchange.scope)
        value = decoding.document(data)
        version = exchange.version = await self._inference.version(deadline)
        decode = decoding.rows if many else decoding.row
        prediction = await self._inference.predict(version, functools.partial(decode, value), deadline)
        return self._encode(prediction, many=many)

    def _encode(self, prediction: Prediction, *, many: bool) -> Response:
        began = time.monotonic()
        content, lost = (encoding.many if many else encoding.one)(prediction)
        self._metrics.phases.labels("encode").observe(time.monotonic() - began)
        if lost:
            version = prediction.version
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

    def _count(self, exchange: "Exchange", status: int) -> None:
        version = exchange.version
        labels = (self._registry.model, "" if version is None else version.number)
        self._metrics.predictions.labels(*labels, str(status)).inc()
        self._metrics.latency.labels(*labels).observe(time.monotonic() - exchange.began)

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


class Exchange:
    """One request on its way: its head, its id, and the version that its answer will name."""

    __slots__ = ("began", "receive", "request_id", "scope", "version")

    def __init__(self, scope: Scope, receive: Receive, version: Version | None) -> None:
        self.scope = scope
        self.receive = receive
        self.version = version
        self.request_id = _request_id(asgi.header(scope, b"x-request-id"))
        self.began = time.monotonic()

    def headers(self) -> list[Header]:
        """What every answer carries."""
        found = [(b"x-request-id", self.request_id.encode())]
        if self.version is not None:
            found.append((b"x-model-version", self.version.number.encode()))
            found.append((b"x-model-digest", self.version.digest.encode()))
        return found

    async def discard(self) -> None:
        """Read a body that nobody wants, so that its sender is not reset before it reads the answer."""
        if self.scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            return
        try:
            await body.read(self.scope, self.receive)
        except errors.RequestError:
            return


def _request_id(given: str | None) -> str:
    if given is not None and 0 < len(given) <= 128 and _ID_CHARACTERS.issuperset(given):
        return given
    return secrets.token_hex(8)
