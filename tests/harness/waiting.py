"""Waiting for what another process, or another task, brings about."""

import time
from collections.abc import Callable
from typing import TypeVar

POLL_SECONDS = 0.2

Said = TypeVar("Said")


def wait_until(predicate: Callable[[], Said], deadline: float = 60, *, what: str = "") -> Said:
    """Poll until the predicate says something true, and return that.

    Args:
        predicate: asked again and again; its last answer is part of the failure.
        deadline: seconds after which the wait is a failure.
        what: what is waited for, in words.
    """
    end = time.monotonic() + deadline
    while not (said := predicate()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:.0f} s: {what or predicate} (last: {said!r})")
        time.sleep(POLL_SECONDS)
    return said


def holds_for(predicate: Callable[[], bool], seconds: float, *, what: str) -> None:
    """Poll for so many seconds that something stays true: that nothing happens can only be seen over time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert predicate(), f"did not stay true: {what}"
        time.sleep(POLL_SECONDS)
