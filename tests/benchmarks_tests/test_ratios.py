"""Medians, and ratios that are taken within a round."""

import pytest

import benchmarks_tests.runs as a
from benchmarks import ratios

OURS, BARE = "modelroll compiled", "bare uvicorn"


def test_a_ratio_is_taken_within_each_round_so_a_slow_minute_counts_for_both() -> None:
    # The machine was four times slower in the second round.
    run = a.run(
        a.sample(0, BARE, 10_000), a.sample(0, OURS, 9_000),
        a.sample(1, BARE, 2_500), a.sample(1, OURS, 2_250),
        a.sample(2, BARE, 10_000), a.sample(2, OURS, 9_100),
    )  # fmt: skip
    assert ratios.compared(run, ratios.rate, OURS, BARE, "logistic", 64) == pytest.approx(0.9)
    assert ratios.median(run, ratios.rate, OURS, "logistic", 64) == 9_000


def test_a_round_that_only_one_of_the_two_has_counts_for_nothing() -> None:
    run = a.run(a.sample(0, BARE, 100), a.sample(0, OURS, 50), a.sample(1, OURS, 90))
    assert ratios.compared(run, ratios.rate, OURS, BARE, "logistic", 64) == 0.5


def test_what_was_not_measured_has_no_ratio() -> None:
    run = a.run(a.sample(0, OURS, 50))
    assert ratios.compared(run, ratios.rate, OURS, BARE, "logistic", 64) is None
    assert ratios.median(run, ratios.p99, BARE, "logistic", 64) is None
    assert ratios.fastest(run, [BARE], "logistic", 64) is None


def test_a_difference_is_of_two_measured_in_the_same_round() -> None:
    run = a.run(
        a.sample(0, BARE, 100, connections=1, p50=0.3), a.sample(0, OURS, 100, connections=1, p50=0.5),
        a.sample(1, BARE, 100, connections=1, p50=0.9), a.sample(1, OURS, 100, connections=1, p50=1.1),
    )  # fmt: skip
    found = ratios.compared(run, ratios.p50, OURS, BARE, "logistic", 1, minus=True)
    assert found == pytest.approx(0.2)


def test_refused_requests_are_no_answers_and_are_counted_over_all_rounds() -> None:
    run = a.run(a.sample(0, OURS, 50, refused=7), a.sample(1, OURS, 60, refused=3))
    assert ratios.errors(run, OURS, "logistic", 64) == 10
    assert ratios.median(run, ratios.rate, OURS, "logistic", 64) == 55


def test_the_rate_of_processor_time_leaves_out_what_others_took() -> None:
    # Half of the two seconds were somebody else's.
    assert ratios.rate_of_cpu(a.sample(0, OURS, 1_000)) == 2_000
