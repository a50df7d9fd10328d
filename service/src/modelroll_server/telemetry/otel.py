"""Traces by OpenTelemetry's SDK, to a collector that speaks OTLP over HTTP.

Owns what may go wrong there: a collector that is down or hangs costs spans, which are counted, and nothing else.
"""

import logging
import random
import re
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from importlib.metadata import version as installed

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace import span as propagated
from opentelemetry.trace.propagation import tracecontext

from modelroll_server.telemetry.tally import Counts
from modelroll_server.telemetry.traces import Attributes, Kind, Trace, counts

CLOSING_SECONDS = 2.0  # that the end of a process waits for a collector
SAID_EVERY = 60.0  # seconds between two lines of the log that say the same
REST = 4.0  # seconds for each that was spent on encoding: it gets a fifth of a CPU at most
MOST_SENT = 128  # spans at once, where OTEL_BSP_MAX_EXPORT_BATCH_SIZE does not say: to encode them takes 2 ms
MOST_WAITING = 2048  # spans, where OTEL_BSP_MAX_QUEUE_SIZE does not say

_KINDS = {"server": SpanKind.SERVER, "internal": SpanKind.INTERNAL}
_NOBODY = Context()
# Well formed, and its caller has decided that it is not sampled.
_UNSAMPLED = re.compile("00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f][02468ace]")

_log = structlog.get_logger(__name__)


