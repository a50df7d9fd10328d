"""`POST /predict/stream`: lines of JSON in, lines of JSON out, one for one and in order.

Each line is answered by what is live when it is read, and a bad one by its error. A client that does not read is not
read from. On drain what was read is answered, and the last line names the next one to send elsewhere.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from modelroll_server import encoding, errors
from modelroll_server.http import body, problems, wire
from modelroll_server.http.asgi import Header, Heads, Lifecycle, Receive, Response
from modelroll_server.http.exchange import Exchange
from modelroll_server.http.lines import Lines
from modelroll_server.inference import Inference
from modelroll_server.pipeline import Begun, Pipeline
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.version import Version
from modelroll_server.schema import Row
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.tensors import Answers

PATH = "/predict/stream"
MAX_LINE = 2**20
READ_FIRST = 8 * 2**20  # a client that says its length may be one that reads only after it has written all

_NDJSON: Header = (b"content-type", b"application/x-ndjson")
_TYPES = {b"application/x-ndjson", b"application/ndjson", b"application/jsonl", b"application/json-lines"}
_TYPES |= {b"", b"application/json", b"application/octet-stream"}


class LineStream:
    """The endpoint."""

    def __init__(
        self, registry: Registry, inference: Inference, metrics: Metrics, lifecycle: Lifecycle, memory: body.Memory
    ) -> None:
        self._registry = registry
        self._inference = inference
        self._metrics = metrics
        self._leaving = lifecycle.leaving
        self._memory = memory

    async def answer(self, exchange: Exchange) -> Response:
        """The answer, whose parts follow.

        Raises:
            errors.RequestError: nothing of it can be read; or there is no model.
        """
        _check(exchange.heads)
        seconds = body.deadline(exchange.heads) - time.monotonic()
        exchange.version = self._registry.live or await self._inference.version(time.monotonic() + seconds)
        length = exchange.heads.get(b"content-length", b"")
        receive, size = exchange.receive, 0
        client = exchange.receive
        if length.isdigit() and len(length) < 10 and int(length) <= READ_FIRST:
            data = await body.read({}, receive, self._memory, READ_FIRST)
            receive, size = _given(data), len(data)
        return Response(200, b"", [_NDJSON], self._parts(client, receive, size, seconds))

    async def _parts(self, client: Receive, receive: Receive, size: int, seconds: float) -> AsyncGenerator[bytes, None]:
        pipeline = Pipeline(self._registry, self._inference, self._metrics, _row, seconds=seconds)
        more_to_come = False

        async def read() -> None:
            nonlocal more_to_come
            more_to_come = not await self._read(client, receive, pipeline)

        self._memory.bytes += size
        number = 0
        try:
            async with pipeline.reading(read()):
                while (begun := await pipeline.next()) is not None:
                    number += 1
                    parts = [self._answered(begun, number, pipeline)]
                    while pipeline.has_next() and (begun := await pipeline.next()) is not None:
                        number += 1  # what is computed already goes out in one piece
                        parts.append(self._answered(begun, number, pipeline))
                    yield b"".join(parts)
                if more_to_come:
                    yield msgspec.json.encode({"end": "draining", "next_line": number + 1}) + b"\n"
        finally:
            self._memory.bytes -= size

    async def _read(self, client: Receive, receive: Receive, pipeline: "Pipeline[bytes | None]") -> bool:
        """Begin what comes, until no more comes; false if the server leaves before that."""
        lines = Lines(MAX_LINE)
        leaving = asyncio.ensure_future(self._leaving.wait())
        try:
            more = True
            while more:
                coming = asyncio.ensure_future(receive())
                await asyncio.wait({coming, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    coming.cancel()
                    return False
                message = coming.result()
                if message["type"] == "http.disconnect":
                    return True
                more = message.get("more_body", False)
                found = lines.feed(message.get("body", b""))
                for line in found if more else [*found, *lines.finish()]:
                    if self._leaving.is_set():
                        return False
                    if wire.is_gone(client):
                        return True
                    await pipeline.begin(line)
            return True
        finally:
            leaving.cancel()

    def _answered(self, begun: Begun, number: int, pipeline: "Pipeline[bytes | None]") -> bytes:
        found, version = begun.result(), begun.version
        if version is not None and isinstance(found, Answers):
            if lost := found.lost():
                self._metrics.non_finite.labels(version.model, version.number).inc(lost)
            pipeline.count(begun, 200)
            return encoding.one(found, version) + b"\n"
        document: dict[str, Any] = {"error": problems.UNKNOWN, "code": "internal"}
        status = 500
        if isinstance(found, errors.RequestError):
            document = {"error": found.message, "code": found.code}
            if found.field is not None:
                document["field"] = found.field
            status = problems.STATUS[type(found)]
        document["line"] = number
        if version is not None:
            document["model_version"] = version.number
        pipeline.count(begun, status)
        return msgspec.json.encode(document) + b"\n"


def _row(version: Version, line: bytes | None) -> Row:
    """The checked row of a line.

    Raises:
        errors.RequestError: it is not one of this model.
    """
    if line is None:
        raise errors.PayloadTooLarge(f"the line has more than {MAX_LINE // 2**20} MiB")
    return version.json.row(line)


def _check(heads: Heads) -> None:
    essence = heads.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if essence not in _TYPES:
        raise errors.UnsupportedMediaType(
            f"the Content-Type {essence.decode('latin-1')!r} is not read here; application/x-ndjson is"
        )
    if heads.get(b"content-encoding", b"identity") != b"identity":
        raise errors.UnsupportedMediaType("a stream is read as it is, without a Content-Encoding")


def _given(data: bytes) -> Receive:
    """A body that was read already, as ASGI gives it."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": data, "more_body": False}

    return receive
