"""What is being computed just now, so that nobody computes it a second time.

A flight belongs to nobody: the request that began it may leave, and it goes on as long as one waits for it. An error
reaches those who wait, and is not kept.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from modelroll_server.tensors import Answers


class Flight:
    """One computation of some rows.

    Attributes:
        keys: Of its rows.
        deadline: The latest of those who wait, on the clock of `time.monotonic`.
        landed: One future a key.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        loop = asyncio.get_running_loop()
        self.keys = tuple(keys)
        self.deadline = 0.0
        self.landed: dict[bytes, asyncio.Future[Answers]] = {key: loop.create_future() for key in keys}
        self._waiters = 0
        self._task: asyncio.Task[None] | None = None

    def begin(self, compute: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run what lands its keys, all of them, or raises."""
        self._task = asyncio.create_task(self._run(compute))

    def join(self, deadline: float) -> None:
        """One more waits."""
        self._waiters += 1
        self.deadline = max(self.deadline, deadline)

    def leave(self) -> bool:
        """One waits no longer; true if it was the last, and the flight has ended for want of anybody."""
        self._waiters -= 1
        if self._waiters or self._task is None or self._task.done():
            return False
        self._task.cancel()
        return True

    def land(self, key: bytes, answers: Answers) -> None:
        """One key's answer is there."""
        if not (future := self.landed[key]).done():
            future.set_result(answers)

    async def _run(self, compute: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await compute()
        except Exception as error:  # noqa: BLE001 - each who waits raises it
            for future in self.landed.values():
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # not all look: some have left, and some need one key only
        finally:
            for future in self.landed.values():
                future.cancel()


class Flights:
    """The flights of one process, by the keys that have not landed."""

    def __init__(self) -> None:
        self._flying: dict[bytes, Flight] = {}

    def get(self, key: bytes) -> Flight | None:
        """The flight that has this key on board."""
        return self._flying.get(key)

    def add(self, flight: Flight) -> None:
        """Let others join."""
        self._flying.update(dict.fromkeys(flight.keys, flight))

    def remove(self, flight: Flight, keys: Iterable[bytes]) -> None:
        """Let nobody join for these keys any more."""
        for key in keys:
            if self._flying.get(key) is flight:
                del self._flying[key]
