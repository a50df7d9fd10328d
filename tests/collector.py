"""A collector of traces: it takes OTLP over HTTP as protobuf, as any does, and keeps what it was sent."""

import contextlib
import gzip
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class Span:
    """One span as it arrived. Its ids are hexadecimal; `parent` is empty for a root."""

    trace: str
    id: str
    parent: str
    name: str
    kind: int
    failed: bool
    attributes: dict[str, Any]
    links: tuple[str, ...]  # the ids of spans
    began: int  # nanoseconds
    ended: int
    resource: dict[str, Any]


class Collector:
    """What it was sent.

    Attributes:
        spans: They.
        hangs: Whether it takes requests and answers none.
        requests: How many it had.
    """

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.released = threading.Event()
        self.hangs = False
        self.requests = 0
        self.port = 0

    @property
    def environment(self) -> dict[str, str]:
        """What has a process send its traces here, all of them, soon."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}", "OTEL_BSP_SCHEDULE_DELAY": "50"}

    def named(self, name: str) -> list[Span]:
        """The spans of this name."""
        return [span for span in self.spans if span.name == name]

    def children(self, parent: Span) -> dict[str, Span]:
        """The spans within another, by name."""
        return {span.name: span for span in self.spans if span.parent == parent.id}

    def wait_for(self, is_there: Callable[[], Any], seconds: float = 60.0) -> None:
        """Look until something was sent."""
        end = time.monotonic() + seconds
        while not is_there():
            assert time.monotonic() < end, [span.name for span in self.spans]
            time.sleep(0.02)

    def take(self, data: bytes) -> None:
        """Keep the spans of a request."""
        for of_resource in ExportTraceServiceRequest.FromString(data).resource_spans:
            resource = _values(of_resource.resource.attributes)
            for scope in of_resource.scope_spans:
                self.spans += [_span(one, resource) for one in scope.spans]


def _span(one: Any, resource: dict[str, Any]) -> Span:
    return Span(
        trace=one.trace_id.hex(),
        id=one.span_id.hex(),
        parent=one.parent_span_id.hex(),
        name=one.name,
        kind=one.kind,
        failed=one.status.code == 2,
        attributes=_values(one.attributes),
        links=tuple(link.span_id.hex() for link in one.links),
        began=one.start_time_unix_nano,
        ended=one.end_time_unix_nano,
        resource=resource,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """A collector for the time of a block."""
    found = Collector()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            found.requests += 1
            data = self.rfile.read(int(self.headers["content-length"]))
            if found.hangs:
                found.released.wait()
                self.close_connection = True
                return
            assert (self.path, self.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
            found.take(gzip.decompress(data) if self.headers.get("content-encoding") == "gzip" else data)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_port
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield found
    finally:
        found.released.set()
        server.shutdown()
        server.server_close()
