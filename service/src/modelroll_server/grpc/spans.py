"""A call as its span tells it: the attributes of OpenTelemetry's semantic conventions, and the model's."""

import grpc

from modelroll_server import errors
from modelroll_server.registry.version import Version
from modelroll_server.telemetry.traces import Trace, Traces

# Those that the conventions take for a server's own fault.
_FAULTS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}


def begin(traces: Traces, method: str, began: float, context: grpc.aio.ServicerContext) -> Trace | None:
    """The span of a call, if it is sampled."""
    headers = dict.fromkeys(("traceparent", "tracestate"))
    headers.update((key, value) for key, value in context.invocation_metadata() or () if key in headers)
    return traces.begin(method, "server", began, headers["traceparent"], headers["tracestate"])


def end(
    trace: Trace,
    method: str,
    code: grpc.StatusCode,
    version: Version | None,
    error: errors.RequestError | None = None,
) -> None:
    """End it."""
    service, _, name = method.rpartition("/")
    found: dict[str, str | int | float | bool] = {
        "rpc.system": "grpc",
        "rpc.service": service,
        "rpc.method": name,
        "rpc.grpc.status_code": code.value[0],
    }
    if version is not None:
        found["modelroll.model"] = version.model
        found["modelroll.version"] = version.number
        found["modelroll.digest"] = version.digest
    if trace.rows:
        found["modelroll.rows"] = trace.rows
        if code is grpc.StatusCode.OK and trace.looks_up:
            found["modelroll.cached"] = not trace.was_computed
    if error is not None:
        found["modelroll.error.code"] = error.code
    fault = None
    if code in _FAULTS:
        found["error.type"] = fault = code.name if error is None else error.code
    trace.end(method, found, fault)
