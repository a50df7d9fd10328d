"""Traces: what the operator tells a collector of its rollouts, in OpenTelemetry's words, and whether there is one.

Owns the seam and its switch. `otel`, which does it, is imported only where a collector is named.
"""

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog
from prometheus_client import Counter

Attributes = Mapping[str, str | int]

SERVICE = "modelroll-operator"
_PROTOCOL = "http/protobuf"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """The span of a whole rollout: known from its beginning, told at its end, the same for every operator.

    Attributes:
        trace_id: Of 16 bytes.
        span_id: Of 8 bytes.
    """

    trace_id: int
    span_id: int

    @classmethod
    def of(cls, identity: str) -> "Origin":
        """That of the rollout which nothing else has the identity of."""
        digest = hashlib.sha256(identity.encode()).digest()
        return cls(int.from_bytes(digest[:16]), int.from_bytes(digest[16:24]))


class Traces(Protocol):
    """Where traces go. Nothing here waits, or raises for a collector's sake."""

    def step(self, name: str, attributes: Attributes, origin: Origin | None) -> AbstractContextManager[None]:
        """One step, done within the block, as part of a rollout or of none; lines of the log get its trace's id."""

    def rollout(self, origin: Origin, began: datetime, attributes: Attributes, error: str | None) -> None:
        """A whole rollout, which ends now; or has failed, for this reason."""

    def close(self) -> None:
        """Send what waits, for two seconds at most."""


def from_environment(environment: Mapping[str, str], spans: Counter) -> Traces | None:
    """Where OpenTelemetry's own variables say that traces go; None where they name no collector.

    What keeps them from being sent is logged, and holds up no rollout.

    Args:
        environment: OTEL_EXPORTER_OTLP_ENDPOINT is what switches them on; the SDK reads further variables by itself.
        spans: Where they are counted by their outcome: sent, failed, dropped.
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
        from modelroll_operator.telemetry.otel import Otel

        return Otel(environment, spans)
    except ImportError as error:
        _refuse(f"{error.name} is not installed: install modelroll-operator[otel]")
    except Exception as error:  # noqa: BLE001  such as a certificate that is not there
        _refuse(f"{type(error).__name__}: {error}")
    return None


def _first(environment: Mapping[str, str], *names: str) -> str:
    return next((found for name in names if (found := environment.get(name, ""))), "")


def _refuse(why: str) -> None:
    _log.warning("no traces are sent", reason=why)
