"""Histograms of the samples' columns, which a server compares with what it is sent."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from modelroll_server.schema import Histogram
from modelroll_server.tensors import Array

PARTS = 10  # of numbers: a part is closed where it has a tenth of the rows
MOST_VALUES = 50


def of_numbers(finite: Array, *, missing: int) -> Histogram:
    """Parts with about equally many rows each, as far as equal values allow; a value with so many has one of its own.

    Args:
        finite: What is there, [rows], one at least.
        missing: Rows without a value.
    """
    values, counts = np.unique(finite.astype(np.float64), return_counts=True)
    reached, enough = np.cumsum(counts), len(finite) / PARTS
    starts = [0]
    while True:
        start = starts[-1]
        before = reached[start - 1] if start else 0
        end = int(np.searchsorted(reached, before + enough)) + 1
        if end - 1 > start and end <= len(values) and counts[end - 1] >= enough:
            end -= 1
        if end >= len(values):
            break
        starts.append(end)
    edges = [*values[starts].tolist(), values[-1].item()]
    return Histogram(counts=np.add.reduceat(counts, starts).tolist(), edges=edges, missing=missing)


def of_flags(values: Array, *, missing: int) -> Histogram:
    """Of false and true."""
    true = int(np.count_nonzero(values))
    return Histogram(counts=[len(values) - true, true], missing=missing)


def of_texts(values: Iterable[Any], categories: Sequence[Any] | None) -> Histogram | None:
    """Of each category, or where there are none, or too many, of the commonest texts.

    Texts of which the commonest are not half of the rows are names or sentences, and have no histogram.

    Args:
        values: Of all rows; None or nan where missing.
        categories: Those that the manifest lists.
    """
    counts = Counter(value if isinstance(value, str) else None for value in values)
    missing = counts.pop(None, 0)
    total = counts.total()
    if categories is not None and len(categories) <= MOST_VALUES:
        found = [counts[value] for value in categories]
        return Histogram(counts=found, other=total - sum(found), missing=missing)
    common = sorted(counts, key=lambda value: (-counts[value], value or ""))[:MOST_VALUES]
    found = [counts[value] for value in common]
    if 2 * sum(found) < total:
        return None
    return Histogram(counts=found, values=[str(value) for value in common], other=total - sum(found), missing=missing)
