"""The rules of values: no coercion, missing, limits, categories; and the sentence that a caller reads then."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from modelroll_server.schema.inputs import Input, Scalar
from modelroll_server.tensors import Datatype

MAX_INT64 = 2**63 - 1
MAX_FLOAT32 = float(np.finfo(np.float32).max)
MAX_FLOAT64 = float(np.finfo(np.float64).max)
MAX_EXACT = 2**53  # up to here every integer has its own double
_TYPES = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array", dict: "an object"}


class Refused(ValueError):
    """One value breaks the rules of its column; the message is what the caller reads."""


def checker(column: Input) -> Callable[[Any], Any]:
    """The function that takes one JSON value of this column and returns it as its dtype holds it, or raises Refused."""
    check = _CHECKERS[column.datatype](column)
    if column.unknown == "refuse" and column.categories is not None:
        check = _only_known(check, frozenset(column.categories))
    if column.missing == "refuse":
        return check
    missing = math.nan if column.missing == "nan" else None
    return lambda value: missing if value is None else check(value)


def largest_number(column: Input) -> float:
    """The largest magnitude that a column of floating point numbers takes."""
    largest = MAX_FLOAT32 if column.datatype is Datatype.FP32 else MAX_FLOAT64
    return largest if column.max_abs is None else min(largest, column.max_abs)


def largest_integer(column: Input) -> int:
    """The largest magnitude that a column of integers takes."""
    return MAX_INT64 if column.max_abs is None else min(MAX_INT64, math.floor(column.max_abs))


def _number(column: Input) -> Callable[[Any], Any]:
    limit = largest_number(column)

    def check(value: Any) -> float:
        if type(value) is float or type(value) is int:
            try:
                number = float(value)
            except OverflowError:
                raise Refused(_not_within(value, limit)) from None
            if -limit <= number <= limit:  # also false for NaN
                return number
            raise Refused(_not_within(value, limit))
        raise Refused(f"must be a number, got {typed(value)}")

    return check


def _integer(column: Input) -> Callable[[Any], Any]:
    limit = largest_integer(column)

    def check(value: Any) -> int:
        if type(value) is int:
            if -limit <= value <= limit:
                return value
            raise Refused(_not_within(value, limit))
        if type(value) is float:
            if value.is_integer() and -MAX_EXACT <= value <= MAX_EXACT and -limit <= value <= limit:
                return int(value)
            raise Refused(f"must be an integer, got {value}")
        raise Refused(f"must be an integer, got {typed(value)}")

    return check


def _boolean(_: Input) -> Callable[[Any], Any]:
    def check(value: Any) -> bool:
        if value is True or value is False:
            return value
        raise Refused(f"must be true or false, got {typed(value)}")

    return check


def _text(_: Input) -> Callable[[Any], Any]:
    def check(value: Any) -> str:
        if type(value) is str:
            return value
        raise Refused(f"must be a string, got {typed(value)}")

    return check


def _any(column: Input) -> Callable[[Any], Any]:
    numbers, integers = _number(column), _integer(column)

    def check(value: Any) -> Any:
        if type(value) is float or type(value) is int:
            (numbers if type(value) is float else integers)(value)
        elif type(value) is not str and type(value) is not bool:
            raise Refused(f"must be a number, a string or a boolean, got {typed(value)}")
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
    if not -MAX_FLOAT64 <= value <= MAX_FLOAT64 and type(value) is float:
        return f"must be a finite number, got {value}"
    return f"must be a number from -{limit:g} to {limit:g}, got {_shortened(value)}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 50 else f"{text[:50]}…"


def typed(value: Any) -> str:
    """What JSON calls the type of a value, with its article."""
    return "null" if value is None else _TYPES.get(type(value), type(value).__name__)
