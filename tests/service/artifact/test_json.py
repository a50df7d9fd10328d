"""Bodies to rows: the compiled way and the slow one never part."""

import json
import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelroll_server import errors
from modelroll_server.schema import Input, Row, Schema
from modelroll_server.schema.json import JsonDecoder, check_values, document
from modelroll_server.tensors import Datatype

NAMES = st.sampled_from(["tenure", "a b", 'a"b', "a\\b", "é", "", "features", "instances", "x\ny"])
NUMBERS = st.one_of(
    st.sampled_from([0, -0.0, 1, 3.0, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**25, 1e308, 3.5e38]),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.one_of(
    NUMBERS, st.booleans(), st.none(), st.sampled_from(["month", "year", "", "nan"]), st.text(), st.just([])
)


@st.composite
def inputs(draw: st.DrawFn) -> list[Input]:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    return [draw(column(name)) for name in names]


@st.composite
def column(draw: st.DrawFn, name: str) -> Input:
    datatype = draw(st.sampled_from(Datatype))
    missing: Any = draw(
        st.sampled_from(
            {Datatype.INT64: ["refuse"], Datatype.BOOL: ["refuse"], Datatype.BYTES: ["refuse", "nan", "none"]}.get(
                datatype, ["refuse", "nan"]
            )
        )
    )
    known: dict[Datatype, Any] = {
        Datatype.INT64: draw(st.sampled_from([[1, 2, 2**53], [1.0, 2.0], [True, "month", 2.5, 2], [2**53], [2**64]])),
        Datatype.FP64: [1.0, 2.5],
        Datatype.BOOL: [True],
        Datatype.BYTES: draw(st.sampled_from([["month", "year"], [1, "month"], [1.0]])),
    }
    categories = draw(st.sampled_from([None, known.get(datatype)]))
    return Input(
        name=name,
        datatype=datatype,
        missing=missing,
        max_abs=draw(st.sampled_from([None, 2.0, 2.0**53, 1e300])),
        categories=categories,
        unknown="refuse" if categories else "accept",
    )


def outcome(read: Any, body: bytes) -> Any:
    try:
        return read(body)
    except errors.RequestError as error:
        return type(error), error.message, error.field


def same(one: Any, other: Any) -> bool:
    """Equal in value and in type, and nan like nan."""
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other)
    return bool(one == other)


@st.composite
def rows(draw: st.DrawFn, columns: list[Input]) -> Any:
    named = {one.name: draw(VALUES) for one in columns}
    if draw(st.integers(0, 9)) == 0:
        named[draw(NAMES)] = draw(VALUES)
    if draw(st.integers(0, 9)) == 0:
        named.pop(next(iter(named)))
    return draw(st.sampled_from([named, list(named.values())]))


def slow_row(schema: Schema, body: bytes) -> Row:
    value = document(body, len(body))
    if not isinstance(value, dict):
        raise errors.InvalidRequest('the body is not an object such as {"name": value} or {"features": [value, …]}')
    if set(value) == {"features"} and "features" not in schema.names:
        return schema.decode_row(value["features"], "features")
    return schema.decode_row(value)


@settings(max_examples=400)
@given(inputs(), st.sampled_from(["refuse", "ignore"]), st.booleans(), st.data())
def test_a_row_is_read_as_the_rules_of_its_columns_say(
    columns: list[Input], extra: Any, wrapped: bool, data: st.DataObject
) -> None:
    schema = Schema(columns, extra_fields=extra)
    row = data.draw(rows(columns))
    body = json.dumps({"features": row} if wrapped else row, allow_nan=False).encode()
    found = outcome(JsonDecoder(schema).row, body)
    assert same(found, outcome(lambda text: slow_row(schema, text), body))


