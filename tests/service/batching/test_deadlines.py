"""Deadlines: who is late is told in time, whatever computes, and one timer a queue is enough for it."""

import asyncio
import contextlib
import gc
import weakref
from typing import Any

import pytest

from modelroll_server import errors
from modelroll_server.batching.batcher import Limits
from modelroll_server.tensors import Table
from stand_in_batcher import Desk, Held, desk, labels, learnt, rows, soon


async def test_who_is_late_is_told_in_time_and_not_computed(alone: Desk) -> None:
    held = Held()
    batcher = alone.batcher(held.wait)
    computing = batcher.submit(rows(1), 1, soon(0.5))
    await held.begun()
    waiting = batcher.submit(rows(2), 1, soon(0.02))
    patient = batcher.submit(rows(3), 1, soon())
    for late in (waiting, computing):
        with pytest.raises(errors.DeadlineExceeded):
            await late
    assert not held.may_end.is_set()
    held.may_end.set()
    assert labels(await patient) == [3]
    assert alone.batches == [[1], [3]]
    with pytest.raises(errors.DeadlineExceeded):
        batcher.submit(rows(1), 1, soon(-1))


async def test_a_request_in_two_threads_is_late_while_one_of_them_computes() -> None:
    found = desk(threads=2)
    held = Held()

    def slow_for_the_first(computed: Table) -> None:
        if computed.columns[0][0] == 0:
            held.wait(computed)

    batcher = found.batcher(slow_for_the_first, Limits(rows=2))
    sliced = batcher.submit(rows(0, 1, 2, 3), 4, soon(0.5))
    await held.begun()
    with pytest.raises(errors.DeadlineExceeded):
        await asyncio.wait_for(sliced, 5)
    held.may_end.set()
    found.threads.close()


async def test_a_batcher_that_nobody_asks_any_more_is_gone_before_its_last_deadline(alone: Desk) -> None:
    batcher = alone.batcher()
    await learnt(batcher)
    left = weakref.ref(batcher)
    del batcher
    gc.collect()
    assert left() is None


class CountsTimers(asyncio.SelectorEventLoop):
    """An event loop that knows the timers that were set and neither ran nor were cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[asyncio.TimerHandle] = []

    def call_at(self, when: float, *arguments: Any, **named: Any) -> asyncio.TimerHandle:  # type: ignore[override] # any
        handle = super().call_at(when, *arguments, **named)
        self.timers.append(handle)
        return handle

    def pending(self) -> int:
        return sum(not handle.cancelled() and handle.when() > self.time() for handle in self.timers)


def test_however_the_deadlines_lie_one_timer_watches_them() -> None:
    async def run(loop: CountsTimers) -> None:
        found = desk()
        held = Held()
        batcher = found.batcher(held.wait)
        computing = batcher.submit(rows(0), 1, soon())
        await held.begun()
        late = [batcher.submit(rows(tenure), 1, soon(0.01 * (30 - tenure % 30))) for tenure in range(1, 100)]
        while not all(future.done() for future in late):
            assert loop.pending() <= 2  # and the one of `sleep`
            await asyncio.sleep(0.01)
        held.may_end.set()
        await computing
        found.threads.close()
        assert all(isinstance(future.exception(), errors.DeadlineExceeded) for future in late)

    loop = CountsTimers()
    with contextlib.closing(loop):
        loop.run_until_complete(run(loop))
