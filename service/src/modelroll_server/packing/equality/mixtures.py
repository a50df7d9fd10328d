"""Random rows: the samples' values in other company, and values between and beyond them."""

import math
from collections.abc import Iterator

import numpy as np

from modelroll_server.packing.equality import rows
from modelroll_server.packing.equality.pool import Pool
from modelroll_server.schema import Input
from modelroll_server.tensors import Array, Datatype, Table

COUNT = 20_000
_MISSING = 0.05
_WORDS = 12


def make(pool: Pool) -> Iterator[tuple[Table, int]]:
    """Random rows, and how many more are to come."""
    asked = 0
    samples = pool.table
    while asked < COUNT:
        count = min(pool.pace.rows, COUNT - asked)
        asked += count
        columns = tuple(
            _column(pool.random, described, column, count)
            for described, column in zip(pool.subject.inputs, samples.columns, strict=True)
        )
        yield Table(samples.names, columns, count), COUNT - asked


def _column(random: np.random.Generator, described: Input, samples: Array, count: int) -> Array:
    """Values of the samples; numbers are half of them others, in the samples' range or half as far again."""
    values = samples[random.integers(0, len(samples), count)]
    if rows.movable(described):
        values = _moved(random, samples, values)
    elif described.datatype is Datatype.BYTES and described.categories is None:
        values = _spoken(random, values)
    if described.missing != "refuse":
        lost = random.random(count) < _MISSING
        values[lost] = None if described.missing == "none" else math.nan
    return values


def _moved(random: np.random.Generator, samples: Array, values: Array) -> Array:
    present = rows.finite(samples).astype(np.float64)
    if not len(present):
        return values
    lowest, highest = float(present.min()), float(present.max())
    margin = min((highest - lowest) / 2 or 1.0, 1e30)
    drawn = random.uniform(max(lowest - margin, -1e300), min(highest + margin, 1e300), len(values))
    rounded = random.random(len(values)) < 0.5
    drawn[rounded] = np.round(drawn[rounded], random.integers(0, 3))
    if values.dtype.kind == "i":
        drawn = np.clip(np.round(drawn), -(2.0**62), 2.0**62)
    other = random.random(len(values)) < 0.5
    values[other] = drawn[other].astype(values.dtype)
    return values


def _spoken(random: np.random.Generator, values: Array) -> Array:
    """Texts made of the words of others."""
    words = [word for value in values.tolist() if isinstance(value, str) for word in value.split(" ")]
    if not words:
        return values
    for row in np.flatnonzero(random.random(len(values)) < 0.5).tolist():
        chosen = random.integers(0, len(words), random.integers(1, _WORDS))
        values[row] = " ".join(words[one] for one in chosen)
    return values
