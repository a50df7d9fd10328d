"""The threads that compute what is too dear for the event loop, and who is next when one is free."""

import asyncio
import collections
import concurrent.futures
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Waits(Protocol):
    """Something that has work for a free thread."""

    def thread_is_free(self) -> None:
        """Called on the event loop, once for each time that it asked."""


class Threads:
    """A fixed number of threads for all who compute; used from one event loop."""

    def __init__(self, count: int) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(count, thread_name_prefix="infer")
        self._free = count
        self._waiting: collections.deque[Waits] = collections.deque()

    @property
    def free(self) -> int:
        """How many of them compute nothing."""
        return self._free

    def has_free(self, who: Waits) -> bool:
        """Whether `submit` may be called now; if not, `who` is told once when it may."""
        if self._free > 0:
            return True
        if who not in self._waiting:
            self._waiting.append(who)
        return False

    def submit(self, compute: Callable[[], T], done: Callable[[T], None]) -> None:
        """Run `compute`, which must not raise, in a free thread; then `done` with its result on the event loop."""
        loop = asyncio.get_running_loop()
        self._free -= 1

        def run() -> None:
            result = compute()
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._finish, done, result)

        self._pool.submit(run)

    def close(self) -> None:
        """Compute nothing further; what runs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _finish(self, done: Callable[[T], None], result: T) -> None:
        self._free += 1
        done(result)
        while self._free > 0 and self._waiting:  # who is told may have nothing left to compute
            self._waiting.popleft().thread_is_free()
