"""What all calls have in common: the message read, the id, the deadline, the version named, errors, counts.

Messages are read here and not by grpc, to which one that cannot be read is a fault of the server.
"""

import asyncio
import functools
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError

from modelroll_server import errors
from modelroll_server.batching.batch import Rows
from modelroll_server.grpc import fields, spans
from modelroll_server.grpc.statuses import COUNTED, STATUS, UNKNOWN
from modelroll_server.inference import Inference
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.version import Version
from modelroll_server.schema import Schema
from modelroll_server.schema.schema import MAX_ROWS
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.telemetry.traces import Trace, Traces
from modelroll_server.tensors import Answers

LARGE_MESSAGE = 256 * 1024  # bytes; larger ones are read in a thread
_FEW = 2**16  # fields that a message may have whatever the schema
DEFAULT_SECONDS = 10.0  # that an answer may take, when its caller sets no deadline

_log = structlog.get_logger(__name__)
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+=@")
_PROCESS = secrets.token_hex(6)  # no other process gives the same ids
_NUMBERS = itertools.count(1)

Read = TypeVar("Read")
Metadata = tuple[tuple[str, str], ...]


class Message(Protocol):
    """A message of protobuf."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """Its bytes."""


class Call:
    """One call on its way.

    Attributes:
        began: On the clock of `time.monotonic`.
        deadline: When its answer must be there, on the same clock.
        has_deadline: Whether its caller set that.
        encoded_from: When its answers were there, on the same clock; looked at where it has a span.
        request_id: Its caller's, or one made here.
        trace: Its span; None where it has none.
        version: What answers it, once it is pinned.
        is_large: Whether reading its message would keep the event loop from others for long.
    """

    __slots__ = ("began", "deadline", "encoded_from", "has_deadline", "is_large", "request_id", "trace", "version")

    def __init__(self, context: grpc.aio.ServicerContext, size: int = 0) -> None:
        self.is_large = size >= LARGE_MESSAGE
        self.began = time.monotonic()
        remaining = context.time_remaining()
        self.has_deadline = remaining is not None
        self.deadline = self.began + (DEFAULT_SECONDS if remaining is None else remaining)
        self.request_id = _request_id(context.invocation_metadata() or ())
        self.version: Version | None = None
        self.trace: Trace | None = None
        self.encoded_from = 0.0

    async def read(self, function: Callable[..., Read], *arguments: Any) -> Read:
        """What a function reads; in a thread if the message is large."""
        return await asyncio.to_thread(function, *arguments) if self.is_large else function(*arguments)

    def answered(self, answers: Answers, version: Version) -> Version:
        """Who answered: the version that was asked, or a candidate beside it."""
        found: Version = version if answers.by is None else answers.by
        self.version = found
        if self.trace is not None:
            self.encoded_from = time.monotonic()
        return found

    def traced(self) -> dict[str, str]:
        """What finds its trace from a line of the log, where it has one."""
        return {} if self.trace is None else {"trace_id": self.trace.id}

    def end(self, method: str, code: grpc.StatusCode, error: errors.RequestError | None) -> None:
        """End its span."""
        assert self.trace is not None
        if self.encoded_from:
            self.trace.phase("encode", self.encoded_from, time.monotonic())
        spans.end(self.trace, method, code, self.version, error)

    def trailer(self, error: errors.RequestError | None = None) -> Metadata:
        """What every answer carries after it."""
        found: Metadata = (("x-request-id", self.request_id),)
        if self.version is not None:
            found += _named(self.version.number, self.version.digest)
        if error is not None:
            found += (("x-error-code", error.code),)
            if error.field is not None and error.field.isascii() and error.field.isprintable():
                found += (("x-error-field", error.field),)
        return found


Unary = Callable[[Any, Call], Awaitable[Message]]
Stream = Callable[[grpc.aio.ServicerContext, Call], Awaitable[None]]


class Calls:
    """Makes method handlers of behaviours.

    Attributes:
        registry: What is live.
        inference: What predicts.
        metrics: Where it is counted.
    """

    def __init__(
        self, registry: Registry, inference: Inference, metrics: Metrics, traces: Traces | None = None
    ) -> None:
        self._traces = traces
        self.registry = registry
        self.inference = inference
        self.metrics = metrics

    def unary(self, request_type: Any, behaviour: Unary, method: str | None = None) -> grpc.RpcMethodHandler:
        """One message in, one out.

        Args:
            request_type: The type of the former.
            behaviour: What answers it.
            method: Its service and name, with a slash between them, for spans; None: it has none.
        """

        async def handle(data: bytes, context: grpc.aio.ServicerContext) -> bytes:
            call = Call(context, len(data))
            if self._traces is not None and method is not None:
                call.trace = spans.begin(self._traces, method, call.began, context)
            code, details, error = grpc.StatusCode.OK, "", None
            try:
                if call.is_large:
                    most = most_fields((await self.pin(call)).schema)
                    request = await call.read(parse, request_type, data, most)
                else:
                    request = parse(request_type, data)
                answer = (await behaviour(request, call)).SerializeToString()
                context.set_trailing_metadata(call.trailer())
            except errors.RequestError as refused:
                code, details, error = STATUS[type(refused)], refused.message, refused
            except asyncio.CancelledError:
                code = grpc.StatusCode.CANCELLED
                raise
            except Exception:  # noqa: BLE001 - logged; the caller gets a fixed text
                _log.exception("a call failed", request_id=call.request_id, **call.traced())
                code, details = grpc.StatusCode.INTERNAL, UNKNOWN
            else:
                return answer
            finally:
                if call.trace is not None and method is not None:
                    call.end(method, code, error)
            # grpc keeps what `abort` raises, and with it this frame, until garbage is collected: without the message.
            trailer = call.trailer(error)
            data, request, error = b"", None, None
            await context.abort(code, details, trailer)
            raise AssertionError

        return grpc.unary_unary_rpc_method_handler(handle)

    def stream(self, behaviour: Stream, method: str | None = None) -> grpc.RpcMethodHandler:
        """Many messages in, many out, as bytes: the behaviour reads them, for one that is bad must not end the rest."""

        async def handle(_: Any, context: grpc.aio.ServicerContext) -> None:
            call = Call(context)
            if self._traces is not None and method is not None:
                call.trace = spans.begin(self._traces, method, call.began, context)
            code, refusal = grpc.StatusCode.OK, None
            try:
                await behaviour(context, call)
            except errors.RequestError as error:
                code, refusal = STATUS[type(error)], error
                await context.abort(code, error.message, call.trailer(error))
            except (asyncio.CancelledError, grpc.aio.BaseError):
                code = grpc.StatusCode.CANCELLED
                raise  # the client has gone, which grpc handles
            except Exception:  # noqa: BLE001 - as above
                _log.exception("a stream failed", request_id=call.request_id, **call.traced())
                code = grpc.StatusCode.INTERNAL
                await context.abort(code, UNKNOWN, call.trailer())
            finally:
                if call.trace is not None and method is not None:
                    call.end(method, code, refusal)
            context.set_trailing_metadata(call.trailer())

        return grpc.stream_stream_rpc_method_handler(handle)

    def counted(self, behaviour: Unary) -> Unary:
        """A behaviour of predictions: each call of it is counted and timed by its outcome."""
        metrics = self.metrics

        async def handle(request: Any, call: Call) -> Message:
            metrics.in_flight += 1
            status = 500
            try:
                answer = await behaviour(request, call)
                status = 200
            except errors.RequestError as error:
                status = COUNTED[STATUS[type(error)]]
                raise
            except asyncio.CancelledError:
                status = 0
                raise
            finally:
                metrics.in_flight -= 1
                if status:
                    self.count(call.version, status, call.began)
            return answer

        return handle

    def count(self, version: Version | None, status: int, began: float) -> None:
        """Count one prediction by its outcome, in HTTP's numbers."""
        of_version = self.metrics.of_version(
            self.registry.model if version is None else version.model, "" if version is None else version.number
        )
        of_version.count(status)
        of_version.latency.observe(time.monotonic() - began)

    def predict(self, version: Version, rows: Rows, call: Call) -> asyncio.Future[Answers]:
        """Compute the rows of a call: see `Inference.predict`."""
        if call.trace is not None:
            call.trace.phase("decode", call.began, time.monotonic())
        return self.inference.predict(version, rows, call.deadline, call.trace)

    async def pin(self, call: Call) -> Version:
        """The version that answers a call.

        Raises:
            errors.RequestError: there is none.
        """
        call.version = self.registry.live or await self.inference.version(call.deadline)
        return call.version


