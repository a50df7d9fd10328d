"""The bins of one version's inputs: made of the histograms of its manifest, and rows counted into them.

Owns what is a bin. Each watched input has one for each part of its histogram (the outer ones of numbers have no end),
texts one more for all others, and every input a last one for what is missing. An input without a histogram, or with too
few training rows is not watched.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from modelroll_server.drift.stability import UNKNOWN
from modelroll_server.schema import Histogram, Input, Row
from modelroll_server.tensors import Array, Datatype

TRAINED_PER_BIN = 40  # rows of the training samples: with fewer, chance alone would look like drift
LEAST_TRAINED = 100  # the same, of all bins together


@dataclasses.dataclass(frozen=True, slots=True)
class _Column:
    """One watched input: its place in a row, and its bins.

    Attributes:
        trained: Rows of the training samples by bin; the last is of those that are missing.
        cuts: Where the second bin of numbers begins, and each that follows.
        codes: The bin of each text that has one; the last but one is of all others.
    """

    place: int
    name: str
    trained: list[int]
    cuts: list[float] | None = None
    codes: dict[str, int] | None = None


class Bins:
    """Bins of all inputs of a version, one after the other.

    Attributes:
        names: The inputs that are watched.
        starts: Where each one's bins begin; its last one, of what is missing, stands before the next one's first.
        trained: Rows of the training samples in each bin; `UNKNOWN` where nobody counted.
    """

    def __init__(self, inputs: Sequence[Input]) -> None:
        found = [column for place, one in enumerate(inputs) if (column := _column(place, one)) is not None]
        columns = sorted(found, key=lambda column: column.cuts is None)  # numbers first
        self.names = [column.name for column in columns]
        sizes = [len(column.trained) for column in columns]
        ends = np.cumsum(sizes, dtype=np.int64) if sizes else np.empty(0, np.int64)
        self.starts: Array = ends - np.array(sizes, np.int64)
        self.trained: Array = np.array([count for column in columns for count in column.trained], np.int64)
        self._missing = ends - 1 - self.starts
        self._numbers = [column.place for column in columns if column.cuts is not None]
        self._texts = [
            (column.place, column.codes, size - 2, size - 1)
            for column, size in zip(columns, sizes, strict=True)
            if column.codes is not None
        ]
        cuts = [column.cuts for column in columns if column.cuts is not None]
        # Nothing is equal to or above nan, so what is filled up with it counts nothing.
        self._cuts = np.full((max(map(len, cuts), default=0), len(cuts)), np.nan)
        for index, one in enumerate(cuts):
            self._cuts[: len(one), index] = one

    def encode(self, row: Row) -> list[float]:
        """The watched values of one row as numbers, so that nothing of its texts is kept; [inputs watched]."""
        found: list[float] = [row[place] for place in self._numbers]
        for place, codes, other, missing in self._texts:
            value = row[place]
            found.append(codes.get(value, other) if type(value) is str else missing)
        return found

    def count(self, rows: Array) -> Array:
        """How many encoded rows lie in each bin.

        Args:
            rows: Of shape [rows, inputs watched], float64.

        Returns:
            [bins], int64.
        """
        numbers = rows[:, : len(self._numbers)]
        index = np.zeros(rows.shape, np.int64)
        reached = index[:, : len(self._numbers)]
        for cuts in self._cuts:
            reached += numbers >= cuts
        np.copyto(reached, self._missing[: len(self._numbers)], where=np.isnan(numbers))
        index[:, len(self._numbers) :] = rows[:, len(self._numbers) :]
        return np.bincount((index + self.starts).ravel(), minlength=len(self.trained))


def _column(place: int, column: Input) -> _Column | None:
    histogram = column.histogram
    if histogram is None:
        return None
    trained_on = sum(histogram.counts) + histogram.other
    if trained_on < LEAST_TRAINED:
        return None
    most = trained_on // TRAINED_PER_BIN
    missing = UNKNOWN if histogram.missing is None else histogram.missing
    if column.datatype is Datatype.BYTES:
        values = histogram.values if histogram.values is not None else column.categories
        counts = dict(zip(map(str, values or ()), histogram.counts, strict=False))
        common = sorted(counts, key=lambda value: (-counts[value], value))
        if len(common) > most:
            common = common[: most - 1]  # and the last for all others
        other = histogram.other + sum(counts.values()) - sum(counts[value] for value in common)
        codes = {value: code for code, value in enumerate(common)}
        return _Column(place, column.name, [*(counts[value] for value in common), other, missing], codes=codes)
    cuts, trained = _of_numbers(histogram, most)
    return _Column(place, column.name, [*trained, missing], cuts=cuts)


def _of_numbers(histogram: Histogram, most: int) -> tuple[list[float], list[int]]:
    """Where the second bin and those that follow begin, and the counts of all."""
    if histogram.edges is None:  # of false and true
        return [1.0], histogram.counts
    if histogram.edges[0] == histogram.edges[-1]:  # one value: whatever is less or more is new
        only = histogram.edges[0]
        return [only, math.nextafter(only, math.inf)], [0, sum(histogram.counts), 0]
    cuts, counts = histogram.edges[1:-1], list(histogram.counts)
    while len(counts) > most:  # the emptiest goes to the emptier of those beside it
        at = counts.index(min(counts))
        last = len(counts) - 1
        first = at - 1 if at == last or (at > 0 and counts[at - 1] <= counts[at + 1]) else at
        counts[first : first + 2] = [counts[first] + counts[first + 1]]
        del cuts[first]
    return cuts, counts
