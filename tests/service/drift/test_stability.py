"""The population stability index: nothing where nothing changed, more the more did."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroll_server.drift.stability import UNKNOWN, stability

COUNTS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=30)


def of(trained: list[int], served: list[int]) -> float:
    """Of one input."""
    return float(stability(np.array(trained), np.array(served), np.array([0]))[0])


def test_it_is_the_sum_that_the_books_have() -> None:
    """With so many rows that half a one is nothing."""
    trained, served = [10**8, 2 * 10**8, 10**8], [2 * 10**8, 10**8, 10**8]
    expected = (0.5 - 0.25) * math.log(0.5 / 0.25) + (0.25 - 0.5) * math.log(0.25 / 0.5)
    assert of(trained, served) == pytest.approx(expected, rel=1e-6)


def test_half_a_row_is_added_to_each_count() -> None:
    """Of 10 and 0 rows that were 5 and 5: shares of 10.5 and 0.5 in 11."""
    expected = (10.5 / 11 - 0.5) * math.log(10.5 / 11 / 0.5) + (0.5 / 11 - 0.5) * math.log(0.5 / 11 / 0.5)
    assert of([5, 5], [10, 0]) == pytest.approx(expected, rel=1e-12)


@given(COUNTS)
def test_it_is_never_negative_and_the_same_both_ways_and_in_any_order(counts: list[tuple[int, int]]) -> None:
    trained, served = [list(each) for each in zip(*counts, strict=True)]
    found = of(trained, served)
    assert math.isfinite(found)
    assert found >= 0
    assert of(served, trained) == pytest.approx(found, abs=1e-12)
    assert of(trained[::-1], served[::-1]) == pytest.approx(found, abs=1e-12)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=30), st.integers(1, 1000))
def test_equal_shares_are_no_drift(counts: list[int], factor: int) -> None:
    """But for the half rows, which weigh less than a thousandth where every bin has 500."""
    many = [count + 500 for count in counts]
    assert of(many, [count * factor for count in many]) < 1e-3
    assert of(many, many) == 0


@given(COUNTS, st.integers(0, 5))
def test_bins_that_nobody_fills_and_bins_that_training_did_not_count_say_nothing(
    counts: list[tuple[int, int]], empty: int
) -> None:
    trained, served = [list(each) for each in zip(*counts, strict=True)]
    found = of(trained, served)
    assert of([*trained, *[0] * empty, UNKNOWN], [*served, *[0] * empty, 77]) == pytest.approx(found, abs=1e-12)


@given(st.lists(COUNTS, min_size=1, max_size=5))
def test_inputs_that_lie_one_after_the_other_are_told_apart(inputs: list[list[tuple[int, int]]]) -> None:
    flat = np.array([pair for counts in inputs for pair in counts])
    starts = np.cumsum([0, *map(len, inputs)])[:-1]
    found = stability(flat[:, 0], flat[:, 1], starts)
    alone = [of([pair[0] for pair in counts], [pair[1] for pair in counts]) for counts in inputs]
    assert found.tolist() == pytest.approx(alone, abs=1e-12)
