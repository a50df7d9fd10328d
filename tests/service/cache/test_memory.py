"""Answers in memory: the least recently used leave first, none outlives its time, and the bytes are about right."""

import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroll_server.cache.memory import Memory
from modelroll_server.tensors import Answers, Outputs

HOUR = 3600.0


def answers(number: int = 0, classes: int = 2) -> Answers:
    return Answers.of(Outputs(np.array([number]), np.full((1, classes), 0.5)))


def size_of(one: Answers) -> int:
    kept = Memory(10**9)
    kept.put(b"", one, HOUR)
    return kept.bytes


def test_the_least_recently_used_leaves_first() -> None:
    kept = Memory(3 * size_of(answers()))
    for key in (b"a", b"b", b"c"):
        kept.put(key, answers(), HOUR)
    assert kept.get(b"a") is not None
    kept.put(b"d", answers(), HOUR)
    assert [key for key in (b"a", b"b", b"c", b"d") if kept.get(key)] == [b"a", b"c", b"d"]


def test_an_answer_ends_with_its_time() -> None:
    now = 100.0
    kept = Memory(10**6, lambda: now)
    kept.put(b"a", answers(), 5.0)
    now = 104.9
    assert kept.get(b"a") is not None
    now = 105.0
    assert kept.get(b"a") is None
    assert (len(kept), kept.bytes) == (0, 0)


def test_an_answer_without_time_left_is_not_kept() -> None:
    kept = Memory(10**6)
    kept.put(b"a", answers(), 0.0)
    assert len(kept) == 0


def test_what_is_larger_than_all_there_is_room_for_drives_nobody_out() -> None:
    kept = Memory(2 * size_of(answers()))
    kept.put(b"a", answers(), HOUR)
    kept.put(b"b", answers(classes=10_000), HOUR)
    assert (kept.get(b"a") is not None, kept.get(b"b")) == (True, None)


def test_without_room_nothing_is_kept() -> None:
    kept = Memory(0)
    kept.put(b"a", answers(), HOUR)
    assert len(kept) == 0


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c", b"d", b"e"]), st.integers(1, 50)), max_size=30))
def test_the_bytes_are_those_of_what_is_kept_and_never_too_many(puts: list[tuple[bytes, int]]) -> None:
    kept = Memory(3_500)
    last: dict[bytes, Answers] = {}
    for key, classes in puts:
        one = answers(classes=classes)
        kept.put(key, one, HOUR)
        last[key] = one
        assert kept.bytes <= 3_500
        found = [(key, kept.get(key)) for key in last]
        assert all(one is None or one is last[key] for key, one in found)
        assert kept.bytes == sum(size_of(one) for _, one in found if one is not None)


@pytest.mark.parametrize("classes", [2, 100])
def test_the_bytes_are_about_those_that_the_process_takes(classes: int) -> None:
    kept = Memory(10**9)
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1_000):
            one = answers(number, classes)
            one.lists()  # as whoever is answered asks for them
            kept.put(number.to_bytes(32, "big"), one, HOUR)
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.7 < kept.bytes / taken < 1.5
