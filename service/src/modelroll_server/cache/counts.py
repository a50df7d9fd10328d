"""What the cache counts, for Prometheus: plain integers, as one thread counts and reads them."""

import dataclasses
from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from modelroll_server.cache.memory import Memory


@dataclasses.dataclass(slots=True, eq=False)
class Counts:
    """Counts since the start of the process, of rows unless it says otherwise; a collector of `prometheus_client`.

    Attributes:
        memory: Answers kept in this process.
        from_memory: Answered by what this process keeps.
        from_redis: Answered by what Redis keeps.
        joined: Answered by a computation that another request had begun.
        computed: Answered by the model.
        bypassed: Of requests with too many rows for the cache.
        late: Look-ups that Redis did not answer within their budget.
        failed: Commands that Redis or the connection to it failed.
        invalid: Values that could not be read, or had another signature.
        dropped: Answers that were not written to Redis: it was not to be asked, or too many waited.
        is_open: Whether Redis is not being asked.
    """

    memory: Memory
    from_memory: int = 0
    from_redis: int = 0
    joined: int = 0
    computed: int = 0
    bypassed: int = 0
    late: int = 0
    failed: int = 0
    invalid: int = 0
    dropped: int = 0
    is_open: bool = False

    def collect(self) -> Iterator[Metric]:
        """What is exposed."""
        hits = CounterMetricFamily("prediction_cache_hits", "Rows answered without the model", labels=["tier"])
        hits.add_metric(["memory"], self.from_memory)
        hits.add_metric(["redis"], self.from_redis)
        hits.add_metric(["in_flight"], self.joined)
        yield hits
        yield CounterMetricFamily(
            "prediction_cache_misses", "Rows that were looked up, and answered by the model", self.computed
        )
        yield CounterMetricFamily(
            "prediction_cache_bypassed", "Rows of requests with too many to be looked up", self.bypassed
        )
        errors = CounterMetricFamily(
            "prediction_cache_errors", "What went wrong with Redis; no caller saw it", labels=["reason"]
        )
        errors.add_metric(["late"], self.late)
        errors.add_metric(["failed"], self.failed)
        errors.add_metric(["invalid"], self.invalid)
        yield errors
        yield CounterMetricFamily("prediction_cache_dropped", "Answers that were not written to Redis", self.dropped)
        yield GaugeMetricFamily("prediction_cache_bytes", "What the answers in memory take, about", self.memory.bytes)
        yield GaugeMetricFamily("prediction_cache_entries", "Answers in memory", len(self.memory))
        yield GaugeMetricFamily(
            "prediction_cache_breaker_open", "Processes that are not asking Redis", int(self.is_open)
        )
