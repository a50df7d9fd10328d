"""Bins are made of what packing wrote, and every row lies in one bin of each input."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroll_server.drift.bins import LEAST_TRAINED, TRAINED_PER_BIN, Bins
from modelroll_server.drift.stability import UNKNOWN, stability
from modelroll_server.packing import histograms
from modelroll_server.schema import Histogram, Input, Scalar
from modelroll_server.tensors import Datatype

TEXTS = st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1)


def number(histogram: Histogram | None, datatype: Datatype = Datatype.FP64) -> Input:
    """An input of numbers."""
    return Input(name="x", datatype=datatype, missing="nan", histogram=histogram)


def text(histogram: Histogram | None, categories: list[str] | None) -> Input:
    """An input of texts."""
    known: list[Scalar] | None = None if categories is None else [*categories]
    return Input(name="x", datatype=Datatype.BYTES, missing="none", categories=known, histogram=histogram)


def count(bins: Bins, values: list[object]) -> list[int]:
    """How values of one input lie."""
    rows = np.array([bins.encode((value,)) for value in values], dtype=np.float64).reshape(len(values), -1)
    found: list[int] = bins.count(rows).tolist()
    return found


def of(bins: Bins, values: list[object]) -> float:
    """How far they lie from training."""
    return float(stability(bins.trained, np.array(count(bins, values)), bins.starts)[0])


@given(st.lists(st.integers(-5, 5).map(float) | st.floats(-1e6, 1e6), min_size=LEAST_TRAINED, max_size=400))
def test_training_rows_themselves_do_not_drift_in_whatever_order(values: list[float]) -> None:
    bins = Bins([number(histograms.of_numbers(np.array(values), missing=0))])
    counted = count(bins, [*values])
    assert counted == bins.trained.tolist()
    assert count(bins, [*reversed(values)]) == counted
    assert of(bins, [*values]) == 0
    assert len(counted) - 1 <= max(3, len(values) // TRAINED_PER_BIN)


@given(TEXTS.map(lambda values: values * 100))
def test_training_texts_themselves_do_not_drift_and_unseen_ones_do(values: list[str | None]) -> None:
    categories = sorted({value for value in values if value is not None})
    histogram = histograms.of_texts(values, categories)
    bins = Bins([text(histogram, categories)])
    if not bins.names:
        assert len(values) - values.count(None) < LEAST_TRAINED
        return
    assert count(bins, [*values]) == bins.trained.tolist()
    assert of(bins, [*values]) == 0
    assert of(bins, ["unseen"] * len(values)) > 0.25


def test_what_is_missing_drifts_where_training_knew() -> None:
    values = [*np.linspace(0, 1, 1000)]
    served: list[object] = [*values[::2], *[math.nan] * 500]
    known = Bins([number(histograms.of_numbers(np.array(values), missing=0))])
    assert of(known, served) > 0.25
    assert known.trained[-1] == 0
    before = Bins([number(Histogram(counts=[500, 500], edges=[0.0, 0.5, 1.0]))])
    assert before.trained[-1] == UNKNOWN
    assert of(before, served) < 0.01
    assert count(before, served)[-1] == 500


def test_what_lies_beyond_the_samples_lies_in_the_outer_bins() -> None:
    bins = Bins([number(Histogram(counts=[50, 50, 50], edges=[0.0, 1.0, 2.0, 3.0]))])
    assert count(bins, [-math.inf, -1e300, 0.5, 1.0, 2.0, 1e300, math.inf]) == [3, 1, 3, 0]


@pytest.mark.parametrize("datatype", [Datatype.FP64, Datatype.INT64])
def test_a_column_of_one_value_drifts_with_any_other(datatype: Datatype) -> None:
    bins = Bins([number(histograms.of_numbers(np.full(100, 7), missing=0), datatype)])
    assert of(bins, [7] * 100) == 0
    assert of(bins, [8] * 100) > 0.25
    assert of(bins, [6] * 100) > 0.25


def test_booleans_have_two_bins() -> None:
    bins = Bins([number(histograms.of_flags(np.array([True] * 30 + [False] * 70), missing=0), Datatype.BOOL)])
    assert count(bins, [True, False, True]) == [1, 2, 0]
    assert bins.trained.tolist() == [70, 30, 0]


def test_too_few_rows_make_fewer_bins_and_in_the_end_none() -> None:
    values = np.arange(200.0)
    few = Bins([number(histograms.of_numbers(values, missing=0))])
    assert len(few.trained) == 200 // TRAINED_PER_BIN + 1
    assert few.trained.tolist() == [40, 40, 40, 40, 40, 0]
    assert Bins([number(histograms.of_numbers(values[:99], missing=0))]).names == []
    many = histograms.of_texts([f"{index % 45}" for index in range(450)], [f"{index}" for index in range(45)])
    texts = Bins([text(many, [f"{index}" for index in range(45)])])
    assert len(texts.trained) == 450 // TRAINED_PER_BIN + 1
    assert texts.trained.sum() == 450


def test_texts_with_many_values_have_bins_for_the_commonest() -> None:
    cities = [f"city {index}" for index in range(60) for _ in range(100 if index < 50 else 2)]
    bins = Bins([text(histograms.of_texts(cities, None), None)])
    assert len(bins.trained) == 52
    assert of(bins, [*cities]) == 0


def test_inputs_without_a_histogram_are_not_watched_and_the_others_keep_their_places() -> None:
    numbers = histograms.of_numbers(np.arange(100.0), missing=0)
    texts = histograms.of_texts(["a", "b"] * 50, ["a", "b"])
    bins = Bins(
        [
            Input(name="free", datatype=Datatype.BYTES),
            Input(name="kind", datatype=Datatype.BYTES, categories=["a", "b"], histogram=texts),
            Input(name="bare", datatype=Datatype.FP64),
            Input(name="size", datatype=Datatype.FP64, histogram=numbers),
        ]
    )
    assert bins.names == ["size", "kind"]
    row = bins.encode(("some sentence", "b", 1.0, 99.0))
    assert np.flatnonzero(bins.count(np.array([row]))).tolist() == [1, 4]
    assert Bins([Input(name="free", datatype=Datatype.BYTES)]).names == []
