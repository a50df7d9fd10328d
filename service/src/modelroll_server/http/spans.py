"""A request over HTTP as its span tells it: the attributes of OpenTelemetry's semantic conventions, and the model's."""

import re

from modelroll_server.http.exchange import Exchange
from modelroll_server.telemetry.traces import Traces

_ROUTES = re.compile(r"(?<=/models/)([^/]+?)(?=:predict$|/|$)|(?<=/versions/)([^/]+?)(?=:predict$|/|$)")
_HEALTH = ("/health", "/v2/health/")


def begin(traces: Traces, exchange: Exchange) -> None:
    """Begin the span of a request, if it is sampled. Who asks for its health is no request."""
    scope, heads = exchange.scope, exchange.heads
    if scope["path"].startswith(_HEALTH):
        return
    parent, state = heads.get(b"traceparent"), heads.get(b"tracestate")
    exchange.trace = traces.begin(
        scope["method"],
        "server",
        exchange.began,
        None if parent is None else parent.decode("latin-1"),
        None if state is None else state.decode("latin-1"),
    )
    if exchange.trace is not None:
        exchange.is_timed = True


def end(exchange: Exchange, status: int | None) -> None:
    """End it: with this answer, or with None as its client has gone."""
    trace, version = exchange.trace, exchange.version
    if trace is None:
        return
    method, path = exchange.scope["method"], exchange.scope["path"]
    found: dict[str, str | int | float | bool] = {
        "http.request.method": method,
        "url.path": path,
        "url.scheme": exchange.scope["scheme"],
        "modelroll.request_id": exchange.request_id.decode(),
    }
    name = method
    if status not in {404, 405}:  # else anybody could make up routes
        found["http.route"] = route = _ROUTES.sub(lambda at: "{model}" if at[1] else "{version}", path)
        name = f"{method} {route}"
    if version is not None and exchange.is_prediction:
        found["modelroll.model"] = version.model
        found["modelroll.version"] = version.number
        found["modelroll.digest"] = version.digest
    if trace.rows:
        found["modelroll.rows"] = trace.rows
        if status == 200 and trace.looks_up:
            found["modelroll.cached"] = not trace.was_computed
    error = None
    if exchange.error is not None:
        found["modelroll.error.code"] = exchange.error
    if status is None:
        found["error.type"] = "disconnected"  # which is no fault of ours
    else:
        found["http.response.status_code"] = status
        if status >= 500:
            found["error.type"] = error = exchange.error or str(status)
    trace.end(name, found, error)
