"""Columns of arrays: the loop over values and the search in arrays never part, nor do they from JSON rows."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelroll_server import errors
from modelroll_server.schema import Input, Schema
from modelroll_server.schema.arrays import ArrayDecoder
from modelroll_server.tensors import Array, Datatype, Table

ROWS = 6
DTYPES = ["i1", "u1", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "?", "O"]
EDGES = [0, -0.0, 1, 2**24, 2**24 + 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 0.1, 3.0, 3.5e38, 1e300]


@st.composite
def inputs(draw: st.DrawFn) -> Input:
    datatype = draw(st.sampled_from(Datatype))
    is_float = datatype in {Datatype.FP64, Datatype.FP32}
    missing: dict[Datatype, list[str]] = {Datatype.BYTES: ["refuse", "nan", "none"], Datatype.ANY: ["refuse", "nan"]}
    known: dict[Datatype, Any] = {Datatype.INT64: [0, 1, 2**53], Datatype.FP64: [0.0, 1.0], Datatype.BYTES: ["a", "b"]}
    categories = draw(st.sampled_from([None, known.get(datatype)]))
    return Input(
        name=draw(st.sampled_from(["tenure", "charges"])),
        datatype=datatype,
        missing=draw(st.sampled_from(["refuse", "nan"] if is_float else missing.get(datatype, ["refuse"]))),
        infinite=is_float and draw(st.booleans()),
        max_abs=draw(st.sampled_from([None, 2.0, 2.0**53, 1e300])),
        categories=categories,
        unknown="refuse" if categories else "accept",
    )


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    if dtype.kind == "O":
        return np.array(
            draw(st.lists(st.sampled_from(["a", "b", "é", "", None]), min_size=ROWS, max_size=ROWS)), object
        )
    if dtype.kind == "b":
        return np.array(draw(st.lists(st.booleans(), min_size=ROWS, max_size=ROWS)))
    values: st.SearchStrategy[Any]
    if dtype.kind == "f":
        values = st.sampled_from([*map(float, EDGES), math.nan, math.inf, -math.inf]) | st.floats(width=64)
    else:
        limits = np.iinfo(str(dtype))
        inside = [value for value in EDGES if isinstance(value, int) and limits.min <= value <= limits.max]
        values = st.sampled_from(inside) | st.integers(int(limits.min), int(limits.max))
    with np.errstate(over="ignore"):
        found = draw(st.lists(values, min_size=ROWS, max_size=ROWS))
        return np.array(found, np.float64 if dtype.kind == "f" else dtype).astype(dtype)


def outcome(read: Any) -> Any:
    try:
        found = read()
    except errors.InvalidFields as error:
        return [(one.field, one.message) for one in error.errors]
    except errors.InvalidField as error:
        return [(error.field, error.message)]
    return found


def values(table: Table) -> list[list[str]]:
    return [[repr(value) for value in column.tolist()] for column in table.columns]


@settings(max_examples=400)
@given(inputs(), arrays())
def test_few_values_and_many_are_read_alike(column: Input, array: Array) -> None:
    schema = Schema([column])
    decoder = ArrayDecoder(schema)
    few = outcome(lambda: schema.table(decoder.rows([array.tolist()])))
    many = outcome(lambda: decoder.table([array]))
    block = outcome(lambda: decoder.block(array.reshape(-1, 1)))
    if isinstance(few, list):
        assert few == many == block
        assert all(field.startswith("[") and field.endswith(f"].{column.name}") for field, _ in few)
    else:
        assert values(few) == values(many) == values(block)
        assert many.columns[0].dtype == column.datatype.dtype


@settings(max_examples=300)
@given(inputs(), arrays())
def test_what_passes_has_the_value_that_was_sent(column: Input, array: Array) -> None:
    found = outcome(lambda: ArrayDecoder(Schema([column])).table([array]))
    if isinstance(found, list):
        return
    for sent, read in zip(array.tolist(), found.columns[0].tolist(), strict=True):
        assert read == sent or sent is None or (sent != sent and read != read)  # noqa: PLR0124 - nan


@settings(max_examples=300)
@given(inputs(), arrays())
def test_finite_values_pass_where_they_pass_in_json(column: Input, array: Array) -> None:
    schema = Schema([column])
    for value in array.tolist():
        if isinstance(value, float) and not math.isfinite(value):
            continue
        as_json = outcome(lambda value=value: schema.check_rows([[value]]))
        as_tensor = outcome(lambda value=value: ArrayDecoder(schema).rows([[value]]))
        inexact = "exactly" in str(as_tensor)
        assert as_json == as_tensor or repr(as_json) == repr(as_tensor) or inexact


def test_the_first_bad_rows_are_named() -> None:
    decoder = ArrayDecoder(Schema([Input(name="a", datatype=Datatype.FP64), Input(name="b", datatype=Datatype.INT64)]))
    numbers = np.arange(100, dtype=np.float64)
    numbers[7] = math.nan
    with pytest.raises(errors.InvalidField, match="a must be a finite number, got nan") as refused:
        decoder.table([numbers, np.arange(100)])
    assert refused.value.field == "[7].a"
    with pytest.raises(errors.InvalidFields) as many:
        decoder.block(np.full((100, 2), 0.5) + numbers.reshape(-1, 1))
    assert [one.field for one in many.value.errors][:8] == [f"[{row}].b" for row in range(7)] + ["[7].a"]