def most_fields(schema: Schema, rows: int = MAX_ROWS) -> int:
    """How many fields a message of so many rows may have: a named value has four, and a row is one itself."""
    return 4 * schema.most_values(rows) + rows + _FEW


def parse(request_type: Any, data: bytes, most: int | None = None) -> Any:
    """The message in `data`.

    Args:
        request_type: Its type.
        data: Its bytes.
        most: Fields that it may have; None if it is small.

    Raises:
        errors.InvalidRequest: there is none.
        errors.PayloadTooLarge: it has more fields.
    """
    if most is not None and fields.are_more(data, request_type.DESCRIPTOR, most):
        raise errors.PayloadTooLarge(f"the message has too many fields; one request may have {MAX_ROWS} rows")
    try:
        return request_type.FromString(data)
    except DecodeError as error:
        raise errors.InvalidRequest(f"the message is no {request_type.DESCRIPTOR.name}") from error


@functools.lru_cache(maxsize=64)
def _named(number: str, digest: str) -> Metadata:
    return ("x-model-version", number), ("x-model-digest", digest)


def _request_id(metadata: Any) -> str:
    for key, value in metadata:
        if key == "x-request-id" and 0 < len(value) <= 128 and _ID_CHARACTERS.issuperset(value):
            return str(value)
    return f"{_PROCESS}-g{next(_NUMBERS):x}"
