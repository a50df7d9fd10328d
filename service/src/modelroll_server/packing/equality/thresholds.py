"""Rows at the thresholds of trees, pulled back to the column that moves the feature.

How a column becomes a feature is found by asking the fitted preprocessing: which features change with it, and between
which two adjacent values of it a threshold is passed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modelroll_server.packing import ordinals
from modelroll_server.packing.equality import rows, trees
from modelroll_server.packing.equality.pool import Pool
from modelroll_server.tensors import Array, Table

COUNT = 20_000
_ROUTED = 2000  # rows sent down the trees to see which come to which node
_PROBES = 4  # rows in which each column is moved
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
_TRIES = 3  # columns tried for a threshold that many move
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_MAX_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class _Thresholds:
    """Thresholds of the trees of one view: [n] each.

    Attributes:
        feature: What is compared.
        value: With what.
        base: Index of a row of the pool that comes to the node.
    """

    feature: Array
    value: Array
    base: Array

    def of(self, chosen: Array) -> "_Thresholds":
        return _Thresholds(self.feature[chosen], self.value[chosen], self.base[chosen])


def make(pool: Pool, share: float) -> Iterator[tuple[Table, int]]:
    """Rows at both sides of each threshold and the rounded values beside it, and how many thresholds are left."""
    if not len(pool.movable) or not trees.has_trees(pool.subject.estimator):
        return
    probe = rows.take(pool.table, np.arange(min(64, pool.table.rows)))
    views = trees.views(pool.subject.estimator, pool.subject.reference, probe)
    planned = _chosen(pool, [_thresholds(pool, view) for view in views])
    left = sum(len(one.value) for one in planned)
    decimals = {int(index): _decimals(pool.table.columns[index][: pool.samples]) for index in pool.movable}
    for view, thresholds in zip(views, planned, strict=True):
        moved_by = _moved_by(pool, view)
        done = 0
        while done < len(thresholds.value):
            if pool.budget.is_over(share):
                yield pool.table.slice(0, 0), left
                return
            part = thresholds.of(np.arange(done, min(len(thresholds.value), done + max(64, pool.pace.rows))))
            done += len(part.value)
            left -= len(part.value)
            for column, base, low, high in _pulled_back(pool, view, part, moved_by, share):
                yield from _beside(pool, column, base, low, high, decimals[column], left)


def _thresholds(pool: Pool, view: trees.View) -> _Thresholds:
    """Every threshold of the view; a node to which no row comes has any row for its base."""
    routed = pool.random.permutation(pool.table.rows)[:_ROUTED]
    features = view.features(pool.subject.reference, rows.take(pool.table, routed))
    found = []
    for tree in view.trees:
        base = trees.reached(tree, features, np.arange(len(routed)))
        inner = np.flatnonzero((tree.left >= 0) & tree.ordered & np.isfinite(tree.threshold))
        some = pool.random.integers(0, len(routed), len(inner))
        chosen = routed[np.where(base[inner] >= 0, base[inner], some)]
        found.append((tree.feature[inner], tree.threshold[inner], chosen))
    return _Thresholds(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _chosen(pool: Pool, thresholds: list[_Thresholds]) -> list[_Thresholds]:
    """As many as are asked, of all views alike."""
    total = sum(len(one.value) for one in thresholds)
    kept = np.zeros(total, bool)
    kept[pool.random.permutation(total)[:COUNT]] = True
    ends = np.cumsum([len(one.value) for one in thresholds])[:-1]
    parts = np.split(kept, ends) if thresholds else []
    return [one.of(pool.random.permutation(np.flatnonzero(part))) for one, part in zip(thresholds, parts, strict=True)]


def _moved_by(pool: Pool, view: trees.View) -> Array:
    """Which features change with which columns, [columns that move, features]."""
    base = pool.random.permutation(pool.table.rows)[:_PROBES]
    before = view.features(pool.subject.reference, rows.take(pool.table, base))
    found = np.zeros((len(pool.movable), before.shape[1]), bool)
    each = len(base) * len(_QUANTILES)
    at_once = max(1, rows.chunk_rows(pool.table) // each)
    for start in range(0, len(pool.movable), at_once):
        columns = pool.movable[start : start + at_once]
        values = [_spread(pool.table.columns[index])[one // len(base)] for index in columns for one in range(each)]
        table = rows.take(pool.table, np.tile(base, len(columns) * len(_QUANTILES)))
        after = view.features(pool.subject.reference, rows.replace(table, np.repeat(columns, each), values))
        grouped = after.reshape(len(columns), len(_QUANTILES), len(base), -1)
        same = (grouped == before) | (np.isnan(grouped) & np.isnan(before))
        found[start : start + at_once] = ~same.all(axis=(1, 2))
    return found


def _spread(column: Array) -> Array:
    present = rows.finite(column)
    if not len(present):
        return np.zeros(len(_QUANTILES), column.dtype)
    return np.asarray(np.quantile(present, _QUANTILES, method="nearest"), column.dtype)


def _pulled_back(
    pool: Pool, view: trees.View, thresholds: _Thresholds, moved_by: Array, share: float
) -> Iterator[tuple[int, Array, Array, Array]]:
    """By column: rows, and the two adjacent values between which their thresholds are passed."""
    open_ones = np.arange(len(thresholds.value))
    for attempt in range(_TRIES):
        movers = moved_by[:, thresholds.feature[open_ones]]
        possible = np.count_nonzero(movers, axis=0)
        open_ones, movers = open_ones[possible > attempt], movers[:, possible > attempt]
        if not len(open_ones):
            return
        order = pool.random.random(movers.shape) + ~movers  # those that move it first
        column = pool.movable[np.argsort(order, axis=0)[attempt]]
        missed = []
        for index in np.unique(column):
            mine = open_ones[column == index]
            crossing = _Crossing(pool, view, int(index), thresholds.of(mine))
            low, high, found = crossing.bracket()
            kept = np.flatnonzero(found)
            if len(kept) and not pool.budget.is_over(share):
                low, high = crossing.bisect(kept, low[kept], high[kept], share)
                yield int(index), thresholds.base[mine[kept]], low, high
            missed.append(mine[~found])
        open_ones = np.concatenate(missed)


class _Crossing:
    """Thresholds of features that one column moves, each in its own row."""

    def __init__(self, pool: Pool, view: trees.View, column: int, thresholds: _Thresholds) -> None:
        self._pool = pool
        self._view = view
        self._column = column
        self._thresholds = thresholds
        self._rows = rows.take(pool.table, thresholds.base)

    def bracket(self) -> tuple[Array, Array, Array]:
        """Values of the column on both sides of each threshold, and where there are any."""
        count = len(self._thresholds.value)
        dtype = self._rows.columns[self._column].dtype
        low, high, found = np.zeros(count, dtype), np.zeros(count, dtype), np.zeros(count, bool)
        for least, most in self._ranges(dtype):
            missing = np.flatnonzero(~found)
            if not len(missing):
                break
            ends = [np.full(len(missing), end, dtype) for end in (least, most)]
            left = [self.is_left(values, missing) for values in ends]
            rising, falling = left[0] & ~left[1], left[1] & ~left[0]
            low[missing] = np.where(falling, ends[1], ends[0])
            high[missing] = np.where(falling, ends[0], ends[1])
            found[missing] = rising | falling
        return low, high, found

    def _ranges(self, dtype: np.dtype[np.generic]) -> Iterator[tuple[float, float]]:
        """Where to look: in the samples' range, ten times as far, as far as the schema goes."""
        present = rows.finite(self._pool.table.columns[self._column]).astype(np.float64)
        least, most = (float(present.min()), float(present.max())) if len(present) else (0.0, 0.0)
        limit = self._pool.subject.inputs[self._column].max_abs or (2.0**62 if dtype.kind == "i" else _FLOAT32_MAX)
        margin = min(10 * (most - least) + 1.0, limit / 2)
        yield max(least, -limit), min(most, limit)
        yield max(least - margin, -limit), min(most + margin, limit)
        yield -limit, limit

    def bisect(self, which: Array, low: Array, high: Array, share: float) -> tuple[Array, Array]:
        """The adjacent values between which these thresholds are passed."""

        def side(values: Array, pairs: Array) -> Array:
            return self.is_left(values, which[pairs])

        return ordinals.bisect(low, high, side, expired=lambda: self._pool.budget.is_over(share))

    def is_left(self, values: Array, which: Array) -> Array:
        """Whether these rows, with these values in the column, go left at their threshold."""
        table = rows.take(self._rows, which)
        columns = [*table.columns]
        columns[self._column] = values
        features = self._view.features(self._pool.subject.reference, Table(table.names, tuple(columns), table.rows))
        feature, threshold = self._thresholds.feature[which], self._thresholds.value[which]
        return np.asarray(features[np.arange(len(which)), feature] <= threshold)


