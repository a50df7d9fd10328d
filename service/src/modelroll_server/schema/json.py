"""JSON bodies to checked rows: one row, many rows, and the wrappings that they may come in.

A schema is compiled once into types that msgspec decodes and checks in one go. What those refuse is read again slowly:
that way takes a little more (`3.0` for an integer) and says what is wrong.
"""

import contextlib
import itertools
import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

from modelroll_server import errors
from modelroll_server.schema.checks import Refused, checker, largest_integer, largest_number
from modelroll_server.schema.inputs import Input
from modelroll_server.schema.schema import MAX_ROWS, Row, Schema
from modelroll_server.tensors import Datatype

_ANYTHING = msgspec.json.Decoder(Any)
_NEVER = Annotated[str, msgspec.Meta(min_length=1, max_length=0)]  # a type that no value has
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
# Up to where a value begins, or the body ends; possessive, so that no body is looked at twice.
_VALUE = re.compile(rb'(?!\Z)(?:[^",\[{]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"?)*+(?:[,\[{]|\Z)', re.DOTALL)
_FEW = 2**16  # values that a body may have whatever the schema
_REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError, ValueError)


class JsonDecoder:
    """Reads the bodies of one schema.

    Attributes:
        schema: That one.
        most_values: How many values a body may have, as `check_values` counts them.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.most_values = 2 * schema.most_values() + _FEW  # each may be in a list of its own
        self._has_features = "features" in schema.names
        self._nan = tuple(index for index, column in enumerate(schema.inputs) if column.missing == "nan")
        self._after = tuple(_checked_after(schema))
        named = _struct(schema)
        listed = _struct(schema, array_like=True)
        self._named, self._listed = _Shapes(named), _Shapes(listed)

    def row(self, body: bytes) -> Row:
        """One row: an object of named values, or under `features` (an array, also) unless an input has that name.

        Raises:
            errors.RequestError: it is no JSON, or not that.
        """
        try:
            if body.startswith(b'{"features"') and not self._has_features:
                shapes = self._listed if body[11:].lstrip(b": ").startswith(b"[") else self._named
                return self._values(shapes.wrapped.decode(body).features)
            return self._values(self._named.one.decode(body))
        except _REFUSED:
            return self._slow_row(document(body, self.most_values))

    def rows(self, body: bytes) -> list[Row]:
        """Many rows: `{"instances": […]}`, or the bare list; objects or arrays. One bad row refuses all.

        Raises:
            errors.RequestError: it is no JSON, or not that, or too many rows.
        """
        start = body[:64].lstrip()
        is_bare = start.startswith(b"[")
        shapes = self._listed if start[start.find(b"[") + 1 :].lstrip().startswith(b"[") else self._named
        try:
            found = shapes.many.decode(body) if is_bare else shapes.instances.decode(body).instances
            _check_count(len(found))
            return [self._values(one) for one in found]
        except _REFUSED:
            return self._slow_rows(document(body, self.most_values))

    def _values(self, found: msgspec.Struct) -> Row:
        row = msgspec.structs.astuple(found)
        for index, check in self._after:
            check(row[index])
        if self._nan and None in row:
            values = list(row)
            for index in self._nan:
                if values[index] is None:
                    values[index] = math.nan
            return tuple(values)
        return row

    def _slow_row(self, value: Any) -> Row:
        if not isinstance(value, dict):
            raise errors.InvalidRequest('the body is not an object such as {"name": value} or {"features": [value, …]}')
        prefix = ""
        if set(value) == {"features"} and not self._has_features:
            value, prefix = value["features"], "features"
        return self.schema.decode_row(value, prefix)

    def _slow_rows(self, value: Any) -> list[Row]:
        if isinstance(value, dict):
            extra = next((name for name in value if name != "instances"), None)
            if extra is not None:
                shown = errors.shortened(extra)
                raise errors.InvalidField(f"{shown} is not a field of this request; instances is", field=shown)
            if "instances" not in value:
                raise errors.InvalidField("instances is missing", field="instances")
            value = value["instances"]
        if not isinstance(value, list):
            raise errors.InvalidField("instances is not a list of objects or arrays", field="instances")
        _check_count(len(value))
        return self.schema.check_rows(value, "instances[{}]".format)


def check_values(body: bytes, most: int) -> None:
    """Refuse a body by how many values it has, lists and objects among them, before they are made.

    In memory `[],` takes forty times the bytes that it is written with. What is counted is each `,`, `[` and `{` that
    is not within a string.

    Raises:
        errors.PayloadTooLarge: there are more than `most`.
    """
    if len(body) <= most or body.count(b",") + body.count(b"[") + body.count(b"{") <= most:
        return
    if next(itertools.islice(_VALUE.finditer(body), most + 1, None), None) is not None:  # one is the end
        raise errors.PayloadTooLarge(f"the body has too many values; one request may have {MAX_ROWS} rows")


def document(body: bytes, most: int) -> Any:
    """The JSON value of a body of at most so many values.

    Raises:
        errors.InvalidJson: it is none, or one that no schema could take (nested without end, integers without end).
        errors.PayloadTooLarge: as of `check_values`.
    """
    check_values(body, most)
    if not body.strip():
        raise errors.InvalidJson("the body is empty; a JSON object was expected")
    try:
        return _ANYTHING.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.InvalidJson(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise errors.InvalidJson("the body is nested too deeply") from error
    except (OverflowError, ValueError) as error:
        raise errors.InvalidJson("the body has a number that is too long") from error


def _check_count(rows: int) -> None:
    if rows > MAX_ROWS:
        raise errors.PayloadTooLarge(f"{rows} rows; one request may have {MAX_ROWS}")


class _Shapes:
    """Decoders of one kind of row (object or array) in each of its wrappings."""

    def __init__(self, row: Any) -> None:
        features = msgspec.defstruct("Features", [("features", row)], forbid_unknown_fields=True, gc=False)
        instances = msgspec.defstruct("Instances", [("instances", list[row])], forbid_unknown_fields=True)
        self.one: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row)
        self.wrapped: msgspec.json.Decoder[Any] = msgspec.json.Decoder(features)
        self.many: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[row])
        self.instances: msgspec.json.Decoder[Any] = msgspec.json.Decoder(instances)


def _struct(schema: Schema, *, array_like: bool = False) -> Any:
    """A type with one field a column, checked as far as msgspec can."""
    if not array_like and any(_ESCAPED.search(name) for name in schema.names):
        return _NEVER  # msgspec takes no such names for fields; the slow way does
    fields = [f"f{index}" for index in range(len(schema.inputs))]
    return msgspec.defstruct(
        "Row",
        [(field, _type(column)) for field, column in zip(fields, schema.inputs, strict=True)],
        rename=None if array_like else dict(zip(fields, schema.names, strict=True)),
        array_like=array_like,
        forbid_unknown_fields=array_like or schema.refuses_extra_fields,
        gc=False,
    )


def _type(column: Input) -> Any:
    found = _only(column) if _is_enumerated(column) else _TYPES[column.datatype](column)
    return found if column.missing == "refuse" else found | None


def _is_enumerated(column: Input) -> bool:
    """Whether its values are few, and of a type that msgspec looks up in a table."""
    return column.unknown == "refuse" and column.datatype in {Datatype.INT64, Datatype.BYTES}


def _only(column: Input) -> Any:
    check = checker(column)
    known = []
    for value in column.categories or ():
        with contextlib.suppress(Refused):  # a value that the column cannot hold: nobody can send it
            known.append(check(value))
    return Literal[tuple(known)] if known else _NEVER


def _checked_after(schema: Schema) -> list[tuple[int, Callable[[Any], Any]]]:
    """The columns whose rules msgspec cannot check, with their checks."""
    return [
        (index, checker(column))
        for index, column in enumerate(schema.inputs)
        if column.unknown == "refuse" and not _is_enumerated(column)
    ]


def _number(column: Input) -> Any:
    limit = largest_number(column)
    return Annotated[float, msgspec.Meta(ge=-limit, le=limit)]


def _integer(column: Input) -> Any:
    limit = largest_integer(column)
    return Annotated[int, msgspec.Meta(ge=-limit, le=limit)]


_TYPES: dict[Datatype, Callable[[Input], Any]] = {
    Datatype.FP64: _number,
    Datatype.FP32: _number,
    Datatype.INT64: _integer,
    Datatype.BOOL: lambda _: bool,
    Datatype.BYTES: lambda _: str,
    Datatype.ANY: lambda column: _integer(column) | _number(column) | str | bool,
}
