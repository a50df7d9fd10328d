"""Columns to checked rows or tables: what tensors bring, by the rules that JSON rows are checked by.

Few values become rows, checked one by one, as JSON's are. Many become a table: arrays are searched for values that may
break a rule, and only those are checked one by one. So there is one truth, `checker`, and one sentence for callers.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modelroll_server.errors import InvalidField, InvalidFields
from modelroll_server.schema.checks import MAX_EXACT, Refused, checker, largest_integer, largest_number
from modelroll_server.schema.inputs import Input
from modelroll_server.schema.schema import Row, Schema
from modelroll_server.tensors import Array, Datatype, Table

_FLOATS: dict[Datatype, Callable[[Any], Any]] = {Datatype.FP64: np.float64, Datatype.FP32: np.float32}
_EXACT_INTEGERS = {Datatype.FP64: MAX_EXACT, Datatype.FP32: 2**24}  # up to here each has a number of its own


class ArrayDecoder:
    """Reads the columns of one schema.

    A value is as its tensor had it: nan is a missing number, an infinite one passes where `infinite` says so, and a
    number of another datatype passes if its column's holds exactly the same.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._checks = tuple(map(_checker, schema.inputs))
        self._is_plain = all(
            column.datatype is Datatype.FP64 and column.unknown == "accept" for column in schema.inputs
        )
        self._limits = np.array([_largest(column) for column in schema.inputs])
        self._nan = np.array([column.missing == "nan" for column in schema.inputs])

    def rows(self, columns: Sequence[Sequence[Any]]) -> list[Row]:
        """Few values: one sequence a column, in manifest order and of one length, of numbers, booleans, texts, None.

        Raises:
            InvalidField: A value breaks the rules of its column; the field names row and column, as `[3].tenure`.
            InvalidFields: Several do.
        """
        try:
            checked = [[check(value) for value in column] for check, column in zip(self._checks, columns, strict=True)]
        except Refused:
            raise self._refusal(self._wrong(columns)) from None
        return list(zip(*checked, strict=True))

    def row(self, values: Sequence[Any], prefix: str = "") -> Row:
        """One row of values in manifest order; errors name a column, after the prefix."""
        try:
            return tuple([check(value) for check, value in zip(self._checks, values, strict=True)])
        except Refused:
            wrong = self._wrong([[value] for value in values])
        names, dotted = self._schema.names, f"{prefix}." if prefix else ""
        found = [InvalidField(f"{names[at]} {sentence}", field=f"{dotted}{names[at]}") for _, at, sentence in wrong]
        raise found[0] if len(found) == 1 else InvalidFields(found)

    def table(self, columns: Sequence[Array]) -> Table:
        """Many values: one array of shape [rows] a column, in manifest order; of any numbers, booleans, or objects.

        Raises:
            InvalidField: as for `rows`.
            InvalidFields: as for `rows`.
        """
        wrong: list[tuple[int, int, str]] = []
        found = []
        for index, array in enumerate(columns):
            converted, refused = self.column(index, array, most=InvalidFields.SHOWN + 1)
            wrong += [(row, index, sentence) for row, sentence in refused]
            found.append(converted)
        if wrong:
            raise self._refusal(wrong)
        return Table(self._schema.names, tuple(found), len(columns[0]))

    def column(self, index: int, array: Array, *, most: int | None = None) -> tuple[Array, list[tuple[int, str]]]:
        """One column's values in its dtype, and which rows were refused, with the sentence of each.

        Args:
            index: Which column, in manifest order.
            array: Of shape [rows]; of any numbers, booleans, or objects.
            most: After so many refused rows it looks no further; None: it looks at all.

        Returns:
            The values, [rows], which mean nothing where a row is refused, or was not looked at; the refused rows.
        """
        column, check = self._schema.inputs[index], self._checks[index]
        replaced: list[tuple[int, Any]] = []
        refused: list[tuple[int, str]] = []
        with np.errstate(all="ignore"):
            suspects = np.flatnonzero(_suspects(column, array))
            for row in suspects.tolist():
                try:
                    replaced.append((row, check(array[row : row + 1].tolist()[0])))
                except Refused as error:
                    refused.append((row, str(error)))
                    if len(refused) == most:
                        break
            return _converted(array, column.datatype, replaced), refused

    def block(self, array: Array) -> Table:
        """As `table`, of one array of shape [rows, columns]."""
        if self._is_plain and array.dtype.kind == "f":
            block = array.astype(np.float64)
            with np.errstate(invalid="ignore"):
                far = ~(np.abs(block) <= self._limits)
            if not far.any() or not (far & ~(self._nan & np.isnan(block))).any():
                return Table(self._schema.names, block, len(block))
        return self.table([array[:, index] for index in range(array.shape[1])])

    def _wrong(self, columns: Sequence[Sequence[Any]]) -> list[tuple[int, int, str]]:
        wrong = []
        for row, values in enumerate(zip(*columns, strict=True)):
            for index, value in enumerate(values):
                try:
                    self._checks[index](value)
                except Refused as error:
                    wrong.append((row, index, str(error)))
            if len(wrong) > InvalidFields.SHOWN:
                break
        return wrong

    def _refusal(self, wrong: list[tuple[int, int, str]]) -> InvalidField | InvalidFields:
        """The error for what is wrong: row, column and sentence of each."""
        names = self._schema.names
        found = [
            InvalidField(f"{names[index]} {sentence}", field=f"[{row}].{names[index]}")
            for row, index, sentence in sorted(wrong)
        ]
        return found[0] if len(found) == 1 else InvalidFields(found)


