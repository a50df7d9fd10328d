"""Values of Arrow columns and of CSV: taken where JSON's are taken, refused where those are, and equal."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelroll_server.errors import InvalidField, InvalidFields
from modelroll_server.offline.decoding import Decoder, Refusals
from modelroll_server.schema import Input, Schema, missing
from modelroll_server.schema.arrays import ArrayDecoder
from modelroll_server.tensors import Datatype, Table

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(-(2**53), 2**53)
TEXTS = st.one_of(st.sampled_from(["a", "b", "é", "NA", "", "nan", "1", "true", "-1e3", " 2 "]), st.text(max_size=3))
KINDS: dict[Any, st.SearchStrategy[Any]] = {
    pa.float64(): FLOATS,
    pa.int64(): WHOLE,
    pa.int8(): st.integers(-128, 127),
    pa.uint16(): st.integers(0, 65535),
    pa.bool_(): st.booleans(),
    pa.string(): TEXTS,
    pa.large_string(): TEXTS,
    pa.dictionary(pa.int8(), pa.string()): TEXTS,
    pa.decimal128(12, 2): st.decimals(-1000, 1000, places=2),
}
TAKEN = {
    Datatype.FP64: [pa.float64(), pa.int64(), pa.int8(), pa.uint16(), pa.decimal128(12, 2)],
    Datatype.FP32: [pa.float64(), pa.int8(), pa.uint16()],
    Datatype.INT64: [pa.int64(), pa.int8(), pa.float64()],
    Datatype.BOOL: [pa.bool_()],
    Datatype.BYTES: [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())],
    Datatype.ANY: [pa.float64(), pa.int64(), pa.bool_(), pa.string(), pa.dictionary(pa.int8(), pa.string())],
}
MISSING = {
    Datatype.FP64: ["refuse", "nan"],
    Datatype.FP32: ["refuse", "nan"],
    Datatype.INT64: ["refuse"],
    Datatype.BOOL: ["refuse"],
    Datatype.BYTES: ["refuse", "nan", "none"],
    Datatype.ANY: ["refuse", "nan", "none"],
}


@st.composite
def columns(draw: st.DrawFn) -> tuple[Input, Any]:
    """An input, and an Arrow array that may hold it."""
    datatype = draw(st.sampled_from(list(TAKEN)))
    kind = draw(st.sampled_from(TAKEN[datatype]))
    limit = draw(st.none() | st.floats(0, 1e6)) if datatype not in {Datatype.BYTES, Datatype.BOOL} else None
    values = draw(st.lists(st.none() | KINDS[kind], max_size=12))
    known: dict[str, Any] = {}
    if datatype in {Datatype.BYTES, Datatype.INT64} and draw(st.booleans()):
        known = {"unknown": "refuse", "categories": ["a", "b", "NA"] if datatype is Datatype.BYTES else [0, 1, 2]}
    column = Input(
        name="x", datatype=datatype, missing=draw(st.sampled_from(MISSING[datatype])), max_abs=limit, **known
    )
    return column, pa.array(values, kind)


def decoded(column: Input, array: Any, *, of_texts: bool) -> tuple[Table, Refusals]:
    schema, refusals = Schema([column]), Refusals()
    decoder = Decoder(schema, ArrayDecoder(schema), of_texts=of_texts)
    found = decoder.decode(pa.RecordBatch.from_arrays([array], names=["x"]), refusals)
    return found.table, refusals


def by_json(column: Input, values: list[Any]) -> tuple[list[Any], set[int]]:
    """What JSON's values become, of the rows that are taken, and which are not."""
    schema = Schema([column])
    rows, refused = [], set()
    for at, value in enumerate(values):
        try:
            rows.append(schema.decode_row({"x": value}))
        except (InvalidField, InvalidFields):
            refused.add(at)
    return schema.table(rows).columns[0].tolist(), refused


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and bool(one == other)


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first array imports half of Arrow
@given(columns())
def test_arrow_is_read_as_json_is(case: tuple[Input, Any]) -> None:
    column, array = case
    values = array.cast(pa.float64()).to_pylist() if pa.types.is_decimal(array.type) else array.to_pylist()
    expected, refused = by_json(column, values)
    table, refusals = decoded(column, array, of_texts=False)
    assert set(refusals) == refused
    found = table.columns[0]
    assert found.dtype == column.datatype.dtype
    assert len(found) == len(expected)
    assert all(map(same, found.tolist(), expected)), (found.tolist(), expected)


