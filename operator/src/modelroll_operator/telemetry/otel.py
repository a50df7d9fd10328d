"""Traces by OpenTelemetry's SDK, to a collector that speaks OTLP over HTTP.

Owns what may go wrong there: a collector that is down or hangs costs spans, which are counted, and nothing else.
"""

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version as installed

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, set_span_in_context
from prometheus_client import Counter

from modelroll_operator.telemetry.traces import SERVICE, Attributes, Origin

CLOSING_SECONDS = 2.0  # that the end of the process waits for a collector
SAID_EVERY = 60.0  # seconds between two lines of the log that say the same
MOST_WAITING = 2048  # spans, where OTEL_BSP_MAX_QUEUE_SIZE does not say

_NOBODY = Context()

_log = structlog.get_logger(__name__)


class Otel:
    """`traces.Traces` by the SDK."""

    def __init__(self, environment: Mapping[str, str], spans: Counter) -> None:
        """Begin to send.

        Raises:
            Exception: The SDK cannot be set up as its variables say.
        """
        resource = Resource.create({"service.version": installed("modelroll-operator")})
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: SERVICE}))
        resource = Resource({"service.instance.id": str(uuid.uuid4())}).merge(resource)
        most = int(environment.get("OTEL_BSP_MAX_QUEUE_SIZE") or MOST_WAITING)
        self._outbox = _Outbox(_Collector(OTLPSpanExporter(), spans), spans, most)
        self._ids = _Ids()
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(self._outbox)
        self._tracer = self._provider.get_tracer("modelroll", installed("modelroll-operator"))
        for logger in (logging.getLogger(trace_exporter.__name__), logging.getLogger("opentelemetry.sdk")):
            logger.addFilter(_NowAndThen())

    @contextlib.contextmanager
    def step(self, name: str, attributes: Attributes, origin: Origin | None) -> Iterator[None]:
        """See `traces.Traces`."""
        context = _NOBODY
        if origin is not None:
            decision = self._provider.sampler.should_sample(None, origin.trace_id, "rollout").decision
            flags = TraceFlags(TraceFlags.SAMPLED if decision is Decision.RECORD_AND_SAMPLE else TraceFlags.DEFAULT)
            parent = SpanContext(origin.trace_id, origin.span_id, is_remote=True, trace_flags=flags)
            context = set_span_in_context(NonRecordingSpan(parent), _NOBODY)
        span = self._tracer.start_span(name, context, attributes=attributes)
        said = {"trace_id": f"{span.get_span_context().trace_id:032x}"} if span.is_recording() else {}
        try:
            with structlog.contextvars.bound_contextvars(**said):
                yield
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR, str(error)))
            raise
        finally:
            span.end()

    def rollout(self, origin: Origin, began: datetime, attributes: Attributes, error: str | None) -> None:
        """See `traces.Traces`."""
        self._ids.next = origin
        try:
            start = int(began.timestamp() * 1e9)
            span = self._tracer.start_span("rollout", _NOBODY, attributes=attributes, start_time=start)
        finally:
            self._ids.next = None
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end()

    def close(self) -> None:
        """See `traces.Traces`."""
        # The SDK would wait for half a minute. No end of a process waits for a daemon's thread.
        closing = threading.Thread(target=self._outbox.shutdown, name="close traces", daemon=True)
        closing.start()
        closing.join(CLOSING_SECONDS)


class _Ids(RandomIdGenerator):
    """Random numbers, but for a span that was referred to before it is made.

    Attributes:
        next: That span; None: none.
    """

    next: Origin | None = None

    def generate_trace_id(self) -> int:
        return super().generate_trace_id() if self.next is None else self.next.trace_id

    def generate_span_id(self) -> int:
        return super().generate_span_id() if self.next is None else self.next.span_id


class _Collector(SpanExporter):
    """The collector, and what came of what it was sent.

    Attributes:
        taken: Spans that do not wait any more.
    """

    def __init__(self, exporter: SpanExporter, spans: Counter) -> None:
        self._exporter = exporter
        self._sent, self._failed = spans.labels("sent"), spans.labels("failed")
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            (self._sent if result is SpanExportResult.SUCCESS else self._failed).inc(len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _Outbox(BatchSpanProcessor):
    """The SDK's queue, of so many spans; beyond that they are dropped, which the SDK does too, but does not count."""

    def __init__(self, collector: _Collector, spans: Counter, most: int) -> None:
        super().__init__(collector, max_queue_size=most)
        self._collector = collector
        self._dropped = spans.labels("dropped")
        self._most = most
        self._given = 0

    def on_end(self, span: ReadableSpan) -> None:
        if self._given - self._collector.taken >= self._most:
            self._dropped.inc()
            return
        self._given += 1
        super().on_end(span)


class _NowAndThen(logging.Filter):
    """Lets a line pass, and after it none for a while: a collector that is down would be one every few seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._said = -SAID_EVERY

    def filter(self, record: logging.LogRecord) -> bool:
        del record
        if (now := time.monotonic()) - self._said < SAID_EVERY:
            return False
        self._said = now
        return True
