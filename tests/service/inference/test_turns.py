"""Turns: the bound counts what waits, not what is being computed; a late request is not computed at all."""

import asyncio
import threading
import time

import numpy as np
import pytest

import stand_in
from modelroll_server import errors
from modelroll_server.inference import Inference, Turns
from modelroll_server.registry.registry import Registry
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.tensors import Table


def table(rows: int) -> Table:
    return Table(("tenure", "charges"), (np.arange(rows), np.zeros(rows)), rows)


class Held:
    """What a model does that computes until it is let go."""

    def __init__(self) -> None:
        self.computing, self.may_end = threading.Event(), threading.Event()

    def wait(self, _: Table) -> None:
        self.computing.set()
        assert self.may_end.wait(10)


async def test_what_waits_is_bounded_until_it_is_computed_or_given_up() -> None:
    turns = Turns(1, Metrics(), max_queued_rows=10)
    held = Held()
    first = asyncio.create_task(turns.run(stand_in.Echo(held.wait), table(50), time.monotonic() + 10))
    await asyncio.to_thread(held.computing.wait, 10)
    second = asyncio.create_task(turns.run(stand_in.Echo(), table(10), time.monotonic() + 10))
    await asyncio.sleep(0)
    with pytest.raises(errors.Overloaded, match="10 rows are waiting already"):
        await turns.run(stand_in.Echo(), table(1), time.monotonic() + 10)
    second.cancel()
    await asyncio.wait([second])
    third = asyncio.create_task(turns.run(stand_in.Echo(), table(10), time.monotonic() + 10))
    await asyncio.sleep(0.01)
    held.may_end.set()
    assert [(await one).rows for one in (first, third)] == [50, 10]
    turns.close()


async def test_a_large_request_that_is_being_computed_refuses_nobody() -> None:
    turns = Turns(2, Metrics(), max_queued_rows=10)
    held = Held()
    large = asyncio.create_task(turns.run(stand_in.Echo(held.wait), table(5000), time.monotonic() + 10))
    await asyncio.to_thread(held.computing.wait, 10)
    await asyncio.sleep(0)
    assert (await turns.run(stand_in.Echo(), table(1), time.monotonic() + 10)).rows == 1
    held.may_end.set()
    await large
    turns.close()


async def test_a_request_that_waited_past_its_deadline_is_not_computed() -> None:
    turns = Turns(1, Metrics())
    may_end, computed = threading.Event(), threading.Event()

    def wait(_: Table) -> None:
        assert may_end.wait(10)

    first = asyncio.create_task(turns.run(stand_in.Echo(wait), table(1), time.monotonic() + 10))
    await asyncio.sleep(0)
    with pytest.raises(errors.DeadlineExceeded):
        await turns.run(stand_in.Echo(lambda _: computed.set()), table(1), time.monotonic() + 0.02)
    may_end.set()
    await first
    await turns.run(stand_in.Echo(), table(1), time.monotonic() + 10)
    assert not computed.is_set()
    turns.close()


async def test_a_single_request_may_be_larger_than_the_bound() -> None:
    turns = Turns(1, Metrics(), max_queued_rows=10)
    assert (await turns.run(stand_in.Echo(), table(50), time.monotonic() + 10)).rows == 50
    turns.close()


async def test_no_rows_are_answered_without_asking_the_model() -> None:
    def refuse(_: Table) -> None:
        raise AssertionError

    metrics = Metrics()
    inference = Inference(Registry(metrics), Turns(1, metrics), metrics)
    prediction = await inference.predict(stand_in.version(runtime=stand_in.Echo(refuse)), lambda _: table(0), 0.0)
    assert prediction.outputs.rows == 0
