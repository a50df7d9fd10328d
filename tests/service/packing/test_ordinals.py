"""Ordinals follow the order of numbers without a gap, and bisecting ends at neighbours."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroll_server.packing import ordinals

DTYPES: list[tuple[Any, Any]] = [
    (np.float64, st.floats(allow_nan=False, allow_infinity=False)),
    (np.float32, st.floats(allow_nan=False, allow_infinity=False, width=32)),
    (np.int64, st.integers(-(2**63) + 1, 2**63 - 1)),
]


@pytest.mark.parametrize(("dtype", "values"), DTYPES, ids=["float64", "float32", "int64"])
def test_a_number_has_one_ordinal_and_an_ordinal_one_number(dtype: Any, values: Any) -> None:
    @given(st.lists(values, min_size=1))
    def holds(drawn: list[Any]) -> None:
        found = np.array(drawn, dtype)
        there = ordinals.ordinals(found)
        assert (ordinals.numbers(there, found.dtype) == found).all()
        assert (np.sort(found) == found[np.argsort(there, kind="stable")]).all()

    holds()


@given(st.floats(allow_nan=False, allow_infinity=False, max_value=1e300))
def test_adjacent_doubles_have_adjacent_ordinals(value: float) -> None:
    pair = np.array([value, math.nextafter(value, math.inf)])
    assert np.diff(ordinals.ordinals(pair)).tolist() == [1]


@pytest.mark.parametrize(("dtype", "values"), DTYPES, ids=["float64", "float32", "int64"])
def test_bisecting_finds_the_two_neighbours_of_a_border(dtype: Any, values: Any) -> None:
    @given(values, values, values)
    def holds(one: Any, other: Any, border: Any) -> None:
        low, high = np.array([min(one, other)], dtype), np.array([max(one, other)], dtype)
        limit = np.array([border], dtype)
        if not (low <= limit)[0] or (high <= limit)[0]:
            return
        rising = ordinals.bisect(low, high, lambda asked, _: asked <= limit, expired=lambda: False)
        falling = ordinals.bisect(high, low, lambda asked, _: asked > limit, expired=lambda: False)
        for least, most in (rising, falling[::-1]):
            assert least[0] == limit[0]
            assert int(ordinals.ordinals(most)[0]) - int(ordinals.ordinals(least)[0]) == 1

    holds()


def test_bisecting_ends_where_it_is_when_the_time_is_over() -> None:
    low, high = np.array([0.0]), np.array([1.0])
    found = ordinals.bisect(low, high, lambda values, _: values < 0.3, expired=lambda: True)
    assert [ends.tolist() for ends in found] == [[0.0], [1.0]]
