"""Columns on the way into a model and arrays on the way out.

Owns their shapes, how they are cut and joined, and answers as JSON values. Knows nothing of schemas or transports.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Datatype(StrEnum):
    """Datatypes of the Open Inference Protocol that a column may have.

    ANY is none of them and stands in no manifest: a column of a bare file, of which only the name is known, holds
    values as JSON typed them.
    """

    FP64 = "FP64"
    FP32 = "FP32"
    INT64 = "INT64"
    BOOL = "BOOL"
    BYTES = "BYTES"
    ANY = "ANY"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype of a column: texts are objects (`str`, or None or nan where missing)."""
        return _DTYPES[self]


_DTYPES: dict[Datatype, np.dtype[Any]] = {
    Datatype.FP64: np.dtype(np.float64),
    Datatype.FP32: np.dtype(np.float32),
    Datatype.INT64: np.dtype(np.int64),
    Datatype.BOOL: np.dtype(np.bool_),
    Datatype.BYTES: np.dtype(object),
    Datatype.ANY: np.dtype(object),
}


class Table:
    """Rows for a model, by column; or, where all columns share a dtype, also as one block.

    Whichever it was made of, the other is made when it is asked for.

    Attributes:
        names: Column names, in manifest order.
        rows: How many rows there are (a table may have rows and no columns).
        is_block: Whether it was made of one block.
    """

    __slots__ = ("_block", "_columns", "is_block", "names", "rows")

    def __init__(self, names: tuple[str, ...], columns: tuple[Array, ...] | Array, rows: int) -> None:
        """A table of one array of shape [rows] a name, or of one array [rows, names]."""
        self.names = names
        self.rows = rows
        self.is_block = not isinstance(columns, tuple)
        self._columns = columns if isinstance(columns, tuple) else None
        self._block = None if isinstance(columns, tuple) else columns

    @property
    def columns(self) -> tuple[Array, ...]:
        """One array of shape [rows] a name, in the dtype of its `Datatype`."""
        if self._columns is None:
            assert self._block is not None
            self._columns = tuple(self._block.T)
        return self._columns

    @property
    def block(self) -> Array:
        """One array of shape [rows, names], in the dtype that holds all columns."""
        if self._block is None:
            assert self._columns is not None
            self._block = np.column_stack(self._columns)
        return self._block

    def slice(self, start: int, stop: int) -> "Table":
        """Rows start to stop, without copying."""
        rows = max(0, min(stop, self.rows) - start)
        if self.is_block or self._columns is None:
            return Table(self.names, self.block[start:stop], rows)
        return Table(self.names, tuple(column[start:stop] for column in self._columns), rows)

    def take(self, rows: Sequence[int]) -> "Table":
        """The rows at these indices, copied."""
        if self.is_block or self._columns is None:
            return Table(self.names, self.block[rows], len(rows))
        return Table(self.names, tuple(column[rows] for column in self._columns), len(rows))

    @staticmethod
    def concat(tables: Sequence["Table"]) -> "Table":
        """One table of the rows of all, in order. They must have the same names; at least one is needed."""
        if len(tables) == 1:
            return tables[0]
        names, rows = tables[0].names, sum(table.rows for table in tables)
        if all(table.is_block for table in tables):
            return Table(names, np.concatenate([table.block for table in tables]), rows)
        columns = tuple(np.concatenate(parts) for parts in zip(*(table.columns for table in tables), strict=True))
        return Table(names, columns, rows)


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model says about the rows of one table.

    Attributes:
        prediction: Labels or numbers, [rows], or [rows, outputs] when multi-output.
        probability: P(class) as float64 [rows, classes], a list of those when multi-output, None without predict_proba.
        score: decision_function as float64, [rows] or [rows, classes]; only where there is no probability.
    """

    prediction: Array
    probability: Array | list[Array] | None = None
    score: Array | None = None

    @property
    def rows(self) -> int:
        """How many rows were answered."""
        return len(self.prediction)

    @property
    def finite(self) -> npt.NDArray[np.bool_]:
        """Of which rows every number predicted is finite, [rows]; labels are."""
        found = self.prediction
        if found.dtype.kind != "f":
            return np.ones(len(found), np.bool_)
        return np.asarray(np.isfinite(found).all(axis=tuple(range(1, found.ndim))))

    def slice(self, start: int, stop: int) -> "Outputs":
        """The answers to rows start to stop, without copying."""
        return self._map(lambda array: array[start:stop])

    def row(self, index: int) -> "Outputs":
        """The answer to one row, copied: it keeps nothing of the others in memory. Its arrays are read-only."""

        def copy(array: Array) -> Array:
            one = array[index : index + 1].copy()
            one.flags.writeable = False
            return one

        return self._map(copy)

    @staticmethod
    def concat(parts: Sequence["Outputs"]) -> "Outputs":
        """One answer to all rows, in order. All must come from one model; at least one is needed."""
        first = parts[0]
        if len(parts) == 1:
            return first
        probability: Array | list[Array] | None = None
        if isinstance(first.probability, list):
            lists = [part.probability for part in parts if isinstance(part.probability, list)]
            probability = [np.concatenate(arrays) for arrays in zip(*lists, strict=True)]
        elif first.probability is not None:
            probability = np.concatenate([part.probability for part in parts])
        score = None if first.score is None else np.concatenate([part.score for part in parts])
        return Outputs(np.concatenate([part.prediction for part in parts]), probability, score)

    def as_lists(self) -> tuple[dict[str, list[Any] | None], int]:
        """`prediction`, `probability` and `score` by row, as JSON has them, and how many numbers became None.

        A row of a multi-output probability is a list of lists.
        """
        labels, lost = as_list(self.prediction)
        found: dict[str, list[Any] | None] = {"prediction": labels, "probability": None, "score": None}
        if isinstance(self.probability, list):
            parts = [as_list(array) for array in self.probability]
            found["probability"] = [list(row) for row in zip(*(part for part, _ in parts), strict=True)]
            lost += sum(count for _, count in parts)
        elif self.probability is not None:
            found["probability"], count = as_list(self.probability)
            lost += count
        if self.score is not None:
            found["score"], count = as_list(self.score)
            lost += count
        return found, lost

    def _map(self, cut: Callable[[Array], Array]) -> "Outputs":
        probability = self.probability
        if isinstance(probability, list):
            probability = [cut(array) for array in probability]
        elif probability is not None:
            probability = cut(probability)
        return Outputs(cut(self.prediction), probability, None if self.score is None else cut(self.score))


class Shared:
    """The answers of one run of a model, which several callers share.

    Attributes:
        outputs: All of them.
    """

    __slots__ = ("_lists", "_lost", "outputs")

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs
        self._lists: dict[str, list[Any] | None] | None = None
        self._lost = 0

    def lists(self) -> tuple[dict[str, list[Any] | None], int]:
        """As `Outputs.as_lists`, made once for all who ask."""
        if self._lists is None:
            self._lists, self._lost = self.outputs.as_lists()
        return self._lists, self._lost


class Answers:
    """The answers to one caller's rows: rows start to stop of what was computed together.

    Attributes:
        rows: How many.
        by: Who answered, where it was not the one that was asked.
    """

    __slots__ = ("_shared", "_start", "by", "rows")

    def __init__(self, shared: Shared, start: int, stop: int) -> None:
        self._shared = shared
        self._start = start
        self.rows = stop - start
        self.by: Any = None

    @staticmethod
    def of(outputs: Outputs) -> "Answers":
        """All of `outputs`."""
        return Answers(Shared(outputs), 0, outputs.rows)

    @property
    def outputs(self) -> Outputs:
        """As arrays."""
        return self._shared.outputs.slice(self._start, self._start + self.rows)

    @property
    def together(self) -> Outputs:
        """As arrays, with the answers to others' rows: for dtypes and shapes, without cutting anything."""
        return self._shared.outputs

    def first(self) -> tuple[Any, Any, Any]:
        """`prediction`, `probability` and `score` of the first row, as JSON has them."""
        lists, _ = self._shared.lists()
        index = self._start
        prediction, probability, score = lists["prediction"], lists["probability"], lists["score"]
        return (
            None if prediction is None else prediction[index],
            None if probability is None else probability[index],
            None if score is None else score[index],
        )

    def lists(self) -> dict[str, list[Any] | None]:
        """`prediction`, `probability` and `score` by row, as JSON has them."""
        lists, _ = self._shared.lists()
        start, stop = self._start, self._start + self.rows
        return {name: None if rows is None else rows[start:stop] for name, rows in lists.items()}

    def lost(self) -> int:
        """How many of the numbers are not finite, and null in JSON."""
        _, lost = self._shared.lists()
        return lost if lost == 0 else self.outputs.as_lists()[1]


def as_list(array: Array) -> tuple[list[Any], int]:
    """An array as nested lists of JSON values, and how many of its numbers were not finite and became None.

    Numbers have the shortest decimals of their own dtype.
    """
    if array.dtype == np.float32:
        # Through text: 0.1 as a float32 is 0.1 to a reader, not 0.10000000149011612.
        array = np.array([float(str(value)) for value in array.ravel()], dtype=np.float64).reshape(array.shape)
    if array.dtype.kind != "f":
        return array.tolist(), 0
    finite = np.isfinite(array)
    lost = int(array.size - np.count_nonzero(finite))
    if lost:
        array = np.where(finite, array.astype(object), np.array(None, dtype=object))
    return array.tolist(), lost
