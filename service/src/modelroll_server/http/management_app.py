"""Port 8081: `/livez`, `/readyz`, `/status` and `/metrics`, for Kubernetes, the operator and Prometheus."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from modelroll_server.http import asgi
from modelroll_server.http.asgi import JSON, Lifecycle, Receive, Response, Scope, Send
from modelroll_server.registry.record import Record
from modelroll_server.telemetry import metrics as telemetry

_TEXT = (b"content-type", b"text/plain; charset=utf-8")


class Exposed(Protocol):
    """Something that Prometheus may read."""

    def exposition(self) -> bytes:
        """The text that a scrape gets."""


class ManagementApp:
    """The ASGI application of the management port."""

    def __init__(
        self,
        record: Record,
        metrics: Exposed,
        lifecycle: Lifecycle,
        pod: tuple[str, str],
        workers: Callable[[], Sequence[Mapping[str, Any]]] = tuple,
    ) -> None:
        self._record = record
        self._workers = workers
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._pod = pod
        self._routes: dict[str, Callable[[], Response]] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/status": self._status,
            "/metrics": self._exposition,
        }

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        route = self._routes.get(scope["path"])
        if route is None:
            response = Response(404, b"not found\n", [_TEXT])
        elif scope["method"] not in {"GET", "HEAD"}:
            response = Response(405, b"method not allowed\n", [_TEXT, (b"allow", b"GET, HEAD")])
        else:
            response = route()
        # Whoever asks here asks this one pod: a connection that stays open does no harm while the pod drains.
        await asgi.send(response, scope, send, Lifecycle())

    def _livez(self) -> Response:
        return Response(200, b"ok\n", [_TEXT])

    def _readyz(self) -> Response:
        # 200 while draining, too, as long as somebody comes: the endpoint is already marked as terminating, and when
        # all pods drain at once the ones that still serve are what is left to route to.
        if self._lifecycle.unwanted:
            return Response(503, b"leaving, and nobody comes any more\n", [_TEXT])
        if not self._record.is_ready:
            return Response(503, f"{self._record.why_not_ready()}\n".encode(), [_TEXT])
        if not self._lifecycle.listening:
            return Response(503, b"not all ports listen yet\n", [_TEXT])
        return Response(200, b"ok\n", [_TEXT])

    def _status(self) -> Response:
        document = self._record.status()
        reloads = document.pop("reloads")
        name, uid = self._pod
        document = {
            "pod": {"name": name, "uid": uid},
            **document,
            "counters": {"requests": self._lifecycle.requests, "reloads": reloads},
            "workers": self._workers(),
        }
        return Response(200, msgspec.json.encode(document), [JSON])

    def _exposition(self) -> Response:
        return Response(200, self._metrics.exposition(), [(b"content-type", telemetry.CONTENT_TYPE.encode())])
