"""What packing keeps of how the samples were spread: every row once, and numbers in parts that are about as full."""

import bisect

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modelroll_server.packing import histograms

NUMBERS = st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 3).map(float), min_size=1)
TEXTS = st.lists(st.sampled_from(["a", "b", "c", "unlisted", None]))


@given(NUMBERS)
def test_parts_hold_all_rows_and_about_a_tenth_each(values: list[float]) -> None:
    found = histograms.of_numbers(np.array(values), missing=3)
    assert found.edges is not None
    assert (found.edges[0], found.edges[-1], found.missing) == (min(values), max(values), 3)
    assert found.edges == sorted(found.edges)
    inner = found.edges[1:-1]
    expected = [0] * len(found.counts)
    for value in values:
        expected[bisect.bisect_right(inner, value)] += 1
    assert found.counts == expected
    assert min(found.counts) > 0
    enough, most = len(values) / 10, max(values.count(value) for value in values)
    assert max(found.counts) < max(2 * enough, most) + enough + 1


def test_a_value_with_many_rows_has_a_part_of_its_own() -> None:
    values = np.array([-1.0] * 3 + [0.0] * 900 + [*np.linspace(1, 2, 97)])
    found = histograms.of_numbers(values, missing=0)
    assert found.counts == [3, 900, 97]
    assert found.edges == [-1.0, 0.0, 1.0, 2.0]


@given(TEXTS)
def test_texts_are_counted_by_category_and_every_row_once(values: list[str | None]) -> None:
    found = histograms.of_texts(values, ["a", "b", "c", "never seen"])
    assert found is not None
    assert found.counts == [values.count(category) for category in ("a", "b", "c")] + [0]
    assert (found.values, found.other, found.missing) == (None, values.count("unlisted"), values.count(None))


def test_of_many_texts_the_commonest_are_counted_unless_they_are_sentences() -> None:
    cities = [f"city {index}" for index in range(60) for _ in range(100 if index < 50 else 2)]
    found = histograms.of_texts([*cities, None, float("nan")], None)
    assert found is not None
    assert found.values is not None
    assert (len(found.values), sum(found.counts), found.other, found.missing) == (50, 5000, 20, 2)
    assert histograms.of_texts(cities, sorted(set(cities))) == histograms.of_texts(cities, None)
    assert histograms.of_texts([f"sentence {index}" for index in range(1000)], None) is None
