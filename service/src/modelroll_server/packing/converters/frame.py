"""What goes from step to step while a pipeline is compiled: columns, each a place in a tensor of the graph."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from modelroll_server.packing.converters.registry import CannotCompile
from modelroll_server.packing.graph import Graph, Value
from modelroll_server.runtimes.onnx import LOWER_CASE_TEXTS


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        tensor: [rows, columns], of which it is one.
        index: Which.
        of: How many columns the tensor has.
        name: None where nobody named it.
        missing: Booleans shaped as the tensor: which texts are missing. None where none can be.
        marker: What scikit-learn sees in place of a missing text: `nan` or `none`.
    """

    tensor: Value
    index: int
    of: int
    name: str | None = None
    missing: Value | None = None
    marker: str = "nan"

    @property
    def is_text(self) -> bool:
        """Whether it holds texts."""
        return self.tensor.dtype == object


class Frame:
    """Columns in order, as one step hands them to the next.

    Attributes:
        graph: That they are in.
        columns: One by one.
    """

    def __init__(self, graph: Graph, columns: Iterable[Column]) -> None:
        self.graph = graph
        self.columns = tuple(columns)

    @classmethod
    def of(cls, tensor: Value, width: int) -> "Frame":
        """All columns of one tensor [rows, width]."""
        return cls(tensor.graph, [Column(tensor, index, width) for index in range(width)])

    @property
    def width(self) -> int:
        """How many columns."""
        return len(self.columns)

    def select(self, indexes: Iterable[int]) -> "Frame":
        """Some of the columns."""
        return Frame(self.graph, [self.columns[index] for index in indexes])

    def named(self, names: Sequence[str] | None) -> "Frame":
        """The same columns by other names."""
        if names is None or len(names) != self.width:
            return self
        pairs = zip(self.columns, names, strict=True)
        return Frame(self.graph, [replace(column, name=str(name)) for column, name in pairs])

    def numbers(self) -> Value:
        """All of it as float64 [rows, width], as scikit-learn has it before it computes.

        Raises:
            CannotCompile: Some columns are texts.
        """
        if any(column.is_text for column in self.columns):
            raise CannotCompile("it reads texts as numbers")
        return self._together(np.float64)

    def integers(self) -> Value:
        """All of it as int64 [rows, width]: exact for columns of integers, cut off for others."""
        return self._together(np.int64)

    def texts(self) -> Value:
        """All of it as texts [rows, width]; what is missing is some text or other.

        Raises:
            CannotCompile: Some columns are not texts.
        """
        if not all(column.is_text for column in self.columns):
            raise CannotCompile("texts and numbers meet in one encoder")
        return self._together(np.object_)

    def lower_case(self) -> Value:
        """The same texts in lower case, which is an input of its own: Python knows how, the graph does not.

        Raises:
            CannotCompile: Some columns are not texts that callers give.
        """
        self.texts()
        parts = []
        for column in self.columns:
            if not self.graph.is_input(column.tensor):
                raise CannotCompile("it makes lower case of texts that come from another step")
            tensor = self.graph.input(LOWER_CASE_TEXTS, np.object_, column.of)
            parts.append(tensor if column.of == 1 else tensor.take([column.index]))
        return self.graph.concat(parts)

    def missing(self) -> Value | None:
        """Which texts are missing, [rows, width]; None where none can be."""
        masks = [column.missing for column in self.columns]
        if all(mask is None for mask in masks):
            return None
        parts = []
        for column in self.columns:
            if column.missing is None:
                raise CannotCompile(
                    "texts that may be missing and texts that come from another step meet in one encoder"
                )
            parts.append(column.missing.take([column.index]))
        return self.graph.concat(parts)

    def kinds(self) -> list[tuple[bool, list[int]]]:
        """Runs of columns of one kind: whether they are texts, and which they are."""
        runs = groupby(range(self.width), lambda index: self.columns[index].is_text)
        return [(is_text, list(indexes)) for is_text, indexes in runs]

    def _together(self, dtype: type) -> Value:
        parts = []
        for _, run in groupby(self.columns, lambda column: column.tensor.name):
            columns = list(run)
            indexes = [column.index for column in columns]
            whole = indexes == list(range(columns[0].of))
            parts.append((columns[0].tensor if whole else columns[0].tensor.take(indexes)).cast(dtype))
        if not parts:
            raise CannotCompile("no column is left")
        return self.graph.concat(parts)
