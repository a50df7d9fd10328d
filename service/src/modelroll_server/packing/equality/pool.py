"""What every kind of row is made from: rows that scikit-learn answered, what it said, and the time that is left."""

import time
from dataclasses import dataclass, field

import numpy as np

from modelroll_server.packing.equality import rows
from modelroll_server.packing.equality.asking import Budget
from modelroll_server.packing.equality.subject import Subject
from modelroll_server.tensors import Array, Outputs, Table

_FIRST = 128
_SLOW = 0.03  # of the budget; about what a chunk of rows shall take


class Pace:
    """How many rows to ask at once: few at first, more as long as the answers come fast."""

    def __init__(self, table: Table, budget: Budget) -> None:
        self._limit = rows.chunk_rows(table)
        self._slow = _SLOW * budget.seconds
        self._began = time.monotonic()
        self.rows = min(_FIRST, self._limit)

    def start(self) -> None:
        """A chunk begins."""
        self._began = time.monotonic()

    def end(self) -> None:
        """It was answered."""
        took = time.monotonic() - self._began
        if took < self._slow / 4:
            self.rows = min(self._limit, 4 * self.rows)
        elif took > 4 * self._slow:
            self.rows = max(1, self.rows // 4)


@dataclass(slots=True)
class Pool:
    """Rows to make others of.

    Attributes:
        subject: What is compared.
        budget: The time.
        pace: How many rows to make at once.
        random: Source of everything random.
        table: Rows that scikit-learn answered; the samples first.
        answers: What it said.
        samples: How many of them are samples.
        movable: Indexes of the columns that may have any number.
    """

    subject: Subject
    budget: Budget
    pace: Pace
    random: np.random.Generator
    table: Table
    answers: Outputs
    samples: int = field(init=False)
    movable: Array = field(init=False)

    def __post_init__(self) -> None:
        self.samples = self.table.rows
        columns = self.subject.inputs
        self.movable = np.array([index for index, one in enumerate(columns) if rows.movable(one)], np.int64)

    def add(self, table: Table, answers: Outputs) -> None:
        """More rows that were answered."""
        self.table = Table.concat([self.table, table])
        self.answers = Outputs.concat([self.answers, answers])
