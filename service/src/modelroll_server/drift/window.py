"""What was served lately, by bin, and the metrics made of it.

Owns the sliding window of the live version. Samples of any other are let go, so it starts anew with each version.
"""

import collections
import time
from collections.abc import Callable, Iterator

import msgspec
import numpy as np
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelroll_server.drift.stability import stability
from modelroll_server.tensors import Array

SLICES = 12  # of a window; the oldest is let go as a whole
SERVED_PER_BIN = 50  # rows for each bin that training filled, before anything is said of an input
LEAST_SERVED = 100  # the same, however few bins there are
PUBLISHED = 50  # inputs, those that drift most


class Population(msgspec.Struct, frozen=True):
    """The inputs of one version that are watched, with their bins one after the other.

    Attributes:
        digest: Of the version.
        inputs: Their names.
        starts: Where the bins of each begin; the last one before the next input's is of what is missing.
        trained: Rows of the training samples in each bin.
    """

    model: str
    version: str
    digest: str
    inputs: list[str]
    starts: list[int]
    trained: list[int]


class Sample(msgspec.Struct, frozen=True, tag=True):
    """Some rows that one process was sent.

    Attributes:
        population: Whose.
        rows: How many.
        served: Of them in each bin.
    """

    population: Population
    rows: int
    served: list[int]


class Window(Collector):
    """Samples of the last seconds, of all processes; a collector of `prometheus_client`."""

    def __init__(
        self, seconds: float, live: Callable[[], str | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """An empty one.

        Args:
            seconds: How far back it reaches, give or take a twelfth.
            live: The digest of the version that answers; None where none does.
            clock: Seconds.
        """
        self._slice_seconds = seconds / SLICES
        self._live = live
        self._clock = clock
        self._population: Population | None = None
        self._slices: collections.deque[_Slice] = collections.deque(maxlen=SLICES)

    def add(self, sample: Sample) -> None:
        """Count a sample."""
        population = sample.population
        if population.digest != self._live():
            return
        if self._population is None or self._population.digest != population.digest:
            self._population = population
            self._slices.clear()
        now = self._now()
        if not self._slices or self._slices[-1].at != now:
            self._slices.append(_Slice(now, len(population.trained)))
        self._slices[-1].add(sample)

    def collect(self) -> Iterator[Metric]:
        """What is exposed."""
        rows = GaugeMetricFamily(
            "modelroll_input_rows", "Rows that drift is told of, a sample", labels=("model", "model_version")
        )
        labels = ("model", "model_version", "input")
        psi = GaugeMetricFamily(
            "modelroll_input_psi", "Population stability index against the training samples", labels=labels
        )
        missing = GaugeMetricFamily("modelroll_input_missing_share", "Rows without a value, 0 to 1", labels=labels)
        population = self._population
        if population is not None and population.digest == self._live():
            of = (population.model, population.version)
            served, count = self._sum(len(population.trained))
            rows.add_metric(of, count)
            for name, index, share in _worst(population, served, count):
                psi.add_metric((*of, name), index)
                missing.add_metric((*of, name), share)
        yield from (rows, psi, missing)

    def _now(self) -> int:
        return int(self._clock() // self._slice_seconds)

    def _sum(self, bins: int) -> tuple[Array, int]:
        now = self._now()
        recent = [one for one in self._slices if now - one.at < SLICES]
        served = np.zeros(bins, np.int64)
        for one in recent:
            served += one.served
        return served, sum(one.rows for one in recent)


class _Slice:
    """The samples of a twelfth of a window."""

    __slots__ = ("at", "rows", "served")

    def __init__(self, at: int, bins: int) -> None:
        self.at = at
        self.rows = 0
        self.served = np.zeros(bins, np.int64)

    def add(self, sample: Sample) -> None:
        self.rows += sample.rows
        self.served += np.array(sample.served, np.int64)


def _worst(population: Population, served: Array, rows: int) -> list[tuple[str, float, float]]:
    """Name, index and share of missing rows of the inputs that drift most, of those with enough rows."""
    if not population.inputs:
        return []
    starts = np.array(population.starts, np.int64)
    ends = np.append(starts[1:], len(served))
    trained = np.array(population.trained, np.int64)
    found = stability(trained, served, starts)
    filled = np.add.reduceat(trained > 0, starts, dtype=np.int64)
    enough = rows >= np.maximum(LEAST_SERVED, SERVED_PER_BIN * filled)
    order = [at for at in np.argsort(-found, kind="stable").tolist() if enough[at]]
    return [(population.inputs[at], float(found[at]), float(served[ends[at] - 1] / rows)) for at in order[:PUBLISHED]]
