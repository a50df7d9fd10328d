"""What Prometheus reads of a stream: events by outcome, seconds, and how far behind the group is."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import Metric
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

from modelroll_server.telemetry.metrics import LATENCY_BUCKETS
from modelroll_server.telemetry.tally import Counts, Tallies

if TYPE_CHECKING:
    from modelroll_server.stream.events import Backlog

ANSWERED = "answered"


class StreamCounts:
    """The collector of one process.

    Attributes:
        events: Settled events by outcome: answered, or the code of the dead letter.
        seconds: From when an event was read to when the broker had its message.
        redelivered: Events that were given to a consumer before, which did not settle them.
        retried: Attempts made again because of a fault that was not the event's.
        backlog: As last seen; None while the broker cannot be asked.
    """

    def __init__(self) -> None:
        self.events = Counts(
            "stream_events", "Events settled, by outcome: answered, or why there is a dead letter", ("outcome",)
        )
        self.seconds = Tallies(
            "stream_event_seconds", "From when an event was read to when it was settled", (), LATENCY_BUCKETS
        )
        self.redelivered = 0
        self.retried = 0
        self.backlog: Backlog | None = None
        self.events.labels(ANSWERED)
        self.seconds.labels()

    def collect(self) -> Iterator[Metric]:
        """What is exposed."""
        yield from self.events.collect()
        yield from self.seconds.collect()
        yield CounterMetricFamily(
            "stream_events_redelivered", "Events that another delivery left unsettled", self.redelivered
        )
        yield CounterMetricFamily(
            "stream_retries", "Attempts made again for a fault that was not the event's", self.retried
        )
        yield GaugeMetricFamily("stream_up", "1 while the broker answers", int(self.backlog is not None))
        if self.backlog is not None:
            if self.backlog.waiting is not None:
                yield GaugeMetricFamily("stream_lag_events", "Events that nobody was given yet", self.backlog.waiting)
            yield GaugeMetricFamily("stream_pending_events", "Events given and not settled", self.backlog.pending)
