"""The record of Ready pods sees a pod lost, and takes for explained only what the test itself took."""

import pytest

from harness.readiness import HEARD_WITHIN, Readiness, Sample


def below(*ready: str, taken: str = "", floor: int = 3, seconds: float = 10.0) -> int:
    """How many moments, so many seconds apart, were too low; each pod is a letter."""
    samples = [Sample(seconds * index, frozenset(pods)) for index, pods in enumerate(ready)]
    return len(Readiness("namespace", "selector", samples, taken=set(taken)).below(floor))


def test_before_the_floor_is_reached_nothing_is_lost() -> None:
    assert below("", "a", "ab", "abc") == 0


def test_a_lost_pod_is_seen() -> None:
    assert below("abc", "ab", "abd") == 1
    assert below("abcd", "abc", "ab", "abe") == 1


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(("abc", "bc", "bcd"), id="replaced"),
        pytest.param(("abcd", "bcd", "cd", "cde"), id="taken while there is one to spare that is given up as well"),
        pytest.param(("abcd", "acd", "cd", "cde"), id="taken after the spare one was given up"),
    ],
)
def test_a_pod_that_the_test_took_explains_its_own_loss(samples: tuple[str, ...]) -> None:
    assert below(*samples, taken="a") == 0


def test_a_pod_that_the_test_took_explains_no_second_loss() -> None:
    assert below("abc", "bc", "c", "cd", "cde", taken="a") == 1


def test_once_replaced_it_explains_nothing_more() -> None:
    assert below("abc", "bc", "bcd", "cd", taken="a") == 1


def test_who_rolls_may_hear_of_it_after_it_was_replaced_but_not_long_after() -> None:
    samples = ("abcd", "bcd", "bcde", "cde", "de", "def")
    assert below(*samples, taken="a", seconds=HEARD_WITHIN / 4) == 0
    assert below(*samples, taken="a", seconds=HEARD_WITHIN) == 1
