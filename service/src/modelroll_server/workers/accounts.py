"""What all workers did, as `/metrics` and `/status` tell it, whichever of them did it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest

from modelroll_server.drift.window import Window
from modelroll_server.http.asgi import Lifecycle
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.telemetry.traffic import Traffic
from modelroll_server.workers.messages import Family, Report
from modelroll_server.workers.sums import Sums

_PARENT = -1  # the parent's own metrics (what is live, what was loaded) are summed as one more worker's


class Accounts:
    """The counts of workers, of those that ended as well.

    Attributes:
        restarts: How often each worker was started anew.
        traffic: What all of them were asked lately.
        window: Of the rows that they were sent, by which drift is told.
    """

    def __init__(self, metrics: Metrics, lifecycle: Lifecycle, window: Window) -> None:
        self.restarts: Counter[int] = Counter()
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._latest: dict[int, Report] = {}
        self._ended_requests = 0
        self._sums = Sums()
        self.traffic = Traffic(self._sums.collect)
        self._registry = CollectorRegistry()
        self._registry.register(self._sums)
        self.window = window
        self._registry.register(window)
        self._ends = prometheus_client.Counter(
            "worker_restarts", "Workers that ended and were started anew", ("reason",), registry=self._registry
        )

    def report(self, worker: int, report: Report) -> None:
        """Take what a worker says of itself."""
        self._latest[worker] = report
        self._sums.report(worker, report.families)
        self._lifecycle.requests = self._ended_requests + sum(one.requests for one in self._latest.values())

    def end(self, worker: int) -> None:
        """Keep what a worker counted."""
        last = self._latest.pop(worker, None)
        self._ended_requests += 0 if last is None else last.requests
        self._sums.end(worker)

    def restart(self, worker: int, reason: str) -> None:
        """Count a worker that ended unasked."""
        self.restarts[worker] += 1
        self._ends.labels(reason).inc()

    def of(self, worker: int) -> Mapping[str, Any]:
        """What `/status` says of one worker."""
        last = self._latest.get(worker)
        return {
            "resident_bytes": None if last is None else last.resident,
            "requests": 0 if last is None else last.requests,
            "restarts": self.restarts[worker],
        }

    def exposition(self) -> bytes:
        """The text that a scrape gets."""
        self._sums.report(_PARENT, families(self._metrics.collect()))
        return generate_latest(self._registry)


def families(metrics: Iterable[Metric]) -> list[Family]:
    """Metrics of `prometheus_client` as they are reported."""
    return [
        Family(one.name, one.type, one.documentation, [(each.name, each.labels, each.value) for each in one.samples])
        for one in metrics
    ]
