"""The order of the check, and its time."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelroll_server.packing.equality import asking, borders, edges, mixtures, rows, thresholds, tolerance
from modelroll_server.packing.equality.asking import Budget, Raised
from modelroll_server.packing.equality.excuses import Excuses
from modelroll_server.packing.equality.pool import Pace, Pool
from modelroll_server.packing.equality.subject import Difference, Differs, Equal, Subject
from modelroll_server.packing.equality.tolerance import Tolerance
from modelroll_server.schema import Row
from modelroll_server.tensors import Array, Outputs, Table

_SAMPLES, _MIXTURES = "samples", "mixtures"
_MAX_SAMPLES = 10_000
_MAX_INSIDE = 0.001  # of the samples
_POOLED = 2_000  # rows beside the samples to make others of
_SINGLY = 32  # of so many rows one is asked alone as well
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class _Stage:
    """One kind of row.

    Attributes:
        kind: What it is called.
        share: Of the seconds, when it must have ended.
        floor: How many rows of it there must be, if there are so many.
        make: Its rows, in chunks, each with how many more are to come.
    """

    kind: str
    share: float
    floor: int
    make: Callable[[Pool], Iterator[tuple[Table, int]]]


_FIRST = _Stage(_SAMPLES, 0.2, 200, lambda _: iter(()))
_STAGES = (
    _Stage("edges", 0.35, 200, edges.make),
    _Stage(_MIXTURES, 0.5, 200, mixtures.make),
    _Stage("borders", 0.65, 32, lambda pool: borders.make(pool, 0.6)),
    _Stage("thresholds", 1.0, 200, lambda pool: thresholds.make(pool, 0.9)),
)


class _Ended(Exception):
    """The two differ; nothing more is asked."""

    def __init__(self, differs: Differs) -> None:
        super().__init__(differs.reason)
        self.differs = differs


def check(subject: Subject, *, seconds: float = 120.0, seed: int = 0) -> Equal | Differs:
    """Whether the compiled model answers as scikit-learn does, as far as can be seen within `seconds`.

    Args:
        subject: The model and the two runtimes.
        seconds: How long it may take, about. A check that had no time for enough rows of a kind ends with `Differs`.
        seed: Of everything random.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return _Check(subject, Budget(seconds), seed).run()
        except _Ended as ended:
            return ended.differs


