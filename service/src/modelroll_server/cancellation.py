"""Cancelling what may lose it: before Python 3.12 `asyncio.wait_for` does, if its own wait ends at that moment.

The brokers' and Redis' clients send by it. So what goes round in a loop looks whether it was cancelled, and who waits
for a task to end tells it more than once, and does not wait for ever.
"""

import asyncio
import time
from typing import Any

AGAIN = 0.5  # seconds until it is told again
LONGEST = 2.0  # seconds that it is waited for


def check() -> None:
    """End the task that calls this if it was cancelled, and something that it called has lost that.

    Raises:
        CancelledError: it was.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def cancel(task: asyncio.Task[Any], seconds: float = LONGEST) -> None:
    """Cancel a task, and wait until it has ended, for so many seconds at most; what it raised is not logged."""
    until = time.monotonic() + seconds
    while not task.done() and (left := until - time.monotonic()) > 0:
        task.cancel()
        await asyncio.wait({task}, timeout=min(AGAIN, left))
    if task.done() and not task.cancelled():
        task.exception()  # else asyncio logs that nobody saw it
