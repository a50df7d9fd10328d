"""What Prometheus reads: the names, labels and buckets of every metric.

Owns the collectors, in a registry of its own so that two servers in one process do not meet. Knows nothing of models
beyond the words it is given as labels.
"""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from modelroll_server.telemetry.tally import Count, Counts, Tallies

LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PHASE_BUCKETS = (0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.00025, *LATENCY_BUCKETS)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
LOAD_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """All metrics of one server.

    Attributes:
        in_flight: Requests for predictions being answered.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each one, which nobody reads
        registry = self._registry = CollectorRegistry()
        model = ("model", "model_version")
        self.predictions = Counts("prediction", "Requests for predictions by outcome", (*model, "status"))
        self.latency = Tallies(
            "prediction_latency_seconds", "Time from the request's head to its answer", model, LATENCY_BUCKETS
        )
        self.phases = Tallies(
            "prediction_phase_seconds",
            "Time of one phase of a prediction: decode, lookup (in Redis), queue, infer, encode",
            ("phase",),
            PHASE_BUCKETS,
        )
        self.batch_rows = Tallies("prediction_batch_rows", "Rows that were computed together", model, BATCH_BUCKETS)
        for collector in (self.predictions, self.latency, self.phases, self.batch_rows):
            registry.register(collector)
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
        self._versions: dict[tuple[str, str], OfVersion] = {}
        self._failing = Failing()
        registry.register(self._failing)
        self.in_flight = 0
        in_flight = Gauge("requests_in_flight", "Requests for predictions being answered", registry=registry)
        in_flight.set_function(lambda: self.in_flight)
        self._queued_rows = Gauge("queued_rows", "Rows waiting to be computed", registry=registry)
        self.info = Gauge(
            "model_info", "1 for the live version", (*model, "digest", "runtime", "revision"), registry=registry
        )

    def of_version(self, model: str, number: str) -> "OfVersion":
        """What is counted for each request to one version; it may be kept."""
        found = self._versions.get((model, number))
        if found is None:
            found = self._versions[model, number] = OfVersion(self, model, number)
        return found

    def read_queued_rows(self, rows: Callable[[], int]) -> None:
        """Ask `rows` how many wait whenever Prometheus reads."""
        self._queued_rows.set_function(rows)

    def read_failure(self, reason: Callable[[], str | None]) -> None:
        """Ask `reason` whenever Prometheus reads why what is wanted is not served; None where it is."""
        self._failing.reason = reason

    def add(self, collector: Collector) -> None:
        """Expose what another part counts."""
        self._registry.register(collector)

    def live(self, labels: dict[str, str]) -> None:
        """Name the one version that is live."""
        self.info.clear()
        self.info.labels(**labels).set(1)

    def collect(self) -> Iterable[Metric]:
        """Every metric as it is now."""
        return self._registry.collect()

    def exposition(self) -> bytes:
        """The text that a scrape gets."""
        return generate_latest(self._registry)


class Failing(Collector):
    """A gauge that stays until what failed is mended.

    The counter of failures cannot be alerted on: a first failure makes a series, and Prometheus sees no increase in it.

    Attributes:
        reason: Why what is wanted is not served; None where it is.
    """

    def __init__(self) -> None:
        self.reason: Callable[[], str | None] = lambda: None

    def collect(self) -> Iterator[Metric]:
        """What is exposed."""
        family = GaugeMetricFamily(
            "model_reload_failing", "1 while what is to be served could not be loaded, by the reason", labels=["reason"]
        )
        reason = self.reason()
        if reason is not None:
            family.add_metric([reason], 1)
        yield family


class OfVersion:
    """The series of one version.

    Attributes:
        latency: Seconds from a request's head to its answer.
    """

    __slots__ = ("_by_status", "_labels", "_predictions", "latency")

    def __init__(self, metrics: Metrics, model: str, number: str) -> None:
        self.latency = metrics.latency.labels(model, number)
        self._predictions = metrics.predictions
        self._labels = (model, number)
        self._by_status: dict[int, Count] = {}

    def count(self, status: int) -> None:
        """Count one request by its outcome."""
        found = self._by_status.get(status)
        if found is None:
            found = self._by_status[status] = self._predictions.labels(*self._labels, str(status))
        found.value += 1