@dataclass(slots=True)
class _Check:
    """One check under way."""

    subject: Subject
    budget: Budget
    seed: int
    counts: dict[str, int] = field(default_factory=dict)
    unasked: dict[str, int] = field(default_factory=dict)

    def run(self) -> Equal:
        """Ask the samples, then the rows made of them, until something differs or the time is over."""
        pool = self._pool()
        excuses = Excuses(pool, Tolerance.of(self.subject.task, pool.answers))
        self._samples(pool, excuses)
        for stage in _STAGES:
            self._made(stage, pool, excuses)
        return Equal(self.counts, self.seed, round(self.budget.spent, 1), self.unasked)

    def _pool(self) -> Pool:
        """The samples that the schema takes, as many as there is time for, answered by scikit-learn."""
        random = np.random.default_rng(self.seed)
        pace = Pace(self.subject.samples, self.budget)
        order = random.permutation(self.subject.samples.rows)[:_MAX_SAMPLES]
        answered: list[tuple[Table, Outputs]] = []
        done = 0
        while done < len(order) and not (answered and self.budget.is_over(_FIRST.share)):
            table = rows.take(self.subject.samples, order[done : done + pace.rows])
            done += table.rows
            _, taken = rows.decode(self.subject.schema, table)
            if len(taken):
                pace.start()
                table = rows.take(table, taken)
                answered.append((table, self._expected(_SAMPLES, table)))
                pace.end()
        if not answered:
            raise _Ended(Differs("the schema takes none of the samples"))
        tables, answers = zip(*answered, strict=True)
        pool = Pool(self.subject, self.budget, pace, random, Table.concat(tables), Outputs.concat(answers))
        self._leave(_FIRST, pool.samples, len(order) - done)
        return pool

    def _samples(self, pool: Pool, excuses: Excuses) -> None:
        """Compare the samples, and see that few of them lie where rounding decides."""
        inside, rounding = 0, 0
        for start in range(0, pool.samples, pool.pace.rows):
            stop = start + pool.pace.rows
            table, expected = pool.table.slice(start, stop), pool.answers.slice(start, stop)
            decoded, taken = rows.decode(self.subject.schema, table)
            table, expected = rows.take(table, taken), rows.take_answers(expected, taken)
            excused = self._compare(_SAMPLES, table, decoded, expected, excuses)
            rounding += int(np.count_nonzero(excused))
            inside += int(np.count_nonzero(excused | excuses.inside_margin(table, expected)))
        self._excuse(_SAMPLES, rounding)
        if inside > _MAX_INSIDE * pool.samples:
            reason = f"{inside} of {pool.samples} samples lie so near to another answer that rounding decides"
            raise _Ended(Differs(reason, {_SAMPLES: inside}))

    def _made(self, stage: _Stage, pool: Pool, excuses: Excuses) -> None:
        """Compare the rows of one stage."""
        asked, ties, rounding, left = 0, 0, 0, 0
        for table, left in _rows(stage, pool):  # noqa: B007 - what was left is noted below
            pool.pace.start()
            decoded, taken = rows.decode(self.subject.schema, table)
            if len(taken):
                kept = rows.take(table, taken)
                expected = self._expected(stage.kind, kept)
                rounding += int(np.count_nonzero(self._compare(stage.kind, kept, decoded, expected, excuses)))
                asked += kept.rows
                if stage.kind == _MIXTURES:
                    ties += int(np.count_nonzero(tolerance.margins(expected) == 0))
                    if pool.table.rows < pool.samples + _POOLED:
                        pool.add(kept, expected)
            pool.pace.end()
            if self.budget.is_over(stage.share):
                break
        self._leave(stage, asked, left)
        if ties:
            self.counts |= {stage.kind: asked - ties, "ties": ties}
        self._excuse(stage.kind, rounding)

    def _excuse(self, kind: str, rounding: int) -> None:
        """Count apart the rows that are not equal but for rounding."""
        if rounding:
            self.counts[kind] -= rounding
            self.counts["rounding"] = self.counts.get("rounding", 0) + rounding

    def _leave(self, stage: _Stage, asked: int, left: int) -> None:
        """Note how far a stage came, and end when that is not far enough."""
        self.counts[stage.kind] = asked
        if left:
            self.unasked[stage.kind] = left
            if asked < stage.floor:
                reason = f"the time was over after {asked} {stage.kind}, with {left} more to ask: give it more seconds"
                raise _Ended(Differs(reason))

    def _expected(self, kind: str, table: Table) -> Outputs:
        """What scikit-learn says to rows that the schema takes."""
        answers = asking.reference(self.subject.reference, table)
        if isinstance(answers, Outputs):
            return answers
        shown = []
        for index in answers.rows:
            decoded, _ = rows.decode(self.subject.schema, table.slice(index, index + 1))
            found = asking.compiled(self.subject.compiled, self.subject.schema, decoded, 1)
            shown.append(self._difference(kind, table, index, 1, answers, found))
        reason = "scikit-learn raises on rows that the schema takes"
        raise _Ended(Differs(reason, {kind: len(answers.rows)}, shown))

    def _compare(self, kind: str, table: Table, decoded: Sequence[Row], expected: Outputs, excuses: Excuses) -> Array:
        """Ask the compiled model in batches, and some rows alone; which rows rounding excuses, [rows]."""
        batched = self._compare_in(asking.BATCH, kind, table, decoded, expected, excuses)
        some = np.arange(0, table.rows, _SINGLY)
        alone = [decoded[index] for index in some.tolist()]
        self._compare_in(1, kind, rows.take(table, some), alone, rows.take_answers(expected, some), excuses)
        return batched

    def _compare_in(
        self, batch: int, kind: str, table: Table, decoded: Sequence[Row], expected: Outputs, excuses: Excuses
    ) -> Array:
        found = asking.compiled(self.subject.compiled, self.subject.schema, decoded, batch)
        if isinstance(found, Raised):
            rows_at_fault = [self._difference(kind, table, index, batch, expected, found) for index in found.rows]
            reason = "the compiled model raises on rows that scikit-learn answers"
            raise _Ended(Differs(reason, {kind: len(found.rows)}, rows_at_fault))
        form = excuses.tolerance.form(expected, found)
        if form is not None:
            raise _Ended(Differs(form, {kind: table.rows}, [self._difference(kind, table, 0, batch, expected, found)]))
        labels, numbers = (
            differ(expected, found) for differ in (excuses.tolerance.labels_differ, excuses.tolerance.numbers_differ)
        )
        excused = np.zeros(table.rows, bool)
        where = np.flatnonzero(labels | numbers)
        if len(where):
            answers = (rows.take_answers(outputs, where) for outputs in (expected, found))
            excused[where] = excuses.excused(rows.take(table, where), *answers)
            where = where[~excused[where]]
        if len(where):
            shown = [self._difference(kind, table, int(index), batch, expected, found) for index in where[:_SHOWN]]
            what = "labels" if labels[where].any() else "numbers"
            reason = f"{len(where)} of {table.rows} {kind} have other {what} compiled than from scikit-learn"
            raise _Ended(Differs(reason, {kind: len(where)}, shown))
        return excused

    def _difference(
        self, kind: str, table: Table, index: int, batch: int, expected: Outputs | Raised, found: Outputs | Raised
    ) -> Difference:
        values = rows.json_rows(table.slice(index, index + 1))[0]
        row = dict(zip(table.names, values, strict=True))
        return Difference(kind, row, batch, _shown(expected, index), _shown(found, index))


def _rows(stage: _Stage, pool: Pool) -> Iterator[tuple[Table, int]]:
    """The rows of a stage; scikit-learn answers all that is asked to make them, or the two differ."""
    try:
        yield from stage.make(pool)
    except Exception as error:
        reason = f"scikit-learn raises on rows between the samples: {type(error).__name__}: {error}"
        raise _Ended(Differs(reason)) from error


def _shown(answers: Outputs | Raised, index: int) -> dict[str, Any]:
    if isinstance(answers, Raised):
        return {"error": answers.rows.get(index, next(iter(answers.rows.values())))}
    # One row may stand for all: an answer to a row asked alone.
    lists, _ = answers.slice(min(index, answers.rows - 1), min(index, answers.rows - 1) + 1).as_lists()
    return {name: found[0] for name, found in lists.items() if found is not None}
