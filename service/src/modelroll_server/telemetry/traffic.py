"""What was asked in the last minute, by version: requests a second, and how long the answers took.

Owns the readings that this takes, which are made when somebody looks and by nothing else: a server that nobody looks
at spends nothing on it. Knows nothing of who looks.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import Metric

WINDOW = 60.0  # seconds that are told of, at most, once somebody looks all the time
APART = 1.0  # seconds between two readings that are kept
LATENCY = "prediction_latency_seconds"

Collect = Callable[[], Iterable[Metric]]
_Buckets = dict[float, float]  # requests by the upper bound of their seconds, added up from the lowest


class Traffic:
    """Requests for predictions, counted from the histogram of their latencies."""

    def __init__(self, collect: Collect, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to count.

        Args:
            collect: Reads the metrics, of which the histogram is looked for.
            clock: Seconds.
        """
        self._collect = collect
        self._clock = clock
        self._readings: deque[tuple[float, Mapping[str, _Buckets]]] = deque([(clock(), {})])

    def document(self) -> dict[str, Any]:
        """The requests since the last minute began, or since somebody looked before that, or since the start.

        Returns:
            `seconds` that it is about; `requests_per_second`; `p50_seconds` and `p99_seconds`, null without requests;
            `finest_seconds`, below which latencies are not told apart; `requests` by version.
        """
        now, latest = self._clock(), _read(self._collect())
        readings = self._readings
        while len(readings) > 1 and now - readings[0][0] > WINDOW:
            readings.popleft()
        began, before = readings[0]
        if now - readings[-1][0] >= APART:
            readings.append((now, latest))
        since = {version: _less(buckets, before.get(version, {})) for version, buckets in latest.items()}
        together: _Buckets = {}
        for buckets in since.values():
            for bound, count in buckets.items():
                together[bound] = together.get(bound, 0.0) + count
        seconds = now - began
        total = max(together.values(), default=0.0)
        return {
            "seconds": round(seconds, 3),
            "requests_per_second": total / seconds if seconds > 0 else 0.0,
            "p50_seconds": quantile(together, 0.5),
            "p99_seconds": quantile(together, 0.99),
            "finest_seconds": min(together, default=None),
            "requests": {
                version: round(count) for version, one in since.items() if (count := max(one.values(), default=0.0))
            },
        }


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """A quantile as Prometheus estimates it: in its bucket, by a straight line.

    Args:
        buckets: Counts by upper bound, added up from the lowest; the last bound is infinite.
        share: 0 to 1.

    Returns:
        None where nothing was counted; the largest finite bound for what is above it.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    wanted, lower, below = share * total, 0.0, 0.0
    for bound in bounds[:-1]:
        count = buckets[bound]
        if count >= wanted and count > below:
            return lower + (bound - lower) * (wanted - below) / (count - below)
        lower, below = bound, count
    return lower


def _read(metrics: Iterable[Metric]) -> dict[str, _Buckets]:
    found: dict[str, _Buckets] = {}
    for metric in metrics:
        if metric.name != LATENCY:
            continue
        for sample in metric.samples:
            if sample.name.endswith("_bucket"):
                buckets = found.setdefault(sample.labels["model_version"], {})
                bound = float(sample.labels["le"])
                buckets[bound] = buckets.get(bound, 0.0) + sample.value
    return found


def _less(buckets: _Buckets, before: _Buckets) -> _Buckets:
    return {bound: max(0.0, count - before.get(bound, 0.0)) for bound, count in buckets.items()}
