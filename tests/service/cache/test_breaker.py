"""The breaker: three failures within ten seconds open it, and only a probe closes it."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroll_server.cache import store
from modelroll_server.cache.breaker import Breaker


def test_until_then_a_look_up_waits_twenty_milliseconds_at_most() -> None:
    """The tests of the store are more patient with the machine; this is what callers are promised."""
    assert store.BUDGET == 0.02


@pytest.mark.parametrize(
    ("times", "is_open"),
    [([0, 1], False), ([0, 1, 2], True), ([0, 5, 10], True), ([0, 5, 10.5], False), ([0, 5, 10.5, 11], True)],
)
def test_three_failures_within_ten_seconds_open_it(times: Sequence[float], is_open: bool) -> None:
    breaker = Breaker()
    opened = [breaker.failed(at) for at in times]
    assert breaker.is_open is is_open
    assert opened == [False] * (len(times) - 1) + [is_open]


def test_it_forgets_what_failed_when_it_is_closed() -> None:
    breaker = Breaker()
    for at in (0, 1, 2):
        breaker.failed(at)
    breaker.close()
    assert not breaker.is_open
    assert not breaker.failed(3)
    assert not breaker.failed(4)
    assert breaker.failed(5)


def test_it_says_once_that_it_opened() -> None:
    breaker = Breaker()
    assert [breaker.failed(0) for _ in range(5)] == [False, False, True, False, False]


@given(st.lists(st.floats(0, 60), max_size=20).map(sorted))
def test_it_opens_exactly_when_three_fell_within_ten_seconds(times: list[float]) -> None:
    breaker = Breaker()
    for at in times:
        breaker.failed(at)
    assert breaker.is_open is any(third - first <= 10 for first, third in zip(times, times[2:], strict=False))
