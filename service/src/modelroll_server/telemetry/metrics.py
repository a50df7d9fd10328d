"""What Prometheus reads: the names, labels and buckets of every metric.

Owns the collectors, in a registry of its own so that two servers in one process do not meet. Knows nothing of models
beyond the words it is given as labels.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest

LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LOAD_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """All metrics of one server."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each one, which nobody reads
        registry = self._registry = CollectorRegistry()
        model = ("model", "model_version")
        self.predictions = Counter(
            "prediction", "Requests for predictions by outcome", (*model, "status"), registry=registry
        )
        self.latency = Histogram(
            "prediction_latency_seconds",
            "Time from the request's head to its answer",
            model,
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.phases = Histogram(
            "prediction_phase_seconds",
            "Time of one phase of a prediction: decode, queue, infer, encode",
            ("phase",),
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.load_time = Histogram(
            "model_load_time_seconds",
            "Time to open, load and check a version that went live",
            model,
            buckets=LOAD_BUCKETS,
            registry=registry,
        )
        self.reloads = Counter(
            "model_reload", "Attempts to load a version: succeeded, or the reason", ("outcome",), registry=registry
        )
        self.non_finite = Counter(
            "prediction_non_finite", "Numbers answered as null, being NaN or infinite", model, registry=registry
        )
        self.in_flight = Gauge("requests_in_flight", "Requests for predictions being answered", registry=registry)
        self.queued_rows = Gauge("queued_rows", "Rows waiting to be computed", registry=registry)
        self.info = Gauge(
            "model_info", "1 for the live version", (*model, "digest", "runtime", "revision"), registry=registry
        )

    def live(self, labels: dict[str, str]) -> None:
        """Name the one version that is live."""
        self.info.clear()
        self.info.labels(**labels).set(1)

    def exposition(self) -> bytes:
        """The text that a scrape gets."""
        return generate_latest(self._registry)
