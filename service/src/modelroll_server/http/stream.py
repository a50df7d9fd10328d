"""`POST /predict/stream`: lines of JSON in, lines of JSON out, one for one and in order.

Each line is answered by what is live when it is read, and a bad one by its error. A client that does not read is not
read from. On drain what was read is answered, and the last line names the next one to send elsewhere.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from modelroll_server import errors
from modelroll_server.http import body, encoding, problems
from modelroll_server.http.asgi import Header, Heads, Lifecycle, Receive, Response
from modelroll_server.http.exchange import Exchange
from modelroll_server.http.lines import Lines
from modelroll_server.inference import Inference
from modelroll_server.registry.registry import Registry
from modelroll_server.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from modelroll_server.registry.version import Version
    from modelroll_server.tensors import Answers

PATH = "/predict/stream"
MAX_LINE = 2**20
READ_FIRST = 8 * 2**20  # a client that says its length may be one that reads only after it has written all
IN_FLIGHT = 64  # lines of one stream that are computed while the next are read

_NDJSON: Header = (b"content-type", b"application/x-ndjson")
_TYPES = {b"application/x-ndjson", b"application/ndjson", b"application/jsonl", b"application/json-lines"}
_TYPES |= {b"", b"application/json", b"application/octet-stream"}

_log = structlog.get_logger(__name__)


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
        if length.isdigit() and len(length) < 10 and int(length) <= READ_FIRST:
            data = await body.read({}, receive, self._memory, READ_FIRST)
            receive, size = _given(data), len(data)
        return Response(200, b"", [_NDJSON], self._parts(receive, size, seconds))

    async def _parts(self, receive: Receive, size: int, seconds: float) -> AsyncGenerator[bytes, None]:
        asked: asyncio.Queue[_Asked | None] = asyncio.Queue()
        slots = asyncio.Semaphore(IN_FLIGHT)
        reading = asyncio.create_task(self._read(receive, seconds, asked, slots))
        self._metrics.in_flight += 1
        self._memory.bytes += size
        number = 0
        try:
            one = await asked.get()
            while one is not None:
                parts: list[bytes] = []
                # What is computed already goes out in one piece.
                while one is not None and (not parts or one.is_done()):
                    number += 1
                    parts.append(await self._answered(one, number))
                    slots.release()
                    one = asked.get_nowait() if asked.qsize() else _NOTHING
                yield b"".join(parts)
                if one is _NOTHING:
                    one = await asked.get()
            if await reading:
                yield msgspec.json.encode({"end": "draining", "next_line": number + 1}) + b"\n"
        finally:
            self._metrics.in_flight -= 1
            self._memory.bytes -= size
            reading.cancel()

    async def _read(
        self, receive: Receive, seconds: float, asked: "asyncio.Queue[_Asked | None]", slots: asyncio.Semaphore
    ) -> bool:
        """Begin what comes, until no more comes; true if the server leaves before that."""
        lines = Lines(MAX_LINE)
        leaving = asyncio.ensure_future(self._leaving.wait())
        try:
            more = True
            while more:
                coming = asyncio.ensure_future(receive())
                await asyncio.wait({coming, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    coming.cancel()
                    return True
                message = coming.result()
                if message["type"] == "http.disconnect":
                    return False
                more = message.get("more_body", False)
                found = lines.feed(message.get("body", b""))
                for line in found if more else [*found, *lines.finish()]:
                    await slots.acquire()
                    asked.put_nowait(await self._begin(line, seconds))
            return False
        finally:
            leaving.cancel()
            asked.put_nowait(None)

    async def _begin(self, line: bytes | None, seconds: float) -> "_Asked":
        asked = _Asked()
        deadline = asked.began + seconds
        try:
            version = asked.version = self._registry.live or await self._inference.version(deadline)
            if line is None:
                asked.error = errors.PayloadTooLarge(f"the line has more than {MAX_LINE // 2**20} MiB")
            else:
                asked.answers = self._inference.predict(version, [version.json.row(line)], deadline)
        except errors.RequestError as error:
            asked.error = error
        except Exception:  # noqa: BLE001 - logged; the caller gets a fixed text, and the other lines their answers
            _log.exception("a line failed")
        return asked

    async def _answered(self, asked: "_Asked", number: int) -> bytes:
        version = asked.version
        try:
            if asked.error is not None:
                raise asked.error
            if asked.answers is not None and version is not None:
                answers = await asked.answers
                if lost := answers.lost():
                    self._metrics.non_finite.labels(version.model, version.number).inc(lost)
                self._count(asked, 200)
                return encoding.one(answers, version) + b"\n"
            document: dict[str, Any] = {"error": problems.UNKNOWN, "code": "internal"}
            status = 500
        except errors.RequestError as error:
            document = {"error": error.message, "code": error.code}
            if error.field is not None:
                document["field"] = error.field
            status = problems.STATUS[type(error)]
        document["line"] = number
        if version is not None:
            document["model_version"] = version.number
        self._count(asked, status)
        return msgspec.json.encode(document) + b"\n"

    def _count(self, asked: "_Asked", status: int) -> None:
        version = asked.version
        counted = (
            self._metrics.of_version(self._registry.model, "")
            if version is None
            else self._metrics.of_version(version.model, version.number)
        )
        counted.count(status)
        counted.latency.observe(time.monotonic() - asked.began)


class _Asked:
    """One line: what will answer it, or why nothing does."""

    __slots__ = ("answers", "began", "error", "version")

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.version: Version | None = None
        self.answers: asyncio.Future[Answers] | None = None
        self.error: errors.RequestError | None = None

    def is_done(self) -> bool:
        """Whether its answer is there."""
        return self.error is not None or (self.answers is not None and self.answers.done())


_NOTHING = _Asked()  # stands for a line that is not there yet


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
