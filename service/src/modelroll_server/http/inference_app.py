"""Port 8000: `/predict`, `/batch_predict`, `/health`, and the door to the other protocols and the documentation pages.

Owns what every answer has in common: the request id, the headers that name the version, the error body, the counts.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import structlog

from modelroll_server import errors
from modelroll_server.access.callers import Callers
from modelroll_server.http import asgi, body, predictions, problems, spans, stream, wire
from modelroll_server.http.asgi import JSON, Lifecycle, Receive, Response, Scope, Send
from modelroll_server.http.documentation import Documentation
from modelroll_server.http.exchange import Endpoint, Exchange, Route
from modelroll_server.http.page.page import Page
from modelroll_server.http.predictions import Bodies, Predictions
from modelroll_server.http.stream import LineStream
from modelroll_server.http.v1 import V1, Decode, Encode
from modelroll_server.http.v2 import OpenInference
from modelroll_server.inference import Inference
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.version import Version
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.telemetry.traces import Traces
from modelroll_server.tensors import Answers

if TYPE_CHECKING:
    from modelroll_server.http.repository import Repository

_log = structlog.get_logger(__name__)


class Options(NamedTuple):
    """What the port may have beside its answers.

    Attributes:
        log_requests: Whether each has a line in the log.
        page: For people, at `/`.
        traces: Where traces go.
        callers: Who may call; None: everybody.
    """

    log_requests: bool = False
    page: Page | None = None
    traces: Traces | None = None
    callers: Callers | None = None


PLAIN = Options()


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
        options: Options = PLAIN,
    ) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._log_requests = options.log_requests
        self._traces = options.traces
        self._callers = options.callers
        self._page = page = options.page
        self._memory = body.Memory()
        self._documentation = Documentation(registry)
        self._predictions = Predictions(registry, inference, metrics, self._memory)
        self.repository: Repository | None = None
        self._v1 = V1(registry, self._predicting)
        self._v2 = OpenInference(registry, inference, metrics, self._memory)
        lines = LineStream(registry, inference, metrics, lifecycle, self._memory)
        self._routes: dict[str, Route] = {
            "/predict": (("POST",), functools.partial(self._predictions.answer, predictions.ONE)),
            "/batch_predict": (("POST",), functools.partial(self._predictions.answer, predictions.MANY)),
            stream.PATH: (("POST",), lines.answer),
            "/health": (("GET", "HEAD"), self._health),
            **({} if page is None else page.routes),
        }
        self._open = {"/health"} if page is None else {"/health", *page.assets}  # balancers ask, and browsers
        self._offered = {"/predict": predictions.ONE, "/batch_predict": predictions.MANY}
        self._sending: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, self._registry.live)
        if self._traces is not None:
            spans.begin(self._traces, exchange)
        self._lifecycle.requests += 1
        try:
            response = await self._endpoint(exchange)
        except body.Disconnected:
            spans.end(exchange, None)
            return
        except Exception as error:  # noqa: BLE001 - logged; the caller gets a fixed text
            response = self._failed(exchange, error)
        self._complete(exchange, response)
        cycle = wire.cycle(send)
        if response.parts is not None or cycle is None or not wire.write(response, cycle, self._lifecycle.draining):
            await self._send(response, scope, send)
        if exchange.trace is not None:
            spans.end(exchange, response.status)
        if self._log_requests:
            self._log(exchange, response)

    def offer(self, cycle: wire.Cycle) -> asyncio.Future[Any] | None:
        """Take a small prediction whose body is there, to answer it without a task: `__call__`, cut at its one wait.

        Returns:
            What it waits for, to be cancelled if the client goes away; None if `__call__` is to answer it.
        """
        scope = cycle.scope
        bodies = self._offered.get(scope["path"])
        version = self._registry.live
        if bodies is None or version is None or scope["method"] != "POST":
            return None
        exchange = Exchange(scope, cycle.receive, version)  # type: ignore[arg-type] # uvicorn's words for the same
        if len(cycle.body) >= predictions.LARGE_BODY or b"content-encoding" in exchange.heads:
            return None
        if self._callers is not None and not self._is_admitted(exchange, self._callers):
            return None
        if self._traces is not None:
            spans.begin(self._traces, exchange)
        self._lifecycle.requests += 1
        data = wire.take(cycle)
        size = len(data)
        try:
            answers = self._predictions.begin(bodies, exchange, version, data)
        except Exception as error:  # noqa: BLE001 - as above
            self._predictions.leave(size)
            self._reply(cycle, exchange, self._failed(exchange, error))
            nothing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            nothing.set_result(None)
            return nothing
        # An answer that is there already is written in the loop's next turn, too: writing all one after another takes
        # a third less than each between two reads.
        answers.add_done_callback(functools.partial(self._answered, cycle, exchange, version, bodies, size))
        return answers

    def _answered(
        self,
        cycle: wire.Cycle,
        exchange: Exchange,
        version: Version,
        bodies: Bodies,
        size: int,
        answers: asyncio.Future[Answers],
    ) -> None:
        self._predictions.leave(size)
        if answers.cancelled():  # nobody is there any more
            spans.end(exchange, None)
            return
        try:
            response = self._predictions.response(bodies, exchange, version, answers.result())
        except Exception as error:  # noqa: BLE001 - as above
            response = self._failed(exchange, error)
        self._reply(cycle, exchange, response)

    def _reply(self, cycle: wire.Cycle, exchange: Exchange, response: Response) -> None:
        self._complete(exchange, response)
        if not wire.write(response, cycle, self._lifecycle.draining):  # its client does not read, or is gone
            sending = asyncio.ensure_future(self._send(response, exchange.scope, cycle.send))  # type: ignore[arg-type] # as above
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)
        if exchange.trace is not None:
            spans.end(exchange, response.status)
        if self._log_requests:
            self._log(exchange, response)

    def _complete(self, exchange: Exchange, response: Response) -> None:
        """Count it, and give it what all answers have."""
        version = exchange.version
        if exchange.is_prediction:
            counted = self._predictions.counted(version)
            counted.count(response.status)
            counted.latency.observe(time.monotonic() - exchange.began)
        response.headers.append((b"x-request-id", exchange.request_id))
        if version is not None:
            response.fixed = _identity(version.number, version.digest)

    def _failed(self, exchange: Exchange, error: Exception) -> Response:
        request_id = exchange.request_id.decode()
        if isinstance(error, errors.RequestError):
            exchange.error = error.code
            return problems.response(error, request_id)
        exchange.error = problems.INTERNAL
        _log.error(
            "a request failed", exc_info=error, request_id=request_id, path=exchange.scope["path"], **_traced(exchange)
        )
        return problems.unknown(request_id)

    async def _send(self, response: Response, scope: Scope, send: Send) -> None:
        if response.parts is None:
            try:
                async with asyncio.timeout(asgi.BLOCKED_SECONDS):
                    await asgi.send(response, scope, send, self._lifecycle)
            except TimeoutError:
                wire.cut(send)
        elif not await asgi.stream(response, response.parts, send, self._lifecycle):
            wire.cut(send)

    def _endpoint(self, exchange: Exchange) -> Awaitable[Response]:
        scope = exchange.scope
        path = scope["path"]
        if self._callers is not None and not self._is_admitted(exchange, self._callers):
            return self._turn_away(exchange, self._callers)
        route = self._routes.get(path) or self._find(path)
        if route is None:
            return self._other(exchange)
        allowed, endpoint = route
        if scope["method"] not in allowed:
            return self._not_allowed(exchange, allowed)
        return endpoint(exchange)

    def _is_admitted(self, exchange: Exchange, callers: Callers) -> bool:
        """Whether a request may be answered: by its token, or as one that needs none."""
        path, method = exchange.scope["path"], exchange.scope["method"]
        if path in self._open and method in {"GET", "HEAD"}:
            return True
        route = None if self.repository is None else self.repository.find(path)
        if route is not None and method in route[0]:  # it has a token of its own
            return True
        exchange.caller = callers.find(exchange.heads.get(b"authorization"))
        return exchange.caller is not None

    async def _turn_away(self, exchange: Exchange, callers: Callers) -> Response:
        exchange.version = None  # which its caller need not learn
        if wire.is_waiting_to_send(exchange.receive) or not await body.discard(exchange.receive):
            wire.end_with_answer(exchange.receive)
        refusal = callers.refusal(exchange.heads.get(b"authorization"))
        if (
            self._page is not None
            and exchange.scope["path"] == "/"
            and b"text/html" in exchange.heads.get(b"accept", b"")
        ):
            return await self._page.sign_in()
        raise refusal

    def _find(self, path: str) -> Route | None:
        """The routes whose paths name a model."""
        if path.startswith("/v2/repository"):
            return None if self.repository is None else self.repository.find(path)
        if path.startswith("/v2"):
            return self._v2.find(path)
        return self._v1.find(path) if path.startswith("/v1") else None

    def _predicting(self, decode: Decode, encode: Encode) -> Endpoint:
        return functools.partial(self._predictions.answer, Bodies(decode, encode))

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
        await body.discard(exchange.receive)

    def _log(self, exchange: Exchange, response: Response) -> None:
        _log.info(
            "request",
            method=exchange.scope["method"],
            path=exchange.scope["path"],
            status=response.status,
            request_id=exchange.request_id.decode(),
            version=None if exchange.version is None else exchange.version.number,
            milliseconds=round((time.monotonic() - exchange.began) * 1000, 2),
            **_traced(exchange),
            **({} if exchange.caller is None else {"caller": exchange.caller.name}),
        )


def _traced(exchange: Exchange) -> dict[str, str]:
    """What finds a line's trace, where it has one."""
    return {} if exchange.trace is None else {"trace_id": exchange.trace.id}


@functools.lru_cache(maxsize=64)
def _identity(number: str, digest: str) -> asgi.Fixed:
    return asgi.Fixed([(b"x-model-version", number.encode()), (b"x-model-digest", digest.encode())])