@settings(max_examples=200)
@given(inputs(), st.booleans(), st.data())
def test_many_rows_are_read_as_each_of_them_is(columns: list[Input], bare: bool, data: st.DataObject) -> None:
    schema = Schema(columns)
    given_rows = data.draw(st.lists(rows(columns), max_size=4))
    body = json.dumps(given_rows if bare else {"instances": given_rows}).encode()
    found = outcome(JsonDecoder(schema).rows, body)
    expected = outcome(lambda _: schema.check_rows(given_rows_as_json(body), "instances[{}]".format), body)
    assert same(found, expected)


def given_rows_as_json(body: bytes) -> list[Any]:
    value = document(body, len(body))
    found: list[Any] = value["instances"] if isinstance(value, dict) else value
    return found


@pytest.mark.parametrize("spaces", [b"", b" ", b"\n\t", b" " * 100])
@pytest.mark.parametrize("rows", [[[1.5, "x"], [2.5, "y"]], [{"a": 1.5, "b": "x"}, {"a": 2.5, "b": "y"}], []])
def test_white_space_changes_nothing(spaces: bytes, rows: list[Any]) -> None:
    decoder = JsonDecoder(Schema([Input(name="a", datatype=Datatype.FP64), Input(name="b", datatype=Datatype.BYTES)]))
    text = json.dumps(rows).encode()
    expected = [(1.5, "x"), (2.5, "y")][: len(rows)]
    assert decoder.rows(spaces + text.replace(b"[", b"[" + spaces)) == expected
    assert decoder.rows(spaces + b"{" + spaces + b'"instances"' + spaces + b":" + spaces + text + b"}") == expected
    for row in rows:
        wrapped = spaces + b'{"features"' + spaces + b":" + spaces + json.dumps(row).encode() + b"}"
        assert decoder.row(wrapped) in expected


def test_of_a_name_given_twice_the_last_counts_as_json_readers_do() -> None:
    decoder = JsonDecoder(Schema([Input(name="a", datatype=Datatype.FP64)]))
    assert decoder.row(b'{"a":1,"a":2}') == (2.0,)


@given(st.binary(max_size=60))
def test_bytes_are_refused_or_read_and_nothing_else(body: bytes) -> None:
    decoder = JsonDecoder(Schema([Input(name="a", datatype=Datatype.ANY, missing="none")]))
    for read in (decoder.row, decoder.rows):
        outcome(read, body)


def count(value: Any) -> int:
    """The commas of a document, and its lists and objects."""
    if not isinstance(value, list | dict):
        return 0
    parts = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(0, len(parts) - 1) + sum(map(count, parts))


DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.floats(allow_nan=False), st.text(',[{"\\a\n', max_size=9)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(',[{"\\', max_size=5), inner),
)


@given(value=DOCUMENTS, indent=st.sampled_from([None, 1]))
def test_values_are_counted_outside_of_strings(value: Any, indent: int | None) -> None:
    body = json.dumps(value, indent=indent).encode()
    most = count(value)
    check_values(body, most)
    if most > 0:
        with pytest.raises(errors.PayloadTooLarge):
            check_values(body, most - 1)


@pytest.mark.parametrize("end", ['"', '"\\', " ", "]" * 100_000, '"' + "a" * 10**6, '"' + "\\a" * 10**6])
def test_a_body_that_is_cut_off_is_counted_too(end: str) -> None:
    body = b"[" + b"[]," * 1000 + end.encode()
    check_values(body, 2001)
    with pytest.raises(errors.PayloadTooLarge):
        check_values(body, 2000)


@pytest.mark.parametrize("body", [b"[" + b"[]," * 10**6 + b"[]]", b'{"instances":[' + b"{}," * 10**6 + b"{}]}"])
def test_more_values_than_rows_have_are_refused_before_they_are_made(body: bytes) -> None:
    decoder = JsonDecoder(Schema([Input(name="x", datatype=Datatype.FP64)]))
    tracemalloc.start()
    try:
        with pytest.raises(errors.PayloadTooLarge):
            decoder.rows(body)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
