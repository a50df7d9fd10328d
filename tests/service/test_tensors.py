"""Answers as JSON values, cut and joined."""

import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modelroll_server.tensors import Outputs, Table, as_list


@given(st.lists(st.floats(width=32)))
def test_a_float32_is_written_with_the_digits_of_its_own_dtype(numbers: list[float]) -> None:
    array = np.array(numbers, dtype=np.float32)
    found, lost = as_list(array)
    assert lost == sum(not math.isfinite(number) for number in numbers)
    for given_number, value in zip(array, found, strict=True):
        assert (value is None) == (not math.isfinite(given_number))
        if value is not None:
            assert json.dumps(value) == json.dumps(float(str(given_number)))
            assert np.float32(value) == given_number


@given(st.lists(st.floats()))
def test_a_float64_survives_unchanged(numbers: list[float]) -> None:
    found, _ = as_list(np.array(numbers, dtype=np.float64))
    assert found == [number if math.isfinite(number) else None for number in numbers]


def test_labels_stay_what_they_are() -> None:
    assert as_list(np.array(["no", "yes"], dtype=object)) == (["no", "yes"], 0)
    assert as_list(np.array([[1, 2], [3, 4]])) == ([[1, 2], [3, 4]], 0)
    assert as_list(np.array([True, False])) == ([True, False], 0)


def test_what_is_not_finite_is_null() -> None:
    outputs = Outputs(np.array([1.5, np.nan, np.inf]), np.array([[0.5, np.nan]] * 3))
    plain, lost = outputs.as_lists()
    assert lost == 5
    assert plain["prediction"] == [1.5, None, None]
    assert plain["probability"] == [[0.5, None]] * 3


def test_a_row_of_many_outputs_has_a_list_of_probabilities_each() -> None:
    outputs = Outputs(np.array([[0, 1]]), [np.array([[1.0, 0.0]]), np.array([[0.2, 0.3, 0.5]])])
    assert outputs.as_lists()[0]["probability"] == [[[1.0, 0.0], [0.2, 0.3, 0.5]]]


@given(st.integers(1, 6), st.integers(0, 6), st.booleans())
def test_outputs_cut_and_joined_are_what_they_were(rows: int, cut: int, many: bool) -> None:
    one = np.arange(rows * 2, dtype=float).reshape(rows, 2)
    outputs = Outputs(np.arange(rows), [one, one] if many else one, None if many else one)
    joined = Outputs.concat([outputs.slice(0, cut), outputs.slice(cut, rows)])
    assert joined.as_lists() == outputs.as_lists()


@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_a_table_of_one_block_and_one_of_columns_are_cut_and_joined_alike(
    rows: int, width: int, data: st.DataObject
) -> None:
    names = tuple(f"x{index}" for index in range(width))
    block = np.arange(float(rows * width)).reshape(rows, width)
    whole, by_column = Table(names, block, rows), Table(names, tuple(block.T.copy()), rows)
    start = data.draw(st.integers(0, rows))
    for table in (whole, by_column):
        joined = Table.concat([table.slice(start, rows + 3), table.slice(0, start)])
        assert joined.rows == rows
        assert np.array_equal(joined.block, np.roll(block, -start, axis=0))
        assert np.array_equal(np.column_stack(joined.columns), joined.block)
    mixed = Table.concat([whole, by_column])
    assert np.array_equal(mixed.block, np.concatenate([block, block]))