@given(columns())
def test_csv_is_read_as_json_is(case: tuple[Input, Any]) -> None:
    """A value as Python writes it to a CSV is what it is in JSON."""
    column, array = case
    values = array.cast(pa.float64()).to_pylist() if pa.types.is_decimal(array.type) else array.to_pylist()
    texts = ["" if value is None else str(value) for value in values]
    if column.datatype is not Datatype.BYTES:
        values = [None if isinstance(value, str) and value in missing.SPELLINGS else value for value in values]
    elif column.missing == "refuse":
        values = texts
    else:
        values = [None if text in missing.SPELLINGS else text for text in texts]
    if column.datatype is Datatype.ANY:
        return  # 1.0 and the text 1 are one to a CSV
    expected, refused = by_json(column, values)
    table, refusals = decoded(column, pa.array([text.encode() for text in texts], pa.binary()), of_texts=True)
    assert set(refusals) == refused
    assert all(map(same, table.columns[0].tolist(), expected)), (table.columns[0].tolist(), expected)


@pytest.mark.parametrize("datatype", [Datatype.FP64, Datatype.FP32, Datatype.INT64])
@pytest.mark.parametrize("infinite", [False, True])
@pytest.mark.parametrize(
    "text", ["0.1", "7", " 7 ", "0x10", "inf", "NAN", "1e999", "1e39", "9007199254740993", "9" * 5000, "+5", "5.0", ""]
)
def test_what_becomes_of_a_text_is_not_for_the_others_of_its_chunk_to_say(
    datatype: Datatype, infinite: bool, text: str
) -> None:
    column = Input(name="x", datatype=datatype, infinite=infinite and datatype is not Datatype.INT64)
    alone, refused = decoded(column, pa.array([text.encode()], pa.binary()), of_texts=True)
    beside, refusals = decoded(column, pa.array([text.encode(), b"bad", b"\xff"], pa.binary()), of_texts=True)
    del refusals[1], refusals[2]
    assert refusals == refused
    assert beside.columns[0].tolist() == alone.columns[0].tolist()


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("-2.5e3", -2500.0), ("true", True), ("True", "True"), ("007", "007"), ("NA", None), ("yes", "yes")],
)
def test_where_nothing_is_known_of_a_column_csv_is_read_as_json_would_write_it(text: str, value: Any) -> None:
    column = Input(name="x", datatype=Datatype.ANY, missing="none")
    table, refusals = decoded(column, pa.array([text.encode(), b"z"], pa.binary()), of_texts=True)
    assert not refusals
    assert same(table.columns[0].tolist()[0], value)


def test_a_refusal_says_what_was_found() -> None:
    number = Input(name="x", datatype=Datatype.FP64, missing="refuse", max_abs=10.0)
    texts = [b"1", b"abc", b"", b"11", b"\xff", b"inf"]
    table, refusals = decoded(number, pa.array(texts, pa.binary()), of_texts=True)
    assert table.columns[0].tolist() == [1.0]
    assert refusals == {
        1: "x must be a number, got a string: 'abc'",
        2: "x must be a number, got null",
        3: "x must be a number from -10 to 10, got 11",
        4: "x is not UTF-8",
        5: "x must be a number, got a string: 'inf'",
    }


def test_decimals_become_the_integers_that_a_double_has_no_room_for() -> None:
    column = Input(name="x", datatype=Datatype.INT64)
    values = [Decimal(9007199254740993), Decimal(-(2**62) - 1)]
    table, refusals = decoded(column, pa.array(values, pa.decimal128(25, 2)), of_texts=False)
    assert not refusals
    assert table.columns[0].tolist() == [9007199254740993, -(2**62) - 1]


def test_doubles_that_single_precision_cannot_hold_are_refused_and_others_rounded() -> None:
    column = Input(name="x", datatype=Datatype.FP32)
    table, refusals = decoded(column, pa.array([0.1, 1e39, -1e300]), of_texts=False)
    assert table.columns[0].tolist() == [float(np.float32(0.1))]
    assert sorted(refusals) == [1, 2]
    assert "1e+39" in refusals[1]


def test_many_rows_of_few_texts_are_looked_at_once() -> None:
    column = Input(name="x", datatype=Datatype.BYTES, missing="nan", unknown="refuse", categories=["a", "b"])
    values = [["a", "b", None, "c"][at % 4] for at in range(1000)]
    table, refusals = decoded(column, pa.array(values), of_texts=False)
    assert sorted(refusals) == list(range(3, 1000, 4))
    assert table.columns[0].tolist()[:2] == ["a", "b"]
    assert math.isnan(table.columns[0][2])
