"""Rows at the border between two answers: two rows that are answered otherwise, brought together."""

from collections.abc import Iterator

import numpy as np

from modelroll_server.packing import ordinals
from modelroll_server.packing.equality import rows
from modelroll_server.packing.equality.pool import Pool
from modelroll_server.tensors import Array, Outputs, Table

PAIRS = 256
_AT_ONCE = 64


def make(pool: Pool, share: float) -> Iterator[tuple[Table, int]]:
    """Both rows of each pair, adjacent in the end if the border is one of numbers, and how many more are to come."""
    ones, others = _pairs(pool)
    done = 0
    while done < len(ones):
        chosen = slice(done, done + max(_AT_ONCE, pool.pace.rows))  # every chunk is some seventy questions
        done = min(len(ones), chosen.stop)
        pairs = _Pairs(pool, ones[chosen], others[chosen], share)
        yield Table.concat(pairs.together()), 2 * (len(ones) - done)


def _pairs(pool: Pool) -> tuple[Array, Array]:
    keys = _keys(pool.answers)
    ones, others = pool.random.permutation(len(keys)), pool.random.permutation(len(keys))
    different = keys[ones] != keys[others]
    if different.any() and np.count_nonzero(different) < PAIRS:  # a rare answer has few partners by chance
        rare = np.flatnonzero(keys != np.bincount(keys).argmax())
        ones = pool.random.choice(rare, PAIRS)
        others = pool.random.choice(len(keys), PAIRS)
        different = keys[ones] != keys[others]
    return ones[different][:PAIRS], others[different][:PAIRS]


def _keys(outputs: Outputs) -> Array:
    """One number for each different answer."""
    flat = outputs.prediction.reshape(outputs.rows, -1)
    text = flat.astype(str) if flat.dtype.kind not in "fiub" else flat
    _, keys = np.unique(text, axis=0, return_inverse=True)
    return np.asarray(keys).ravel()


class _Pairs:
    """Some pairs of rows, and how a row between the two is made: the first columns of some order are the other's."""

    def __init__(self, pool: Pool, ones: Array, others: Array, share: float) -> None:
        self._pool = pool
        self._share = share
        self._one = rows.take(pool.table, ones)
        self._other = rows.take(pool.table, others)
        self._wanted = (pool.answers.prediction[ones], pool.answers.prediction[others])
        width = len(pool.table.names)
        order = np.argsort(pool.random.random((len(ones), width)), axis=1)
        self._rank = np.argsort(order, axis=1)
        self._order = order

    def together(self) -> list[Table]:
        """The two rows of every pair, on the two sides of a border."""
        every = np.arange(self._one.rows)
        low, high = np.zeros(self._one.rows, np.int64), np.full(self._one.rows, len(self._one.names), np.int64)
        while not self._expired():
            active = np.flatnonzero(high - low > 1)
            if not len(active):
                break
            middle = (low[active] + high[active]) // 2
            near = self._like_one(self._between(active, middle), active)
            low[active] = np.where(near, middle, low[active])
            high[active] = np.where(near, high[active], middle)
        column = self._order[every, low]  # the one whose turn it is makes the difference
        tables = [self._between(every, low), self._between(every, high)]
        for index in np.unique(column):
            if index in self._pool.movable:
                self._bring_together(index, np.flatnonzero((column == index) & (high - low == 1)), tables)
        return tables

    def _bring_together(self, index: int, pairs: Array, tables: list[Table]) -> None:
        left, right = (table.columns[index] for table in tables)
        pairs = pairs[np.isfinite(left[pairs]) & np.isfinite(right[pairs])]
        base = rows.take(tables[0], pairs)

        def side(values: Array, which: Array) -> Array:
            asked = rows.take(base, which)
            columns = [*asked.columns]
            columns[index] = values
            return self._like_one(Table(asked.names, tuple(columns), asked.rows), pairs[which])

        found = ordinals.bisect(left[pairs], right[pairs], side, expired=self._expired)
        for values, settled in zip((left, right), found, strict=True):
            values[pairs] = settled

    def _between(self, pairs: Array, count: Array) -> Table:
        """Of these pairs, the row that has `count` columns of the other."""
        others = self._rank[pairs] < count[:, None]
        columns = tuple(
            np.where(others[:, index], other[pairs], one[pairs])
            for index, (one, other) in enumerate(zip(self._one.columns, self._other.columns, strict=True))
        )
        return Table(self._one.names, columns, len(pairs))

    def _like_one(self, table: Table, pairs: Array) -> Array:
        found = self._pool.subject.reference.predict(table).prediction
        wanted, unwanted = (answers[pairs] for answers in self._wanted)
        if found.dtype.kind != "f":
            return np.asarray(np.asarray(found == wanted, bool).reshape(len(pairs), -1).all(axis=1))
        near, far = (np.abs(found - answers).reshape(len(pairs), -1).sum(axis=1) for answers in (wanted, unwanted))
        return np.asarray(near < far)

    def _expired(self) -> bool:
        return self._pool.budget.is_over(self._share)
