"""When to stop asking: three failures within ten seconds. It is told the time, and asks nobody."""

import collections

FAILURES = 3
WITHIN = 10.0  # seconds


class Breaker:
    """Open while there is no use in asking.

    Attributes:
        is_open: Whether nobody is to be asked.
    """

    def __init__(self) -> None:
        self.is_open = False
        self._failures: collections.deque[float] = collections.deque(maxlen=FAILURES)

    def failed(self, now: float) -> bool:
        """Take note of a failure at that time; true if this one opened it."""
        if self.is_open:
            return False
        self._failures.append(now)
        self.is_open = len(self._failures) == FAILURES and now - self._failures[0] <= WITHIN
        return self.is_open

    def close(self) -> None:
        """A probe was answered: what failed before counts no more."""
        self.is_open = False
        self._failures.clear()
