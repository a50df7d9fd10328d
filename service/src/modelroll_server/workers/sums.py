"""The metrics of all workers as those of one server.

Counters and histograms are sums over every worker that ever was: what a worker counted stays when it ends, so that no
sum ever falls. Gauges are sums over the workers that are there. What a killed worker counted after its last report is
lost: a second's worth at most.
"""

from collections.abc import Iterator

from prometheus_client import Metric

from modelroll_server.workers.messages import Family

_Sample = tuple[str, tuple[tuple[str, str], ...]]


class Sums:
    """The last report of each worker, and what those that ended leave behind."""

    def __init__(self) -> None:
        self._latest: dict[int, list[Family]] = {}
        self._ended: dict[str, dict[_Sample, float]] = {}
        self._named: dict[str, Family] = {}

    def report(self, worker: int, families: list[Family]) -> None:
        """Take a worker's metrics, in place of those that it reported before."""
        self._latest[worker] = families
        self._named.update((one.name, one) for one in families)

    def end(self, worker: int) -> None:
        """Keep what a worker counted; the next report under its name is another process's."""
        for family in self._latest.pop(worker, ()):
            if family.kind != "gauge":
                _add(self._ended.setdefault(family.name, {}), family)

    def collect(self) -> Iterator[Metric]:
        """The sums, as a collector of `prometheus_client`."""
        for name, named in self._named.items():
            sums = dict(self._ended.get(name, {}))
            for families in self._latest.values():
                for family in families:
                    if family.name == name:
                        _add(sums, family)
            metric = Metric(name, named.documentation, named.kind)
            for (sample, labels), value in sums.items():
                metric.add_sample(sample, dict(labels), value)
            yield metric


def _add(sums: dict[_Sample, float], family: Family) -> None:
    for sample, labels, value in family.samples:
        key = (sample, tuple(labels.items()))
        sums[key] = sums.get(key, 0.0) + value
