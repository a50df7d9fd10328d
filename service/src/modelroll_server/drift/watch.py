"""The rows of one process, sampled on their way to the model and counted once a second between requests.

Owns what that may cost: a request adds a number, a row that is taken is copied as numbers, and no second takes more of
them than `MOST_ROWS` or `MOST_VALUES`. What comes beyond is not looked at.
"""

import asyncio
import random
from collections.abc import Callable

import numpy as np

from modelroll_server.batching.batch import Rows
from modelroll_server.drift.bins import Bins
from modelroll_server.drift.window import Population, Sample
from modelroll_server.registry.version import Version
from modelroll_server.schema import rows_of
from modelroll_server.tensors import Table

MOST_ROWS = 256
MOST_VALUES = 16_384
COUNT_AFTER = 1.0  # seconds

Deliver = Callable[[Sample], None]


class Watch:
    """Takes rows of whatever version computes them."""

    def __init__(self, deliver: Deliver, *, count_after: float = COUNT_AFTER) -> None:
        """Begin to.

        Args:
            deliver: Gets the counts.
            count_after: Seconds for which rows are taken before they are counted.
        """
        self._deliver = deliver
        self._count_after = count_after

    def offer(self, version: Version, rows: Rows, count: int) -> None:
        """Rows of `version`'s schema that it computes, or has in its cache."""
        taker: _Taker | None = version.attached.get(_Taker)
        if taker is None:
            taker = version.attached[_Taker] = _Taker(version, self._deliver, self._count_after)
        taker.seen += count
        if taker.seen > taker.next:
            taker.take(rows, count)


class _Taker:
    """Takes rows of one version at random distances, so that callers who take turns are met alike.

    Attributes:
        seen: Rows since they were last counted.
        next: The first that is taken, as an index of them.
    """

    __slots__ = ("_apart", "_bins", "_buffer", "_count_after", "_deliver", "_population", "_taken", "next", "seen")

    def __init__(self, version: Version, deliver: Deliver, count_after: float) -> None:
        self._deliver = deliver
        self._count_after = count_after
        bins = self._bins = Bins(version.schema.inputs)
        watched = len(bins.names)
        self._population = Population(
            version.model, version.number, version.digest, bins.names, bins.starts.tolist(), bins.trained.tolist()
        )
        self._buffer = np.empty((min(MOST_ROWS, max(1, MOST_VALUES // max(1, watched))), watched))
        self._taken = 0
        self._apart = 1
        self.seen = 0
        self.next: float = 0 if watched else float("inf")

    def take(self, rows: Rows, count: int) -> None:
        """Take those of the last `count` rows seen whose turn it is."""
        wanted: list[int] = []
        first, room = self.seen - count, len(self._buffer) - self._taken
        while self.next < self.seen and len(wanted) < room:
            wanted.append(int(self.next) - first)
            self.next += random.randint(1, 2 * self._apart - 1)  # noqa: S311 - nobody gains by knowing whose turn it is
        chosen = rows_of(rows.take(wanted)) if isinstance(rows, Table) else [rows[index] for index in wanted]
        if self._taken == 0:
            asyncio.get_running_loop().call_later(self._count_after, self._count)
        for row in chosen:
            self._buffer[self._taken] = self._bins.encode(row)
            self._taken += 1
        if self._taken == len(self._buffer):
            self.next = float("inf")  # until these are counted

    def _count(self) -> None:
        taken, self._taken = self._taken, 0
        self._apart = max(1, round(self.seen / len(self._buffer)))
        self.seen, self.next = 0, random.randrange(self._apart)  # noqa: S311 - as above
        served = self._bins.count(self._buffer[:taken])
        self._deliver(Sample(self._population, taken, served.tolist()))