def _checker(column: Input) -> Callable[[Any], Any]:
    """`checker`, and what only tensors can write: nan, the infinite, integers that a float cannot hold."""
    check = checker(column)
    is_float, exact = column.datatype in _FLOATS, _EXACT_INTEGERS.get(column.datatype, 0)
    takes_nan, takes_infinite = column.missing == "nan", column.infinite
    # What most values are is let through first.
    plain = largest_number(column) if column.datatype is Datatype.FP64 and column.unknown == "accept" else -1.0

    def check_any(value: Any) -> Any:
        if type(value) is float:
            if -plain <= value <= plain:
                return value
            if not math.isfinite(value):
                if (takes_nan and math.isnan(value)) or (takes_infinite and math.isinf(value)):
                    return value
            elif column.datatype is Datatype.FP32 and _rounded(value) != value:
                check(value)  # too large is worse than inexact
                raise Refused(f"must be a number that FP32 holds exactly, got {value!r}; send it as FP32")
        elif type(value) is int and is_float and not -exact <= value <= exact:
            check(value)
            if float(_FLOATS[column.datatype](value)) != value:
                raise Refused(f"must be a number that {column.datatype} holds exactly, got {value}")
        return check(value)

    return check_any


def _rounded(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def _largest(column: Input) -> float:
    return math.inf if column.infinite and column.max_abs is None else largest_number(column)


def _suspects(column: Input, array: Array) -> Array:
    """Which values may break a rule: all that do, and some that do not."""
    kind = array.dtype.kind
    everything, nothing = np.ones(len(array), bool), np.zeros(len(array), bool)
    datatype = column.datatype
    if column.unknown == "refuse" and kind != "O":
        return everything
    if datatype is Datatype.BOOL:
        return nothing if kind == "b" else everything
    if datatype is Datatype.BYTES or (datatype is Datatype.ANY and kind == "O"):
        return _suspect_texts(column, array) if kind == "O" else everything
    if kind == "b":
        return nothing if datatype is Datatype.ANY else everything
    if kind not in "iuf":
        return everything
    return _suspect_numbers(column, array)


def _suspect_texts(column: Input, array: Array) -> Array:
    if column.unknown == "refuse":
        known = frozenset(column.categories or ())
        return np.fromiter((value not in known for value in array), bool, len(array))
    return np.fromiter((type(value) is not str for value in array), bool, len(array))


def _suspect_numbers(column: Input, array: Array) -> Array:
    datatype = column.datatype
    if array.dtype.kind == "f":
        wide = array.astype(np.float64)
        far: Array
        if datatype is Datatype.INT64:
            far = ~((wide == np.floor(wide)) & (np.abs(wide) <= min(MAX_EXACT, largest_integer(column))))
            return far
        far = ~(np.abs(wide) <= largest_number(column))
        if datatype is Datatype.FP32:
            far |= wide.astype(np.float32) != wide
        if column.missing == "nan":
            far &= ~np.isnan(wide)
        return far
    limit = largest_integer(column)
    if datatype in _FLOATS:
        limit = min(limit, _EXACT_INTEGERS[datatype])
    found: Array = (array > limit) | (array < -limit)
    return found


def _converted(array: Array, datatype: Datatype, replaced: list[tuple[int, Any]]) -> Array:
    """A copy in the column's dtype: what came in may belong to a body that is let go."""
    if len(replaced) == len(array):
        return np.fromiter((value for _, value in replaced), datatype.dtype, len(array))
    if array.dtype.kind in "biuf" or datatype.dtype.kind == "O":
        found = array.astype(datatype.dtype)
    else:  # what is not replaced was refused
        found = np.zeros(len(array), datatype.dtype)
    for row, value in replaced:
        found[row] = value
    return found
