"""A prediction as HTTP asks for it: from the body of a request to rows, from answers to the body that goes back.

Owns the two ways of doing it: `answer`, which waits for what is not there yet, and `begin` and `response`, which wait
for nothing. Knows nothing of paths, or of the headers that all answers have.
"""

import asyncio
import time

from modelroll_server import encoding
from modelroll_server.batching.batch import Rows
from modelroll_server.http import body
from modelroll_server.http.asgi import JSON, Response
from modelroll_server.http.exchange import Exchange
from modelroll_server.http.v1 import Decode, Encode
from modelroll_server.inference import Inference
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.version import Version
from modelroll_server.telemetry.metrics import Metrics, OfVersion
from modelroll_server.tensors import Answers

LARGE_BODY = 256 * 1024  # bytes; larger ones are decoded in a thread


class Bodies:
    """How an endpoint's bodies become rows, and how answers become its bodies."""

    __slots__ = ("decode", "encode")

    def __init__(self, decode: Decode, encode: Encode) -> None:
        self.decode = decode
        self.encode = encode


ONE = Bodies(lambda version, data: [version.json.row(data)], encoding.one)
MANY = Bodies(lambda version, data: version.json.rows(data), encoding.many)


class Predictions:
    """Predictions of whatever is live, for any endpoint's bodies."""

    def __init__(self, registry: Registry, inference: Inference, metrics: Metrics, memory: body.Memory) -> None:
        self._registry = registry
        self._inference = inference
        self._metrics = metrics
        self._memory = memory
        self._decode_seconds = metrics.phases.labels("decode")
        self._encode_seconds = metrics.phases.labels("encode")

    async def answer(self, bodies: Bodies, exchange: Exchange) -> Response:
        """Answer one request, whose body may still be on its way, and whose model may still be loaded.

        Raises:
            errors.RequestError: it cannot be answered.
            body.Disconnected: its client went away.
        """
        exchange.is_prediction = True
        size = 0
        self._metrics.in_flight += 1
        try:
            data = await body.read(exchange.heads, exchange.receive, self._memory)
            size = len(data)
            self._memory.bytes += size
            deadline = body.deadline(exchange.heads)
            version = exchange.version = self._registry.live or await self._inference.version(deadline)
            if size < LARGE_BODY:
                rows = self._rows(bodies, exchange, version, data)
            else:
                rows = await asyncio.to_thread(self._rows, bodies, exchange, version, data)
            computing = self._inference.predict(version, rows, deadline, exchange.trace)
            answers = await body.answered(exchange.receive, computing)
        finally:
            self.leave(size)
        return self.response(bodies, exchange, version, answers)

    def begin(self, bodies: Bodies, exchange: Exchange, version: Version, data: bytes) -> asyncio.Future[Answers]:
        """Begin to answer one request, whose body is there and small; the future gets its answers, or an error.

        Its caller calls `leave` once they are there, or if this raises.

        Raises:
            errors.RequestError: it cannot be answered.
        """
        exchange.is_prediction = True
        self._metrics.in_flight += 1
        self._memory.bytes += len(data)
        data = body.checked(exchange.heads, data)
        deadline = body.deadline(exchange.heads)
        rows = self._rows(bodies, exchange, version, data)
        return self._inference.predict(version, rows, deadline, exchange.trace)

    def leave(self, size: int) -> None:
        """Count one request less, with a body of so many bytes."""
        self._metrics.in_flight -= 1
        self._memory.bytes -= size

    def response(self, bodies: Bodies, exchange: Exchange, version: Version, answers: Answers) -> Response:
        """What the answers are to the caller."""
        if answers.by is not None:
            version = exchange.version = answers.by
        if exchange.is_timed:
            began = time.monotonic()
            content = bodies.encode(answers, version)
            exchange.timed("encode", self._encode_seconds, began)
        else:
            content = bodies.encode(answers, version)
        if lost := answers.lost():
            self._metrics.non_finite.labels(version.model, version.number).inc(lost)
        return Response(200, content, [JSON])

    def counted(self, version: Version | None) -> OfVersion:
        """Where requests to a version are counted."""
        if version is None:
            return self._metrics.of_version(self._registry.model, "")
        found: OfVersion | None = version.attached.get(OfVersion)
        if found is None:
            found = version.attached[OfVersion] = self._metrics.of_version(version.model, version.number)
        return found

    def _rows(self, bodies: Bodies, exchange: Exchange, version: Version, data: bytes) -> Rows:
        if not exchange.is_timed:
            return bodies.decode(version, data)
        began = time.monotonic()
        rows = bodies.decode(version, data)
        exchange.timed("decode", self._decode_seconds, began)
        return rows
