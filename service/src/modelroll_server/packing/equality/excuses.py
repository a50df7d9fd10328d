"""Which differences are rounding and no more: scikit-learn itself answers so at a row that is as good as the same.

*Inside the margin*: the label alone differs, and scikit-learn's own numbers for the two labels are nearer than
rounding. For models without trees, whose borders are computed and not compared, two more. *Backward error*: the
compiled answer is scikit-learn's at a row that is a billionth away. *Swallowed*: one value is so large that
scikit-learn no longer sees the rest of the row; which of its neighbours is nearest is then a matter of rounding alone.
None excuses a tie where the model is constant around the row (a vote, a leaf): there a rule breaks it, and the rule
must be the same.
"""

import contextlib
from collections.abc import Callable

import numpy as np

from modelroll_server.packing.equality import rows, tolerance, trees
from modelroll_server.packing.equality.pool import Pool
from modelroll_server.runtimes import estimators
from modelroll_server.tensors import Array, Outputs, Table

NEAR = 1e-9
_MOVES = 16
_SINGLE_COLUMNS = 32
_EXAMINED = 1024
_LARGE = 1e6  # times the largest sample
_COMPANIONS = 16
_AT_ONCE = 64


class Excuses:
    """Judges rows of one subject.

    Attributes:
        tolerance: How near answers must be.
        is_exact: Whether borders are thresholds of trees, which are compared and not computed.
    """

    def __init__(self, pool: Pool, allowed: tolerance.Tolerance) -> None:
        estimator, columns = pool.subject.estimator, pool.table.columns
        self.tolerance = allowed
        self.is_exact = trees.has_trees(estimator)
        self._votes = self.is_exact or any(hasattr(part, "kneighbors") for part in estimators.parts(estimator))
        self._reference = pool.subject.reference
        self._random = pool.random
        self._pool = pool
        self._floats = [index for index in pool.movable.tolist() if columns[index].dtype.kind == "f"]
        self._scales = [_scale(columns[index]) for index in self._floats]
        self._largest = [_largest(columns[index][: pool.samples]) for index in self._floats]

    def excused(self, table: Table, expected: Outputs, found: Outputs) -> Array:
        """Which of these rows, all of them answered otherwise, differ by rounding alone, [rows]."""
        close = ~self.tolerance.numbers_differ(expected, found)
        excused = self._inside(table, expected, np.flatnonzero(close & self._near_another(expected)))
        if not self.is_exact and self._floats:

            def answered_nearby(part: Array) -> Array:
                return self._is_answered_nearby(rows.take(table, part), rows.take_answers(found, part))

            def swallowed(part: Array) -> Array:
                return self._is_swallowed(rows.take(table, part), rows.take_answers(expected, part))

            _by_parts(excused, np.flatnonzero(~excused), answered_nearby)
            _by_parts(excused, np.flatnonzero(~excused & _is_finite(expected) & _is_finite(found)), swallowed)
        return excused

    def inside_margin(self, table: Table, expected: Outputs) -> Array:
        """Which rows lie so near to another label that rounding decides, [rows]."""
        return self._inside(table, expected, np.flatnonzero(self._near_another(expected)))

    def _near_another(self, expected: Outputs) -> Array:
        if self.tolerance.numeric:
            return np.zeros(expected.rows, bool)
        return tolerance.margins(expected) <= tolerance.MARGIN

    def _inside(self, table: Table, expected: Outputs, near: Array) -> Array:
        """Of the rows that are near another label, those around which scikit-learn's numbers change at all."""
        inside = np.zeros(table.rows, bool)
        if not self._floats:
            inside[near] = not self._votes
            return inside

        def changes(part: Array) -> Array:
            return ~self._is_constant(rows.take(table, part), rows.take_answers(expected, part))

        _by_parts(inside, near, changes)
        return inside

    def _is_constant(self, table: Table, expected: Outputs) -> Array:
        """Where scikit-learn gives the very same numbers to rows that are a billionth away, [rows]."""
        nearby, each = self._nearby(table, self._moves())
        there = self._reference.predict(nearby)
        here = rows.take_answers(expected, np.repeat(np.arange(table.rows), each))
        same = np.ones(nearby.rows, bool)
        for one, other in zip(tolerance.numbers(here), tolerance.numbers(there), strict=True):
            same &= (one == other).reshape(nearby.rows, -1).all(axis=1)
        return np.asarray(np.count_nonzero(same.reshape(table.rows, each), axis=1) >= 2)

    def _is_answered_nearby(self, table: Table, found: Outputs) -> Array:
        """Where scikit-learn answers a row that is a billionth away as the compiled model answers this one, [rows]."""
        nearby, each = self._nearby(
            table, np.concatenate([np.zeros((1, len(self._floats))), self._moves(), self._moves_alone()])
        )
        there = self._reference.predict(nearby)
        here = rows.take_answers(found, np.repeat(np.arange(table.rows), each))
        # Each on its own: scikit-learn computes a label and its score in two calls, with two roundings.
        differ = (self.tolerance.labels_differ(there, here), self.tolerance.numbers_differ(there, here))
        return np.asarray(~np.any([one.reshape(table.rows, each).all(axis=1) for one in differ], axis=0))

    def _is_swallowed(self, table: Table, expected: Outputs) -> Array:
        """Where scikit-learn answers the same whatever stands beside the large values of the row, [rows]."""
        each = _COMPANIONS
        repeated = np.repeat(np.arange(table.rows), each)
        companions = self._random.integers(0, self._pool.table.rows, len(repeated))
        columns, large = [], np.zeros((len(repeated), len(table.names)), bool)
        for index, (column, others) in enumerate(zip(table.columns, self._pool.table.columns, strict=True)):
            if index in self._floats:
                limit = _LARGE * self._largest[self._floats.index(index)]
                large[:, index] = np.abs(column[repeated].astype(np.float64)) > limit
            columns.append(np.where(large[:, index], column[repeated], others[companions]))
        there = self._reference.predict(Table(table.names, tuple(columns), len(repeated)))
        here = rows.take_answers(expected, repeated)
        differ = self.tolerance.labels_differ(here, there) | self.tolerance.numbers_differ(here, there)
        alone = ~large.any(axis=1) | large.all(axis=1)
        return np.asarray(~(differ | alone).reshape(table.rows, each).any(axis=1))

    def _moves(self) -> Array:
        """Every number a little up or down, [moves, numbers]."""
        size = (_MOVES, len(self._floats))
        return np.asarray(self._random.choice([-1.0, 1.0], size) * self._random.choice([1.0, 1e-3], (_MOVES, 1)))

    def _moves_alone(self) -> Array:
        """One number up or down, the others where they are, [moves, numbers]."""
        chosen = self._random.permutation(len(self._floats))[:_SINGLE_COLUMNS]
        up = np.eye(len(self._floats))[chosen]
        return np.concatenate([up, -up])

    def _nearby(self, table: Table, moves: Array) -> tuple[Table, int]:
        """Rows a billionth away from each row, and how many each has."""
        each = len(moves)
        moves = np.tile(NEAR * moves, (table.rows, 1))
        repeated = rows.take(table, np.repeat(np.arange(table.rows), each))
        columns = [*repeated.columns]
        for place, index in enumerate(self._floats):
            values = columns[index].astype(np.float64)
            step = np.maximum(np.abs(values), self._scales[place])
            moved = values + moves[:, place] * np.where(np.isfinite(step), step, 0.0)
            columns[index] = np.where(np.isfinite(moved), moved, values).astype(columns[index].dtype)
        return Table(table.names, tuple(columns), repeated.rows), each


def _by_parts(found: Array, chosen: Array, decide: Callable[[Array], Array]) -> None:
    """Set `found` where it is chosen, a part at a time; beyond a bound nothing is excused."""
    for start in range(0, min(len(chosen), _EXAMINED), _AT_ONCE):
        part = chosen[start : start + _AT_ONCE]
        with contextlib.suppress(Exception):  # where scikit-learn raises on a row nearby, nothing is excused
            found[part] = decide(part)


def _is_finite(outputs: Outputs) -> Array:
    finite = np.ones(outputs.rows, bool)
    for array in (*tolerance.probabilities(outputs), outputs.score, outputs.prediction):
        if array is not None and array.dtype.kind == "f":
            finite &= np.isfinite(array).reshape(outputs.rows, -1).all(axis=1)
    return finite


def _largest(column: Array) -> float:
    present = np.abs(rows.finite(column).astype(np.float64))
    return max(float(present.max()), 1.0) if len(present) else 1.0


def _scale(column: Array) -> float:
    present = rows.finite(column).astype(np.float64)
    spread = float(np.std(present)) if len(present) else 0.0
    return spread if np.isfinite(spread) else 0.0