def _beside(
    pool: Pool, column: int, base: Array, low: Array, high: Array, decimals: int | None, left: int
) -> Iterator[tuple[Table, int]]:
    """Rows with the values at and beside each crossing, in chunks, and how many thresholds are left after them."""
    candidates = np.stack(_candidates(low, high, decimals), axis=1)
    first = np.ones(candidates.shape, bool)
    for index in range(1, candidates.shape[1]):  # the same value twice is one row
        first[:, index] = (candidates[:, :index] != candidates[:, index : index + 1]).all(axis=1)
    values, bases = candidates[first], np.repeat(base, first.sum(axis=1))
    for start in range(0, len(values), pool.pace.rows):
        chosen = slice(start, start + pool.pace.rows)
        table = rows.take(pool.table, bases[chosen])
        columns = [*table.columns]
        columns[column] = values[chosen]
        yield Table(table.names, tuple(columns), table.rows), left


def _candidates(low: Array, high: Array, decimals: int | None) -> list[Array]:
    found = [low, high]
    if low.dtype != np.float64:
        return found
    with np.errstate(over="ignore"):
        for values in (low, high):
            single = values.astype(np.float32)
            beside = (np.nextafter(single, np.float32(end)) for end in (-np.inf, np.inf))
            found += [np.where(np.isfinite(one), one, values).astype(np.float64) for one in (single, *beside)]
        if decimals is not None:
            power = 10.0**decimals
            wholes = (np.floor(low * power), np.ceil(low * power))
            found += [np.where(np.isfinite(whole), whole / power, low) for whole in wholes]
    return found


def _decimals(column: Array) -> int | None:
    """With how many decimals the column is written; None when with more than can be told."""
    present = rows.finite(column)[:1000].astype(np.float64)
    for decimals in range(_MAX_DECIMALS + 1):
        if (np.round(present, decimals) == present).all():
            return decimals
    return None
