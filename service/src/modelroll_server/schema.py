"""The inputs of one model: what each column may hold, and JSON values turned into columns.

Owns the rules of values (no coercion, missing, limits, categories) and the sentence that a caller reads then.
Knows nothing of HTTP, and nothing of the estimator: `packing` found out what that refuses and wrote it into the inputs.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from modelroll_server.errors import InvalidField, InvalidFields
from modelroll_server.tensors import Datatype, Table

_TYPES = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array", dict: "an object"}

Scalar = str | int | float | bool
Row = tuple[Any, ...]

_MAX_EXACT = 2**53  # up to here every integer has its own double
_INT64 = 2**63
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_MAX_FLOAT = float(np.finfo(np.float64).max)


class Histogram(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the samples were spread: numbers between `edges` (one more than counts), else one count a category."""

    counts: list[int]
    edges: list[float] | None = None


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One input column, as the manifest writes it.

    Attributes:
        name: What callers call it.
        datatype: FP64, FP32, INT64, BOOL or BYTES (a text).
        missing: What null becomes: refused, nan, or None.
        infinite: Whether ±inf may come (never in JSON, which cannot write it).
        max_abs: Largest magnitude that the estimator takes.
        unknown: Whether a value outside `categories` is refused.
        categories: The values seen in training, for columns that have few.
        range: Smallest and largest sample. Information, not a rule.
        example: One sample.
        histogram: How the samples were spread.
    """

    name: str
    datatype: Datatype
    missing: Literal["refuse", "nan", "none"] = "refuse"
    infinite: bool = False
    max_abs: float | None = None
    unknown: Literal["accept", "refuse"] = "accept"
    categories: list[Scalar] | None = None
    range: tuple[float, float] | None = None
    example: Scalar | None = None
    histogram: Histogram | None = None


class Refused(ValueError):
    """One value breaks the rules of its column; the message is what the caller reads."""


class Schema:
    """The inputs compiled into one checker a column.

    Attributes:
        inputs: As the manifest has them.
        names: Their names, in manifest order.
    """

    def __init__(self, inputs: Sequence[Input], *, extra_fields: Literal["refuse", "ignore"] = "refuse") -> None:
        self.inputs = tuple(inputs)
        self.names = tuple(column.name for column in self.inputs)
        self._extra_fields = extra_fields
        self._known = frozenset(self.names)
        self._checks = tuple((column.name, checker(column)) for column in self.inputs)
        self._dtypes = tuple(column.datatype.dtype for column in self.inputs)
        self._is_block = len(set(self._dtypes)) == 1 and self._dtypes[0].kind != "O"

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
        """Many rows, checked, as a table. One bad row refuses all.

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
        return self.table(decoded)

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
            sentence = f"expected an object of named values or an array, got {_typed(row)}"
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
        if self._extra_fields == "refuse":
            extra = (name for name in row if name not in self._known)
            errors += [InvalidField(f"{name} is not an input of this model", field=f"{dotted}{name}") for name in extra]
        return values


def checker(column: Input) -> Callable[[Any], Any]:
    """The function that takes one JSON value of this column and returns it as its dtype holds it, or raises Refused."""
    check = _CHECKERS[column.datatype](column)
    if column.unknown == "refuse" and column.categories is not None:
        check = _only_known(check, frozenset(column.categories))
    if column.missing == "refuse":
        return check
    missing = math.nan if column.missing == "nan" else None
    return lambda value: missing if value is None else check(value)


def _number(column: Input) -> Callable[[Any], Any]:
    largest = _FLOAT32_MAX if column.datatype is Datatype.FP32 else _MAX_FLOAT
    limit = largest if column.max_abs is None else min(largest, column.max_abs)

    def check(value: Any) -> float:
        if type(value) is float or type(value) is int:
            # Also false for NaN; an integer is compared exactly, however long it is.
            if -limit <= value <= limit:
                return float(value)
            raise Refused(_not_within(value, limit))
        raise Refused(f"must be a number, got {_typed(value)}")

    return check


def _integer(column: Input) -> Callable[[Any], Any]:
    limit = _INT64 - 1 if column.max_abs is None else min(_INT64 - 1, math.floor(column.max_abs))

    def check(value: Any) -> int:
        if type(value) is int:
            if -limit <= value <= limit:
                return value
            raise Refused(_not_within(value, limit))
        if type(value) is float:
            if value.is_integer() and -_MAX_EXACT <= value <= _MAX_EXACT and -limit <= value <= limit:
                return int(value)
            raise Refused(f"must be an integer, got {value}")
        raise Refused(f"must be an integer, got {_typed(value)}")

    return check


def _boolean(_: Input) -> Callable[[Any], Any]:
    def check(value: Any) -> bool:
        if value is True or value is False:
            return value
        raise Refused(f"must be true or false, got {_typed(value)}")

    return check


def _text(_: Input) -> Callable[[Any], Any]:
    def check(value: Any) -> str:
        if type(value) is str:
            return value
        raise Refused(f"must be a string, got {_typed(value)}")

    return check


def _any(column: Input) -> Callable[[Any], Any]:
    numbers, integers = _number(column), _integer(column)

    def check(value: Any) -> Any:
        if type(value) is float or type(value) is int:
            (numbers if type(value) is float else integers)(value)
        elif type(value) is not str and type(value) is not bool:
            raise Refused(f"must be a number, a string or a boolean, got {_typed(value)}")
        return value

    return check


_CHECKERS: dict[Datatype, Callable[[Input], Callable[[Any], Any]]] = {
    Datatype.FP64: _number,
    Datatype.FP32: _number,
    Datatype.INT64: _integer,
    Datatype.BOOL: _boolean,
    Datatype.BYTES: _text,
    Datatype.ANY: _any,
}


def _only_known(check: Callable[[Any], Any], known: frozenset[Scalar]) -> Callable[[Any], Any]:
    shown = ", ".join(repr(value) for value in sorted(known, key=str)[:10]) + (", …" if len(known) > 10 else "")

    def check_known(value: Any) -> Any:
        checked = check(value)
        if checked in known:
            return checked
        raise Refused(f"must be one of {shown}; got {_shortened(checked)}")

    return check_known


def _not_within(value: float, limit: float) -> str:
    if not -_MAX_FLOAT <= value <= _MAX_FLOAT and type(value) is float:
        return f"must be a finite number, got {value}"
    return f"must be a number from -{limit:g} to {limit:g}, got {_shortened(value)}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 50 else f"{text[:50]}…"


def _typed(value: Any) -> str:
    return "null" if value is None else _TYPES.get(type(value), type(value).__name__)
