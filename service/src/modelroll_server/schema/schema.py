"""The inputs of one model: JSON values, checked, and turned into columns."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from modelroll_server.errors import InvalidField, InvalidFields, shortened
from modelroll_server.schema.checks import Refused, checker, typed
from modelroll_server.schema.inputs import Input
from modelroll_server.tensors import Table

Row = tuple[Any, ...]
MAX_ROWS = 10_000  # of one request
_EXTRA = 100  # fields a row that are ignored, where they are


class Schema:
    """The inputs compiled into one checker a column.

    Attributes:
        inputs: As the manifest has them.
        names: Their names, in manifest order.
        refuses_extra_fields: Whether a field that is no input refuses its row.
    """

    def __init__(self, inputs: Sequence[Input], *, extra_fields: Literal["refuse", "ignore"] = "refuse") -> None:
        self.inputs = tuple(inputs)
        self.names = tuple(column.name for column in self.inputs)
        self.refuses_extra_fields = extra_fields == "refuse"
        self._known = frozenset(self.names)
        self._checks = tuple((column.name, checker(column)) for column in self.inputs)
        self._dtypes = tuple(column.datatype.dtype for column in self.inputs)
        self._is_block = len(set(self._dtypes)) == 1 and self._dtypes[0].kind != "O"

    def most_values(self, rows: int = MAX_ROWS) -> int:
        """How many values so many rows have, at most: what a decoder makes of a body is bounded by it."""
        return rows * (len(self.names) + (0 if self.refuses_extra_fields else _EXTRA))

    def decode_row(self, row: Any, prefix: str = "") -> Row:
        """One row, checked: values in manifest order, as `table` takes them.

        Args:
            row: An object by name, or an array in manifest order, as JSON gave it.
            prefix: What to put before a field's name in an error, such as `instances[3]`.

        Raises:
            InvalidField: One field is wrong.
            InvalidFields: Several are.
        """
        try:
            if type(row) is dict and len(row) == len(self._checks):
                return tuple([check(row[name]) for name, check in self._checks])
            if type(row) is list and len(row) == len(self._checks):
                return tuple([check(value) for (_, check), value in zip(self._checks, row, strict=True)])
        except (Refused, KeyError):
            pass  # the way below is slower and says everything that is wrong
        errors: list[InvalidField] = []
        values = self._decode_slowly(row, prefix, errors)
        if errors:
            raise errors[0] if len(errors) == 1 else InvalidFields(errors)
        return tuple(values)

    def decode_rows(self, rows: Sequence[Any], field: Callable[[int], str] = "[{}]".format) -> Table:
        """Many rows, checked, as a table; arguments and errors as for `check_rows`."""
        return self.table(self.check_rows(rows, field))

    def check_rows(self, rows: Sequence[Any], field: Callable[[int], str] = "[{}]".format) -> list[Row]:
        """Many rows, checked. One bad row refuses all.

        Args:
            rows: Objects or arrays, as for `decode_row`.
            field: Names the row with that index in an error, such as `instances[3]`.

        Raises:
            InvalidField: One field is wrong.
            InvalidFields: Several are, in one row or in many.
        """
        decoded: list[Row] = []
        errors: list[InvalidField] = []
        for index, row in enumerate(rows):
            try:
                decoded.append(self.decode_row(row, field(index)))
            except InvalidFields as error:
                errors.extend(error.errors)
            except InvalidField as error:
                errors.append(error)
            if len(errors) > InvalidFields.SHOWN:
                break
        if errors:
            raise errors[0] if len(errors) == 1 else InvalidFields(errors)
        return decoded

    def table(self, rows: Sequence[Row]) -> Table:
        """Rows that `decode_row` made, as columns in the manifest's dtypes."""
        if not rows:
            return Table(self.names, tuple(np.empty(0, dtype) for dtype in self._dtypes), 0)
        if self._is_block:
            count = len(rows) * len(self.names)
            values = np.fromiter(itertools.chain.from_iterable(rows), self._dtypes[0], count)
            return Table(self.names, values.reshape(len(rows), -1), len(rows))
        by_column = zip(zip(*rows, strict=True), self._dtypes, strict=True)
        columns = tuple(np.fromiter(column, dtype, len(rows)) for column, dtype in by_column)
        return Table(self.names, columns, len(rows))

    def _decode_slowly(self, row: Any, prefix: str, errors: list[InvalidField]) -> list[Any]:
        if isinstance(row, list):
            if len(row) != len(self.names):
                sentence = f"expected {len(self.names)} values in the order {', '.join(self.names)}; got {len(row)}"
                errors.append(InvalidField(sentence, field=prefix or None))
                return []
            row = dict(zip(self.names, row, strict=True))
        if not isinstance(row, dict):
            sentence = f"expected an object of named values or an array, got {typed(row)}"
            errors.append(InvalidField(sentence, field=prefix or None))
            return []
        dotted = f"{prefix}." if prefix else ""
        values = []
        for name, check in self._checks:
            if name not in row:
                errors.append(InvalidField(f"{name} is missing", field=f"{dotted}{name}"))
                continue
            try:
                values.append(check(row[name]))
            except Refused as error:
                errors.append(InvalidField(f"{name} {error}", field=f"{dotted}{name}"))
        if self.refuses_extra_fields:
            extra = (shortened(name) for name in row if name not in self._known)
            errors += [InvalidField(f"{name} is not an input of this model", field=f"{dotted}{name}") for name in extra]
        return values


def rows_of(table: Table) -> list[Row]:
    """The rows of a table, as a schema decodes them from JSON."""
    if not table.names:
        return [()] * table.rows
    return list(zip(*(column.tolist() for column in table.columns), strict=True))