class Otel:
    """`traces.Traces` by the SDK."""

    def __init__(self, environment: Mapping[str, str], service: str) -> None:
        """Begin to send.

        Raises:
            Exception: the SDK cannot be set up as its variables say.
        """
        self.counts = counts()
        resource = Resource.create({"service.version": installed("modelroll-server")})
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: service}))
        resource = Resource({"service.instance.id": str(uuid.uuid4())}).merge(resource)
        most = int(environment.get("OTEL_BSP_MAX_QUEUE_SIZE") or MOST_WAITING)
        at_once = int(environment.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE") or min(MOST_SENT, most))
        self._collector = _Collector(OTLPSpanExporter(), self.counts)
        self._outbox = _Outbox(self._collector, self.counts, most, at_once)
        self._sampling = _Sampling(environment)
        provider = TracerProvider(resource=resource, id_generator=self._sampling, shutdown_on_exit=False)
        provider.add_span_processor(self._outbox)
        self._tracer = provider.get_tracer("modelroll", installed("modelroll-server"))
        self._extract = tracecontext.TraceContextTextMapPropagator().extract
        for logger in (logging.getLogger(trace_exporter.__name__), logging.getLogger("opentelemetry.sdk")):
            logger.addFilter(_NowAndThen())
        # They warn of each request whose headers are garbled, in the caller's words.
        for module in (propagated, tracecontext):
            logging.getLogger(module.__name__).setLevel(logging.ERROR)

    def begin(
        self, name: str, kind: Kind, began: float, traceparent: str | None = None, tracestate: str | None = None
    ) -> Trace | None:
        """See `traces.Traces`."""
        if self._sampling.is_out(traceparent):
            return None
        context = _NOBODY
        if traceparent is not None:
            carrier = {"traceparent": traceparent}
            if tracestate is not None:
                carrier["tracestate"] = tracestate
            context = self._extract(carrier, _NOBODY)
        ahead = time.time() - time.monotonic()
        span = self._tracer.start_span(name, context, _KINDS[kind], start_time=_nanoseconds(began + ahead))
        self._sampling.trace_id = None
        return OtelTrace(self._outbox, span, ahead) if isinstance(span, Span) else None

    def computed(self, traces: Sequence[Trace], began: float, seconds: float, attributes: Attributes) -> None:
        """See `traces.Traces`."""
        found = [trace for trace in traces if isinstance(trace, OtelTrace)]
        others = [one.span.context for one in found[1:]]
        first = found[0].infer(began, began + seconds, attributes, others)
        for one in found[1:]:
            one.infer(began, began + seconds, attributes, [first])

    def close(self) -> None:
        """See `traces.Traces`."""
        self._collector.closing.set()
        # The SDK would wait for half a minute. No end of a process waits for a daemon's thread.
        closing = threading.Thread(target=self._outbox.shutdown, name="close traces", daemon=True)
        closing.start()
        closing.join(CLOSING_SECONDS)


class OtelTrace:
    """`traces.Trace` by the SDK.

    Attributes:
        span: Of the request.
    """

    __slots__ = ("_ahead", "_outbox", "id", "looks_up", "rows", "span", "was_computed")

    def __init__(self, outbox: "_Outbox", span: Span, ahead: float) -> None:
        """A span that was begun; `ahead` is by how many seconds the clock of the day is ahead of the monotonic one."""
        self._outbox = outbox
        self._ahead = ahead
        self.span = span
        self.id = f"{span.context.trace_id:032x}"
        self.rows = 0
        self.looks_up = self.was_computed = False

    def phase(self, name: str, began: float, ended: float, attributes: Attributes | None = None) -> None:
        """See `traces.Trace`."""
        self._child(name, began, ended, attributes, ())

    def infer(self, began: float, ended: float, attributes: Attributes, links: Sequence[SpanContext]) -> SpanContext:
        """A model ran for it, and for those that are linked to."""
        self.was_computed = True
        return self._child("infer", began, ended, attributes, links)

    def end(self, name: str, attributes: Attributes, error: str | None = None) -> None:
        """See `traces.Trace`."""
        self.span.update_name(name)
        self.span.set_attributes(attributes)
        if error is not None:
            self.span.set_status(Status(StatusCode.ERROR, error))
        self.span.end(_nanoseconds(time.monotonic() + self._ahead))

    def _child(
        self, name: str, began: float, ended: float, attributes: Attributes | None, links: Sequence[SpanContext]
    ) -> SpanContext:
        """A span within it. One that is over when it is told needs nothing of what makes the SDK's own cost 15 µs."""
        span, parent = self.span, self.span.context
        context = SpanContext(
            parent.trace_id, random.getrandbits(64) or 1, False, parent.trace_flags, parent.trace_state
        )
        if not self._outbox.reserve():
            return context
        self._outbox.put(
            ReadableSpan(
                name,
                context,
                parent,
                span.resource,
                attributes,
                links=[Link(one) for one in links],
                start_time=_nanoseconds(began + self._ahead),
                end_time=_nanoseconds(ended + self._ahead),
                instrumentation_scope=span.instrumentation_scope,
            )
        )
        return context


class _Sampling(RandomIdGenerator):
    """Says of most requests that are not sampled that they are not, at a tenth of what the SDK's own answer costs.

    The sampler goes by the trace's id, and so does this: the id is drawn before the SDK is asked.

    Attributes:
        trace_id: Of the trace that is begun next; None: any.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        sampler = environment.get("OTEL_TRACES_SAMPLER", "").strip().lower() or "parentbased_always_on"
        self._follows = sampler.startswith("parentbased_")
        self._bound: int | None = None
        if sampler.endswith("traceidratio"):
            self._bound = TraceIdRatioBased.get_bound_for_rate(float(environment.get("OTEL_TRACES_SAMPLER_ARG") or 1))
        self.trace_id: int | None = None

    def is_out(self, traceparent: str | None) -> bool:
        """Whether the sampler would not have it, so far as can be said without asking."""
        if traceparent is not None:
            return self._follows and _UNSAMPLED.fullmatch(traceparent) is not None
        if self._bound is None:
            return False
        drawn = random.getrandbits(128) or 1
        if drawn & TraceIdRatioBased.TRACE_ID_LIMIT >= self._bound:
            return True
        self.trace_id = drawn
        return False

    def generate_trace_id(self) -> int:
        return super().generate_trace_id() if self.trace_id is None else self.trace_id


class _Collector(SpanExporter):
    """The collector, and what came of what it was sent.

    Attributes:
        closing: Set when there is no time to rest any more.
        taken: Spans that do not wait any more.
    """

    def __init__(self, exporter: SpanExporter, counts: Counts) -> None:
        self._exporter = exporter
        self._sent, self._failed = counts.labels("sent"), counts.labels("failed")
        self.closing = threading.Event()
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result, before = SpanExportResult.FAILURE, time.thread_time()
        try:
            result = self._exporter.export(spans)
        finally:
            outcome = self._sent if result is SpanExportResult.SUCCESS else self._failed
            outcome.value += len(spans)
        # Python's threads take turns: one that only encodes would slow the event loop down to a fraction.
        self.closing.wait(REST * (time.thread_time() - before))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _Outbox(BatchSpanProcessor):
    """The SDK's queue, of so many spans; beyond that they are dropped, which the SDK does too, but does not count."""

    def __init__(self, collector: _Collector, counts: Counts, most: int, at_once: int) -> None:
        super().__init__(collector, max_queue_size=most, max_export_batch_size=at_once)
        self._collector = collector
        self._dropped = counts.labels("dropped")
        self._most = most
        self._given = 0
        self._said = -SAID_EVERY
        self._lock = threading.Lock()

    def reserve(self) -> bool:
        """Whether there is room for one more, which is then the caller's; otherwise it counts as dropped."""
        with self._lock:
            has_room = self._given - self._collector.taken < self._most
            self._given += has_room
            self._dropped.value += not has_room
        if not has_room and (now := time.monotonic()) - self._said >= SAID_EVERY:
            self._said = now
            _log.warning("spans are dropped: the collector takes too few", dropped=self._dropped.value)
        return has_room

    def put(self, span: ReadableSpan) -> None:
        """Have one sent, for which there is room."""
        super().on_end(span)

    def on_end(self, span: ReadableSpan) -> None:
        if self.reserve():
            self.put(span)


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


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
