"""An event loop for which no time need pass: where it would only wait, its clock is put forward to the next timer."""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


def skipping_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Have a test run on such a loop; fixtures that are async have another."""

    @functools.wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=SkippingLoop) as runner:
            runner.run(test(*arguments, **named))

    return run


class SkippingLoop(asyncio.SelectorEventLoop):
    """Its timers run in their order, however short of time the machine is. It must not wait for threads or sockets.

    Attributes:
        skipped: Seconds by which its clock is ahead.
    """

    def __init__(self) -> None:
        self.skipped = 0.0
        super().__init__(_Skips(self))

    def time(self) -> float:
        """Seconds."""
        return super().time() + self.skipped


class _Skips(selectors.SelectSelector):
    def __init__(self, loop: SkippingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, Any]]:
        if timeout is None:
            return super().select()
        found = super().select(0)
        self._loop.skipped += 0 if found else timeout
        return found
