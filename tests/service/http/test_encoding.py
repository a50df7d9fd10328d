"""Numbers on the way out."""

import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modelroll_server.http import encoding


@given(st.lists(st.floats(width=32)))
def test_a_float32_is_written_with_the_digits_of_its_own_dtype(numbers: list[float]) -> None:
    array = np.array(numbers, dtype=np.float32)
    found, lost = encoding.values(array)
    assert lost == sum(not math.isfinite(number) for number in numbers)
    for given_number, value in zip(array, found, strict=True):
        assert (value is None) == (not math.isfinite(given_number))
        if value is not None:
            assert json.dumps(value) == json.dumps(float(str(given_number)))
            assert np.float32(value) == given_number


@given(st.lists(st.floats()))
def test_a_float64_survives_unchanged(numbers: list[float]) -> None:
    found, _ = encoding.values(np.array(numbers, dtype=np.float64))
    assert found == [number if math.isfinite(number) else None for number in numbers]


def test_labels_stay_what_they_are() -> None:
    assert encoding.values(np.array(["no", "yes"], dtype=object)) == (["no", "yes"], 0)
    assert encoding.values(np.array([[1, 2], [3, 4]])) == ([[1, 2], [3, 4]], 0)
    assert encoding.values(np.array([True, False])) == ([True, False], 0)
