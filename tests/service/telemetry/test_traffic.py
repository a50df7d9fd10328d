"""What was asked lately: differences of a histogram, whoever looks and however often."""

import bisect
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroll_server.telemetry.metrics import LATENCY_BUCKETS, Metrics
from modelroll_server.telemetry.traffic import WINDOW, Traffic, quantile


class Clock:
    """A clock that stands still until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def observed(metrics: Metrics, version: str, *seconds: float) -> None:
    """Requests to a version, by the seconds that they took."""
    for each in seconds:
        metrics.of_version("churn", version).latency.observe(each)


def counted(seconds: Sequence[float]) -> dict[float, float]:
    """The buckets of a histogram, added up from the lowest."""
    buckets = {bound: float(sum(one <= bound for one in seconds)) for bound in LATENCY_BUCKETS}
    return {**buckets, float("inf"): float(len(seconds))}


def test_the_first_look_is_about_the_time_since_the_start() -> None:
    metrics, clock = Metrics(), Clock()
    traffic = Traffic(metrics.latency.collect, clock)
    observed(metrics, "1.2.0", 0.002, 0.002, 0.002)
    observed(metrics, "2.0.0", 0.002)
    clock.now += 8
    found = traffic.document()
    assert (found["seconds"], found["requests_per_second"]) == (8.0, 0.5)
    assert found["requests"] == {"1.2.0": 3, "2.0.0": 1}
    assert 0.001 < found["p50_seconds"] <= found["p99_seconds"] <= 0.0025
    assert found["finest_seconds"] == LATENCY_BUCKETS[0]


def test_nobody_who_asked_is_no_latency_and_no_version() -> None:
    found = Traffic(Metrics().latency.collect, Clock()).document()
    assert found["requests_per_second"] == 0
    assert (found["p50_seconds"], found["p99_seconds"], found["requests"]) == (None, None, {})


def test_what_is_older_than_a_minute_is_forgotten_while_somebody_looks() -> None:
    metrics, clock = Metrics(), Clock()
    traffic = Traffic(metrics.latency.collect, clock)
    observed(metrics, "1.2.0", 5.0)
    for _ in range(int(WINDOW) + 2):
        clock.now += 1
        traffic.document()
    observed(metrics, "2.0.0", 0.002)
    clock.now += 1
    found = traffic.document()
    assert found["requests"] == {"2.0.0": 1}
    assert found["p99_seconds"] < 0.01
    assert WINDOW - 1 <= found["seconds"] <= WINDOW


@given(st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 5)), max_size=60))
def test_requests_between_two_looks_are_told_of_wherever_the_looks_are(steps: list[tuple[float, int]]) -> None:
    metrics, clock = Metrics(), Clock()
    traffic = Traffic(metrics.latency.collect, clock)
    asked: list[float] = []
    for pause, requests in steps:
        clock.now += pause / 2
        observed(metrics, "1.2.0", *[0.01] * requests)
        asked += [clock.now] * requests
        clock.now += pause / 2
        found = traffic.document()
        since = clock.now - found["seconds"]
        expected = sum(one > since - 0.001 for one in asked)
        assert found["requests"].get("1.2.0", 0) == expected
        assert found["requests_per_second"] == pytest.approx(expected / found["seconds"], rel=0.1)


@given(st.lists(st.floats(0, 20), min_size=1, max_size=200), st.sampled_from([0.01, 0.5, 0.99]))
def test_a_quantile_is_in_the_bucket_of_the_request_that_it_is_of(seconds: list[float], share: float) -> None:
    found = quantile(counted(seconds), share)
    ranked = sorted(seconds)
    rank = next(index for index in range(1, len(ranked) + 1) if index >= share * len(ranked))
    bounds = (0.0, *LATENCY_BUCKETS)
    at = bisect.bisect_left(LATENCY_BUCKETS, ranked[rank - 1])
    assert found is not None
    if at == len(LATENCY_BUCKETS):
        assert found == LATENCY_BUCKETS[-1]
    else:
        assert bounds[at] <= found <= bounds[at + 1]
