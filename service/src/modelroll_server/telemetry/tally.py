"""Counters and histograms that cost a hot path next to nothing: plain numbers, read when Prometheus asks.

`prometheus_client` takes a lock for each, and walks the buckets of a histogram. Here one thread, the event loop's,
counts, observes and reads; a series of a counter may be made in another one.
"""

import bisect
from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString


class Count:
    """One counter's series.

    Attributes:
        value: How often.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Counts:
    """The series of one counter, by the values of its labels; a collector of `prometheus_client`."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self._name, self._documentation = name, documentation
        self._labels = tuple(labels)
        self._series: dict[tuple[str, ...], Count] = {}

    def labels(self, *values: str) -> Count:
        """The series of these labels; it may be kept."""
        found = self._series.get(values)
        if found is None:
            found = Count()
            self._series = {**self._series, values: found}  # the one before may be read at this moment
        return found

    def collect(self) -> Iterator[CounterMetricFamily]:
        """What is exposed."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, count in self._series.items():
            family.add_metric(values, count.value)
        yield family


class Tally:
    """One histogram's series.

    Attributes:
        bounds: Upper bounds of its buckets, ascending.
        counts: Observations in each bucket (not added up), and last those above all bounds.
        total: Sum of what was observed.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += value


class Tallies:
    """The series of one histogram, by the values of its labels; a collector of `prometheus_client`."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name, self._documentation = name, documentation
        self._labels = tuple(labels)
        self._bounds = tuple(bounds)
        self._series: dict[tuple[str, ...], Tally] = {}

    def labels(self, *values: str) -> Tally:
        """The series of these labels; it may be kept."""
        found = self._series.get(values)
        if found is None:
            found = self._series[values] = Tally(self._bounds)
        return found

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """What is exposed."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        for values, tally in self._series.items():
            reached, buckets = 0, []
            for bound, count in zip(bounds, tally.counts, strict=True):
                reached += count
                buckets.append((bound, float(reached)))
            family.add_metric(values, buckets, tally.total)
        yield family
