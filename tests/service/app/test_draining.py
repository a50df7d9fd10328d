"""When a server that was told to end goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroll_server.draining import LONGEST, QUIET, Departure, Stage, Terms

TERMS = Terms(delay=6, noticed=7)


def course(terms: Terms, comes_until: float, every: float = 0.5) -> dict[Stage, float]:
    """When each stage is first seen, of a server that is asked at every look until then."""
    departure = Departure(terms, 0.0, 0)
    seen: dict[Stage, float] = {}
    for look in range(10_000):
        now = look * every
        requests = int(min(now, comes_until) / every)
        stage = departure.look(now, requests)
        seen.setdefault(stage, now)
        if stage is Stage.GONE:
            return seen
    raise AssertionError("it never goes")


@pytest.mark.parametrize(
    ("terms", "comes_until", "unwanted", "gone"),
    [
        (TERMS, 0, 2, 9),  # the others took its requests at once
        (TERMS, 3, 5, 12),  # and after three seconds
        (TERMS, 99, 12, 19),  # whoever still comes has had twice the time that the others need
        (Terms(delay=6), 0, 2, 6),  # nobody looks: it stays as long as it was told to
        (Terms(delay=6), 5.5, 7.5, 7.5),
        (Terms(delay=6), 99, 12, 12),
        (Terms(delay=6, noticed=1), 0, 2, 6),  # it is noticed soon, and was to stay longer
    ],
)
def test_a_server_goes_once_nobody_comes_and_that_is_seen(
    terms: Terms, comes_until: float, unwanted: float, gone: float
) -> None:
    seen = course(terms, comes_until)
    assert (seen.get(Stage.UNWANTED, seen[Stage.GONE]), seen[Stage.GONE]) == (unwanted, gone)


def test_who_comes_after_it_was_said_is_waited_for_but_not_taken_back() -> None:
    departure = Departure(TERMS, 0.0, 0)
    assert departure.look(2.0, 0) is Stage.UNWANTED
    assert departure.look(8.9, 1) is Stage.UNWANTED
    assert departure.look(9.0, 1) is Stage.UNWANTED  # one came a moment ago
    assert departure.look(10.9, 1) is Stage.GONE


@given(
    delay=st.floats(0.1, 60),
    noticed=st.floats(0, 60),
    steps=st.lists(st.tuples(st.floats(0.01, 5), st.integers(0, 3)), min_size=1, max_size=200),
)
def test_whatever_comes_it_stays_long_enough_and_not_for_ever(
    delay: float, noticed: float, steps: list[tuple[float, int]]
) -> None:
    terms = Terms(delay, noticed)
    departure = Departure(terms, 0.0, 0)
    now, requests, said = 0.0, 0, None
    for seconds, more in steps:
        now += seconds
        requests += more
        stage = departure.look(now, requests)
        if stage is Stage.WANTED:
            assert said is None
            assert now < LONGEST * delay
        elif said is None:
            said = now
            assert now >= QUIET * delay
        if stage is Stage.GONE:
            assert said is not None
            assert now >= delay
            assert now - said >= noticed or now >= terms.longest
            return
    assert now < terms.longest
