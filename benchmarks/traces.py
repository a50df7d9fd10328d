"""What traces cost: the server with none, with one request of a hundred traced, and with every request.

All three take turns in each round, beside a collector that reads what it is sent and throws it away.
"""

import contextlib
import dataclasses
import http.server
import statistics
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from benchmarks import models, process, ratios, results, rounds
from benchmarks.subjects import ours

MODEL = "forest"
PLAN = rounds.Plan({1: 2, 64: 2}, rounds=5)


class Off(ours.Compiled):
    """Without a collector."""

    name = "modelroll, no traces"


class Few(ours.Compiled):
    """The chart's default where a collector is named."""

    name = "modelroll, 1 of 100 traced"
    ratio: ClassVar[str] = "0.01"

    def __init__(self, collector: int) -> None:
        """Traces go to this port."""
        self._collector = collector

    def command(self, model: models.Model, ports: process.Ports, scratch: Path) -> process.Command:
        """See Subject."""
        found = super().command(model, ports, scratch)
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self._collector}",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": self.ratio,
        }
        return dataclasses.replace(found, environment={**found.environment, **variables})


class All(Few):
    """Every request."""

    name = "modelroll, all traced"
    ratio = "1"


@dataclass(frozen=True)
class Cost:
    """One way of tracing against none at one number of connections, medians over the rounds.

    Attributes:
        name: Which way.
        connections: How many.
        rate: Ratio of answers a second.
        rate_of_cpu: Ratio of answers a second of the server's processor time.
        p50: Ratio of latencies.
        p99: The same.
        failed: Requests without a good answer, of both.
    """

    name: str
    connections: int
    rate: float
    rate_of_cpu: float
    p50: float
    p99: float
    failed: int


def measure(run: results.Run) -> list[Cost]:
    """The costs; the samples go into the run."""
    with _collector() as port:
        rounds.measure(run, [MODEL], [Off(), Few(port), All(port)], PLAN)
    return [_cost(run, one.name, connections) for one in (Few, All) for connections in PLAN.seconds]


def _cost(run: results.Run, name: str, connections: int) -> Cost:
    def median(measure: ratios.Measure) -> float:
        return statistics.median(ratios.by_round(run, measure, name, Off.name, MODEL, connections))

    return Cost(
        name=name,
        connections=connections,
        rate=median(ratios.rate),
        rate_of_cpu=median(ratios.rate_of_cpu),
        p50=median(ratios.p50),
        p99=median(ratios.p99),
        failed=sum(ratios.errors(run, one, MODEL, connections) for one in (name, Off.name)),
    )


@contextlib.contextmanager
def _collector() -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
