"""Values: what each datatype takes, what is refused, and the sentence that the caller reads."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroll_server.errors import InvalidField, InvalidFields
from modelroll_server.schema import Input, Schema
from modelroll_server.tensors import Datatype, Table

FP64 = Input(name="x", datatype=Datatype.FP64)
TWO = [Input(name="age", datatype=Datatype.INT64), Input(name="plan", datatype=Datatype.BYTES)]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def decoded(column: Input, value: Any) -> Any:
    return Schema([column]).decode_row({column.name: value})[0]


TAKEN: list[tuple[Datatype, Any, Any]] = [
    (Datatype.FP64, 1, 1.0),
    (Datatype.FP64, -0.5, -0.5),
    (Datatype.FP64, 2**53 + 1, float(2**53)),
    (Datatype.FP64, 10**300, 1e300),
    (Datatype.FP32, 3.4028234663852886e38, 3.4028234663852886e38),
    (Datatype.INT64, 7, 7),
    (Datatype.INT64, 7.0, 7),
    (Datatype.INT64, 2**62, 2**62),
    (Datatype.INT64, float(2**53), 2**53),
    (Datatype.BOOL, True, True),
    (Datatype.BYTES, "", ""),
    (Datatype.BYTES, "é", "é"),
]
REFUSED: list[tuple[Datatype, Any]] = [
    *[(kind, None) for kind in Datatype if kind is not Datatype.ANY],
    *[(kind, [1]) for kind in Datatype],
    *[(kind, {}) for kind in Datatype],
    (Datatype.FP64, "1"),
    (Datatype.FP64, True),
    (Datatype.FP64, math.inf),
    (Datatype.FP64, math.nan),
    (Datatype.FP64, 10**400),
    (Datatype.FP32, 1e39),
    (Datatype.INT64, "1"),
    (Datatype.INT64, True),
    (Datatype.INT64, 1.5),
    (Datatype.INT64, 2.0**53 * 2),
    (Datatype.INT64, 2**63),
    (Datatype.INT64, math.inf),
    (Datatype.INT64, math.nan),
    (Datatype.BOOL, 1),
    (Datatype.BOOL, "true"),
    (Datatype.BYTES, 1),
    (Datatype.BYTES, True),
    (Datatype.ANY, 10**30),
]


@pytest.mark.parametrize(("datatype", "value", "expected"), TAKEN)
def test_a_value_of_its_datatype_is_taken(datatype: Datatype, value: Any, expected: Any) -> None:
    found = decoded(Input(name="x", datatype=datatype), value)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(("datatype", "value"), REFUSED)
def test_any_other_value_is_refused_by_name(datatype: Datatype, value: Any) -> None:
    with pytest.raises(InvalidField, match=r"^x must be ") as caught:
        decoded(Input(name="x", datatype=datatype), value)
    assert caught.value.field == "x"


def test_null_becomes_what_the_input_says() -> None:
    assert math.isnan(decoded(Input(name="x", datatype=Datatype.FP64, missing="nan"), None))
    assert decoded(Input(name="x", datatype=Datatype.BYTES, missing="none"), None) is None


def test_a_magnitude_over_max_abs_is_refused_on_both_sides() -> None:
    column = Input(name="x", datatype=Datatype.FP64, max_abs=10.0)
    assert decoded(column, -10) == -10.0
    for value in (10.5, -11):
        with pytest.raises(InvalidField, match="from -10 to 10"):
            decoded(column, value)


def test_an_unknown_category_is_refused_only_where_the_input_says_so() -> None:
    column = Input(name="plan", datatype=Datatype.BYTES, categories=["a", "b"], unknown="refuse")
    with pytest.raises(InvalidField, match="must be one of 'a', 'b'; got 'c'"):
        decoded(column, "c")
    assert decoded(Input(name="plan", datatype=Datatype.BYTES, categories=["a"]), "c") == "c"


def test_missing_and_extra_fields_are_all_named() -> None:
    with pytest.raises(InvalidFields) as caught:
        Schema(TWO).decode_row({"age": None, "planet": "x"}, "instances[3]")
    assert [error.field for error in caught.value.errors] == [
        "instances[3].age",
        "instances[3].plan",
        "instances[3].planet",
    ]


def test_extra_fields_may_be_ignored() -> None:
    assert Schema(TWO, extra_fields="ignore").decode_row({"age": 1, "plan": "a", "id": 9}) == (1, "a")


def test_an_array_is_read_in_manifest_order() -> None:
    assert Schema(TWO).decode_row([1, "a"]) == (1, "a")
    with pytest.raises(InvalidField, match="expected 2 values in the order age, plan; got 1"):
        Schema(TWO).decode_row([1])


def test_one_bad_row_refuses_all_and_is_named() -> None:
    rows = [{"age": 1, "plan": "a"}, {"age": "x", "plan": "a"}]
    with pytest.raises(InvalidField) as caught:
        Schema(TWO).decode_rows(rows, "instances[{}]".format)
    assert caught.value.field == "instances[1].age"


def test_of_many_errors_the_first_ten_are_told() -> None:
    with pytest.raises(InvalidFields) as caught:
        Schema(TWO).decode_rows([{}] * 1000, "instances[{}]".format)
    assert len(caught.value.errors) == 10


def test_rows_become_columns_in_the_manifests_dtypes() -> None:
    inputs = [Input(name=kind, datatype=kind) for kind in Datatype]
    table = Schema(inputs).decode_rows([[1.5, 2.5, 3, True, "a", "b"]] * 3)
    assert [column.dtype for column in table.columns] == [kind.dtype for kind in Datatype]
    assert table.rows == 3


def test_no_rows_are_an_empty_table() -> None:
    table = Schema(TWO).decode_rows([])
    assert (table.rows, [len(column) for column in table.columns]) == (0, [0, 0])


@given(JSON)
def test_any_json_is_a_row_or_refused_with_a_field_error(value: Any) -> None:
    schema = Schema([*TWO, Input(name="x", datatype=Datatype.FP64, missing="nan")])
    for row in (value, {"age": value, "plan": value, "x": value}, [value, value, value]):
        try:
            schema.decode_row(row)
        except (InvalidField, InvalidFields) as error:
            json.dumps(error.message)


@given(st.lists(st.tuples(st.integers(-(2**63) + 1, 2**63 - 1), st.text()), max_size=20), st.data())
def test_tables_cut_and_joined_are_what_they_were(rows: list[tuple[int, str]], data: st.DataObject) -> None:
    table = Schema(TWO).decode_rows([list(row) for row in rows])
    cut = data.draw(st.integers(0, len(rows)))
    joined = Table.concat([table.slice(0, cut), table.slice(cut, len(rows))])
    assert joined.rows == len(rows)
    assert all(np.array_equal(one, other) for one, other in zip(joined.columns, table.columns, strict=True))


@given(st.floats())
def test_a_number_is_taken_exactly_when_it_is_finite_and_within_reach(value: float) -> None:
    column = Input(name="x", datatype=Datatype.FP64, max_abs=1e39)
    if math.isfinite(value) and abs(value) <= 1e39:
        assert decoded(column, value) == value
    else:
        with pytest.raises(InvalidField):
            decoded(column, value)
