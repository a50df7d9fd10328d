"""Batches: who arrives together is computed together, each gets its own answers, and nobody harms another."""

import asyncio
import contextlib
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stand_in
from modelroll_server import errors
from modelroll_server.batching import batcher as batching
from modelroll_server.batching.batch import Computation
from modelroll_server.batching.batcher import Batcher, Limits
from modelroll_server.tensors import Answers, Outputs, Table
from stand_in_batcher import SCHEMA, Desk, Held, desk, labels, learnt, left, rows, soon, table


async def test_who_arrives_in_one_turn_of_the_loop_is_one_batch(alone: Desk) -> None:
    batcher = alone.batcher()
    await learnt(batcher)
    alone.batches.clear()
    found = await asyncio.gather(*(batcher.submit(rows(tenure), 1, soon()) for tenure in range(5)))
    assert [labels(one) for one in found] == [[0], [1], [2], [3], [4]]
    assert alone.batches == [[0, 1, 2, 3, 4]]


async def test_who_arrives_while_the_loop_is_busy_is_in_the_batch(alone: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "GATHER_SECONDS", 10)  # however slow the machine is
    batcher = alone.batcher()
    await learnt(batcher)
    alone.batches.clear()
    futures = []
    for tenure in range(3):  # one a turn, each of which takes a while, as where a transport hands over one at a time
        futures.append(batcher.submit(rows(tenure), 1, soon()))
        end = time.monotonic() + 0.0003
        while time.monotonic() < end:
            pass
        await asyncio.sleep(0)
    await asyncio.gather(*futures)
    assert alone.batches == [[0, 1, 2]]


async def test_who_arrives_while_a_batch_is_computed_is_the_next(alone: Desk) -> None:
    held = Held()
    batcher = alone.batcher(held.wait)
    first = batcher.submit(rows(1), 1, soon())
    await held.begun()
    others = [batcher.submit(rows(tenure), 1, soon()) for tenure in (2, 3)]
    await asyncio.sleep(0)
    assert alone.batches == [[1]]
    held.may_end.set()
    await asyncio.gather(first, *others)
    assert alone.batches == [[1], [2, 3]]


class Skips(asyncio.SelectorEventLoop):
    """An event loop whose clock is put forward."""

    skipped = 0.0

    def time(self) -> float:
        return super().time() + self.skipped


def test_a_batch_waits_for_more_only_when_told_to() -> None:
    async def run(loop: Skips) -> None:
        alone = desk()
        batcher = alone.batcher(limits=Limits(delay=1000))
        first = batcher.submit(rows(1), 1, soon(9000))
        for _ in range(10):
            await asyncio.sleep(0.001)
        assert alone.batches == []
        second = batcher.submit(rows(2), 1, soon(9000))
        loop.skipped = 1000
        await asyncio.gather(first, second)
        alone.threads.close()
        assert alone.batches == [[1, 2]]

    loop = Skips()
    with contextlib.closing(loop):
        loop.run_until_complete(run(loop))


async def test_what_is_cheap_is_computed_on_the_event_loop_and_what_is_dear_is_not(alone: Desk) -> None:
    where: list[threading.Thread] = []
    batcher = alone.batcher(lambda _: where.append(threading.current_thread()))
    await learnt(batcher)
    assert where[-1] is threading.main_thread()

    def slowly(_: Table) -> None:
        where.append(threading.current_thread())
        time.sleep(0.05)

    slow = alone.batcher(slowly)
    for _ in range(3):
        await slow.submit(rows(0), 1, soon())
    assert all(thread is not threading.main_thread() for thread in where[-3:])


async def test_a_large_request_takes_turns_with_others() -> None:
    found = desk()
    held = Held()
    batcher = found.batcher(held.wait)
    large = batcher.submit(rows(*range(500)), 500, soon())
    await held.begun()
    small = batcher.submit(rows(1000), 1, soon())
    done: list[str] = []
    large.add_done_callback(lambda _: done.append("large"))
    small.add_done_callback(lambda _: done.append("small"))
    held.may_end.set()
    assert labels(await large) == list(range(500))
    assert labels(await small) == [1000]
    assert done == ["small", "large"]
    assert [1000 in batch for batch in found.batches[:3]] == [False, False, True]
    found.threads.close()


async def test_batches_grow_while_they_are_cheap() -> None:
    found = desk()
    batcher = found.batcher()
    assert labels(await batcher.submit(rows(*range(5000)), 5000, soon())) == list(range(5000))
    assert max(len(batch) for batch in found.batches) > 32
    found.threads.close()


async def test_rows_and_tables_are_computed_together(alone: Desk) -> None:
    batcher = alone.batcher()
    futures = [
        batcher.submit(table(1, 2), 2, soon()),
        batcher.submit(rows(3), 1, soon()),
        batcher.submit(table(4), 1, soon()),
    ]
    assert [labels(one) for one in await asyncio.gather(*futures)] == [[1, 2], [3], [4]]
    assert alone.batches == [[1, 2, 3, 4]]


