"""Traces: what a request or a job tells a collector of itself, in OpenTelemetry's words, and whether there is one.

Owns the seam and its switch. `otel`, which does it, is imported only where a collector is named. Elsewhere there are no
`Traces`: whoever could have some has None, looks at that, and does nothing further.
"""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Literal, Protocol

import structlog

from modelroll_server.telemetry.tally import Counts

Attributes = Mapping[str, str | int | float | bool]
Kind = Literal["server", "internal"]

SERVER, BATCH = "modelroll-server", "modelroll-batch"  # services, unless OTEL_SERVICE_NAME says another name

_PROTOCOL = "http/protobuf"

_log = structlog.get_logger(__name__)


class Trace(Protocol):
    """A request or a job on its way, which is sampled. Times are on the clock of `time.monotonic`.

    Attributes:
        id: Of the trace that it is part of: 32 hexadecimal digits.
        rows: That are asked for; 0 where none were decoded.
        looks_up: Whether its rows are looked for in a cache.
        was_computed: Whether a model ran for it.
    """

    id: str
    rows: int
    looks_up: bool
    was_computed: bool

    def phase(self, name: str, began: float, ended: float, attributes: Attributes | None = None) -> None:
        """A part of it was done."""

    def end(self, name: str, attributes: Attributes, error: str | None = None) -> None:
        """It is done; or failed, for this reason."""


class Traces(Protocol):
    """Where traces go. Nothing here waits, or raises for a collector's sake.

    Attributes:
        counts: What became of the spans; a collector of `prometheus_client`.
    """

    counts: Counts

    def begin(
        self, name: str, kind: Kind, began: float, traceparent: str | None = None, tracestate: str | None = None
    ) -> Trace | None:
        """Something begins; None if it is not sampled.

        Args:
            name: What, until `Trace.end` knows better.
            kind: Whether somebody asked for it from outside.
            began: On the clock of `time.monotonic`.
            traceparent: The header of W3C Trace Context with which it was asked for. What is none counts as absent.
            tracestate: The other one.
        """

    def computed(self, traces: Sequence[Trace], began: float, seconds: float, attributes: Attributes) -> None:
        """A batch with rows of these requests, at least one, was computed: the phase `infer` of each.

        That of the first links to the other requests, and theirs link to it.
        """

    def close(self) -> None:
        """Send what waits, for two seconds at most."""


current: ContextVar[Trace | None] = ContextVar("trace", default=None)
"""The request that rows are of, from `Inference.predict` to the queue that they end in."""


def counts() -> Counts:
    """Where spans are counted."""
    return Counts("modelroll_trace_spans", "Spans by what became of them: sent, failed, dropped", ("outcome",))


def from_environment(environment: Mapping[str, str], service: str) -> Traces | None:
    """Where OpenTelemetry's own variables say that traces go; None where they name no collector.

    What keeps them from being sent is logged, and keeps nobody from being served.

    Args:
        environment: OTEL_EXPORTER_OTLP_ENDPOINT is what switches them on; the SDK reads further variables by itself.
        service: The name that they come under, unless OTEL_SERVICE_NAME says another.
    """
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    if not _first(environment, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        return None
    protocol = _first(environment, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL") or _PROTOCOL
    if protocol != _PROTOCOL:
        _refuse(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}, and may be {_PROTOCOL}: collectors take it on port 4318")
        return None
    try:
        from modelroll_server.telemetry.otel import Otel

        return Otel(environment, service)
    except ImportError as error:
        _refuse(f"{error.name} is not installed: install modelroll-server[otel]")
    except Exception as error:  # noqa: BLE001 - such as a certificate that is not there
        _refuse(f"{type(error).__name__}: {error}")
    return None


def _first(environment: Mapping[str, str], *names: str) -> str:
    return next((found for name in names if (found := environment.get(name, ""))), "")


def _refuse(why: str) -> None:
    _log.warning("no traces are sent", reason=why)
