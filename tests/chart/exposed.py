"""What the server and the operator expose once all that they count has happened."""

import datetime as dt
import tempfile
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

import credentials
from modelroll_operator.metrics import Metrics as OperatorMetrics
from modelroll_server.access.access import Access
from modelroll_server.cache.counts import Counts
from modelroll_server.cache.memory import Memory
from modelroll_server.drift.window import Population, Sample, Window
from modelroll_server.http.asgi import Lifecycle
from modelroll_server.stream.counts import StreamCounts
from modelroll_server.stream.events import Backlog
from modelroll_server.telemetry import traces
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.workers.accounts import Accounts


def server() -> Iterable[Metric]:
    """A server's, with several workers and a cache, and those that a stream worker has beside them."""
    metrics = Metrics()
    metrics.add(Counts(Memory(1000, lambda: 1.0)))
    spans = traces.counts()
    spans.labels("sent").value += 1
    metrics.add(spans)
    events = StreamCounts()
    events.backlog = Backlog(1, 1)
    metrics.add(events)
    version = metrics.of_version("churn", "1.2.0")
    version.count(200)
    version.latency.observe(0.01)
    metrics.phases.labels("infer").observe(0.01)
    metrics.batch_rows.labels("churn", "1.2.0").observe(1)
    metrics.load_time.labels("churn", "1.2.0").observe(1)
    metrics.reloads.labels("succeeded").inc()
    metrics.non_finite.labels("churn", "1.2.0").inc()
    metrics.read_failure(lambda: "DigestMismatch")
    metrics.live({"model": "churn", "model_version": "1.2.0", "digest": "", "runtime": "onnx", "revision": "0"})
    window = Window(3600.0, lambda: "sha256:1")
    population = Population("churn", "1.2.0", "sha256:1", ["tenure"], [0], [600, 400, 0])
    window.add(Sample(population, 200, [20, 175, 5]))
    accounts = Accounts(metrics, Lifecycle(), window)
    _guard(metrics)
    accounts.restart(0, "crashed")
    return text_string_to_metric_families(accounts.exposition().decode())


def _guard(metrics: Metrics) -> None:
    """Count what TLS and tokens do."""
    with tempfile.TemporaryDirectory() as place:
        tls = credentials.Mounted(Path(place) / "tls", credentials.Authority().issue().files)
        tokens = credentials.Mounted(Path(place) / "tokens", {"shop": b"shop-0123456789abcdef"})
        access = Access((tls.place, None), tokens.place, metrics, metrics)
        access.load()
    assert access.callers is not None
    access.callers.find(b"Bearer shop-0123456789abcdef")
    access.callers.refusal(None)


def operator() -> OperatorMetrics:
    """An operator's."""
    metrics = OperatorMetrics()
    metrics.ended("churn", "failed", 10.0)
    metrics.count_pods("churn", {"1.2.0": 2})
    metrics.conditions("churn", [("churn-2.0.0", "churn", "2.0.0", "Stalled", "LoadFailed")])
    metrics.under_way("churn", "2.0.0", dt.datetime.now(dt.UTC))
    metrics.api_errors.labels("500").inc()
    metrics.unasked.labels("churn").set(1)
    metrics.spans.labels("sent").inc()
    return metrics


def samples() -> dict[str, frozenset[str]]:
    """The labels of every sample, by its name."""
    every = (sample for metric in metrics() for sample in metric.samples)
    return {sample.name: frozenset(sample.labels) for sample in every}


def families() -> dict[str, frozenset[str]]:
    """The labels of every metric, by the name that people know it by."""
    return {
        metric.name + ("_total" if metric.type == "counter" else ""): frozenset(metric.samples[0].labels) - {"le"}
        for metric in metrics()
    }


def metrics() -> Iterable[Metric]:
    """Every metric; the operator's library adds when a counter was made, which nobody reads."""
    every = (*server(), *operator().registry.collect())
    return [metric for metric in every if not metric.name.endswith("_created")]