async def test_a_bad_row_fails_its_own_request_alone(alone: Desk) -> None:
    def refuse(computed: Table) -> None:
        if 13 in computed.columns[0]:
            raise ValueError("thirteen")

    batcher = alone.batcher(refuse)
    futures = [batcher.submit(rows(tenure), 1, soon()) for tenure in (1, 13, 2)]
    good, bad, other = await asyncio.gather(*futures, return_exceptions=True)
    assert isinstance(bad, errors.InferenceFailed)
    assert "thirteen" not in bad.message
    assert isinstance(good, Answers)
    assert isinstance(other, Answers)
    assert (labels(good), labels(other)) == ([1], [2])


async def test_a_model_that_answers_another_number_of_rows_fails(alone: Desk) -> None:
    class Short(stand_in.Echo):
        def predict(self, given_rows: Table) -> Outputs:
            return super().predict(given_rows).slice(0, given_rows.rows - 1)

    batcher = Batcher(
        Computation(Short(), SCHEMA, "churn", "1.0.0"),
        threads=alone.threads,
        admission=alone.admission,
        limits=Limits(),
        metrics=alone.metrics,
        batch_rows=alone.metrics.batch_rows.labels("churn", "1.0.0"),
    )
    with pytest.raises(errors.InferenceFailed):
        await batcher.submit(rows(1, 2), 2, soon())


async def test_what_waits_is_bounded_until_it_is_computed_or_given_up(alone: Desk) -> None:
    held = Held()
    batcher = alone.batcher(held.wait)
    first = batcher.submit(rows(*range(32)), 32, soon())
    await held.begun()
    second = batcher.submit(rows(*range(10)), 10, soon())
    with pytest.raises(errors.Overloaded, match="10 rows are waiting already"):
        batcher.submit(rows(1), 1, soon())
    with pytest.raises(errors.Overloaded):
        alone.batcher().submit(rows(1), 1, soon())
    second.cancel()
    third = batcher.submit(rows(*range(10)), 10, soon())
    held.may_end.set()
    assert [one.rows for one in await asyncio.gather(first, third)] == [32, 10]
    assert alone.admission.rows == 0


async def test_a_request_alone_may_be_larger_than_the_bound(alone: Desk) -> None:
    assert (await alone.batcher().submit(rows(*range(50)), 50, soon())).rows == 50


async def test_a_caller_who_gives_up_harms_nobody_in_its_batch(alone: Desk) -> None:
    held = Held()
    batcher = alone.batcher(held.wait)
    futures = [batcher.submit(rows(tenure), 1, soon()) for tenure in range(3)]
    await held.begun()
    futures[1].cancel()
    held.may_end.set()
    assert (labels(await futures[0]), labels(await futures[2])) == ([0], [2])


async def test_two_versions_share_the_threads_and_neither_starves() -> None:
    found = desk()
    held = Held()
    one, other = found.batcher(held.wait), found.batcher(lambda _: time.sleep(0.002))
    first = one.submit(rows(1), 1, soon())
    await held.begun()
    waiting = [batcher.submit(rows(2), 1, soon()) for batcher in (other, one, other)]
    await asyncio.sleep(0)
    held.may_end.set()
    assert [labels(answers) for answers in await asyncio.gather(first, *waiting)] == [[1], [2], [2], [2]]
    found.threads.close()


async def test_a_free_thread_goes_to_whoever_still_has_something_to_compute() -> None:
    found = desk()
    held = Held()
    first = found.batcher(held.wait).submit(rows(1), 1, soon())
    await held.begun()
    given_up = found.batcher().submit(rows(2), 1, soon())
    last = found.batcher().submit(rows(3), 1, soon())
    await asyncio.sleep(0)  # both wait for the thread
    given_up.cancel()
    held.may_end.set()
    assert [labels(answers) for answers in await asyncio.gather(first, last)] == [[1], [3]]
    found.threads.close()


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 70), st.booleans(), st.integers(0, 9)), min_size=1, max_size=12),
    st.integers(1, 3),
    st.integers(1, 40),
)
def test_each_caller_gets_the_answers_to_its_own_rows_in_order(
    requests: list[tuple[int, bool, int]], threads: int, max_rows: int
) -> None:
    async def run() -> None:
        found = desk(threads)

        def refuse(computed: Table) -> None:
            if np.any(computed.columns[0] < 0):
                raise ValueError

        batcher = found.batcher(refuse, Limits(rows=max_rows))
        expected: list[list[int]] = []
        futures = []
        for number, (count, as_table, kind) in enumerate(requests):
            tenures = [number * 1000 + index for index in range(count)]
            if kind == 0:
                tenures[-1] = -1
            expected.append(tenures)
            futures.append(batcher.submit((table if as_table else rows)(*tenures), count, soon()))
            if kind == 1:
                futures[-1].cancel()
            if kind == 2:
                await asyncio.sleep(0)
        answered = await asyncio.gather(*futures, return_exceptions=True)
        for tenures, answers, (_, _, kind) in zip(expected, answered, requests, strict=True):
            failure = {0: errors.InferenceFailed, 1: asyncio.CancelledError}.get(kind)
            if failure is not None:
                assert isinstance(answers, failure)
                continue
            assert isinstance(answers, Answers)
            assert (labels(answers), answers.first()[0]) == (tenures, tenures[0])
            assert answers.lists()["prediction"] == tenures
        await left(found)
        found.threads.close()

    asyncio.run(run())
