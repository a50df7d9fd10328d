"""The record of Ready pods sees a pod lost, and takes for explained only what the test itself took."""

import os
from pathlib import Path

import pytest

from harness.readiness import CUT_WITHIN, HEARD_WITHIN, Kill, Readiness, Sample
from harness.waiting import wait_until


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


def windows(*ready: str, kill: Kill) -> list[tuple[float, float]]:
    """While one kill excuses cuts; a sample a second."""
    samples = [Sample(float(index), frozenset(pods)) for index, pods in enumerate(ready)]
    return Readiness("namespace", "selector", samples, kills=[kill]).kill_windows()


def test_a_kill_excuses_cuts_until_its_pod_is_ready_again() -> None:
    assert windows("abc", "abc", "abc", "bc", "bc", "abc", kill=Kill("a", 0.5, 1.5)) == [(0.5, 5.0)]


@pytest.mark.parametrize("after", ["abc", "bc"])
def test_and_not_for_long_when_that_is_not_seen(after: str) -> None:
    assert windows("abc", after, after, kill=Kill("a", 0.5, 1.5)) == [(0.5, 1.5 + CUT_WITHIN)]
    assert windows("abc", *["bc"] * 60, "abc", kill=Kill("a", 0.5, 1.5)) == [(0.5, 1.5 + CUT_WITHIN)]


def test_a_pod_was_lost_when_it_was_not_ready_once_since() -> None:
    readiness = Readiness("namespace", "selector", [Sample(1.0, frozenset("b")), Sample(2.0, frozenset("ab"))])
    assert readiness.was_lost("a", 0.5)
    assert not readiness.was_lost("a", 1.5)


def test_all_that_the_test_took_at_once_explain_one_another_until_all_are_replaced() -> None:
    assert below("abc", "bc", "c", "", "d", "de", "def", taken="abc") == 0
    assert below("abc", "bc", "c", "", "d", "de", "def", "de", taken="abc") == 1


def test_a_watch_that_ends_before_the_test_does_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "kubectl"
    script.write_text("""#!/bin/sh\necho '{"type": "ADDED", "object": {"metadata": {"name": "a"}}}'\n""")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(RuntimeError, match="ended before the test"), Readiness("namespace", "selector") as readiness:
        wait_until(lambda: not readiness.is_watching, 20)
