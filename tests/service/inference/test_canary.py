"""A candidate beside the live version: who answers whom, what is compared, and that no caller pays for it."""

import asyncio
import gc
import math
import threading
import time
import weakref
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

import stand_in
from harness.waiting import wait_until
from modelroll_server import errors
from modelroll_server.batching.batcher import Limits
from modelroll_server.canary import comparison, share
from modelroll_server.inference import Inference
from modelroll_server.registry.beside import Beside, Numbers
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.target import Candidate, Target
from modelroll_server.registry.version import Version
from modelroll_server.runtimes.base import Runtime
from modelroll_server.schema import Row
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.tensors import Answers, Outputs, Table

ROWS: list[Row] = [(tenure, tenure / 1000, "month") for tenure in range(1000)]


def _raise(_: Table) -> None:
    raise ValueError("a model raises what it likes")


def _exit(_: Table) -> None:
    raise SystemExit(1)


class Placed:
    """A registry with 1.0.0 live and 2.0.0 beside it, and what predicts by it."""

    def __init__(
        self,
        percent: float = 0,
        *,
        shadow: bool = False,
        live: Callable[[Table], None] = lambda _: None,
        candidate: Callable[[Table], None] = lambda _: None,
        live_runtime: Runtime | None = None,
        candidate_runtime: Runtime | None = None,
        max_queued_rows: int = 4096,
    ) -> None:
        metrics = Metrics()
        self.registry = Registry(metrics)
        self.live = stand_in.version("1.0.0", live_runtime or stand_in.Echo(live))
        self.registry.swap(self.live, Target("settled", 1, self.live.content))
        self.candidate = stand_in.version("2.0.0", candidate_runtime or stand_in.Echo(candidate))
        asked = Candidate(self.candidate.content, percent, shadow)
        self.registry.beside = self.beside = Beside(self.candidate, asked, 2)
        self.inference = Inference(self.registry, metrics, threads=1, limits=Limits(queued=max_queued_rows))

    def predict(self, *rows: Row) -> asyncio.Future[Answers]:
        return self.inference.predict(self.live, rows, time.monotonic() + 60)

    async def by(self, row: Row) -> Version:
        answers = await self.predict(row)
        assert answers.lists()["prediction"] == [row[0]]
        return self.live if answers.by is None else answers.by


async def test_a_share_of_the_requests_is_answered_by_the_candidate_and_equal_ones_by_the_same() -> None:
    placed = Placed(30)
    found = [await placed.by(row) for row in ROWS]
    share = sum(one is placed.candidate for one in found) / len(ROWS)
    assert 0.25 < share < 0.35
    assert found == [await placed.by(row) for row in ROWS]
    assert placed.beside.numbers.answered == 2 * found.count(placed.candidate)


async def test_who_is_in_a_share_stays_in_it_when_it_grows() -> None:
    few, many = Placed(10), Placed(60)
    for row in ROWS[:200]:
        if await few.by(row) is few.candidate:
            assert await many.by(row) is many.candidate


async def test_equal_rows_go_to_the_same_version_whether_they_came_as_rows_or_as_a_table() -> None:
    placed = Placed(50)
    schema = placed.live.schema
    for row in (*ROWS[:40], (3, float("nan"), "ärger\ud800")):
        table = schema.table([row])
        answers = await placed.inference.predict(placed.live, table, time.monotonic() + 60)
        assert (answers.by or placed.live) is await placed.by(row)


async def test_of_a_large_request_the_first_rows_decide_whose_it_is() -> None:
    placed = Placed(50)
    for at in range(0, 600, 64):
        first = ROWS[at : at + 64]
        assert (await placed.predict(*first)).by is (await placed.predict(*first, *ROWS[:300])).by


async def test_rows_that_the_candidate_raises_on_are_answered_by_the_live_version() -> None:
    placed = Placed(100, candidate=_raise)
    assert await placed.by(ROWS[3]) is placed.live
    assert (placed.beside.numbers.failed, placed.beside.numbers.answered) == (1, 0)


async def test_rows_that_both_raise_on_say_nothing_of_the_candidate() -> None:
    placed = Placed(100, live=_raise, candidate=_raise)
    with pytest.raises(errors.InferenceFailed):
        await placed.predict(ROWS[3])
    assert placed.beside.numbers == Numbers()


class Says:
    """Predicts the same numbers whatever it is given."""

    kind = "stand-in"

    def __init__(self, *numbers: float) -> None:
        self.numbers = np.array(numbers)

    def predict(self, table: Table) -> Outputs:
        """The numbers."""
        return Outputs(self.numbers[: table.rows], None)


@pytest.mark.parametrize("lost", [math.nan, math.inf, -math.inf])
async def test_rows_that_the_candidate_has_no_finite_number_for_are_answered_by_the_live_version(lost: float) -> None:
    placed = Placed(100, live_runtime=Says(1.0, 2.0, 3.0), candidate_runtime=Says(4.0, 5.0, lost))
    answers = await placed.predict(*ROWS[:3])
    assert (answers.by, answers.lists()["prediction"]) == (None, [1.0, 2.0, 3.0])
    assert placed.beside.numbers == Numbers(failed=3, requests=1)
    answers = await placed.predict(*ROWS[:2])
    assert (answers.by, answers.lists()["prediction"]) == (placed.candidate, [4.0, 5.0])


async def test_rows_that_neither_has_a_finite_number_for_say_nothing_of_the_candidate() -> None:
    placed = Placed(100, live_runtime=Says(math.nan, 2.0), candidate_runtime=Says(math.inf, 3.0))
    answers = await placed.predict(*ROWS[:2])
    assert (answers.by, answers.lists()["prediction"]) == (None, [None, 2.0])
    assert placed.beside.numbers == Numbers()


class Hanging:
    """A candidate that computes nothing before it is let go."""

    def __init__(self) -> None:
        self.entered, self.may_end = threading.Event(), threading.Event()

    def __call__(self, _: Table) -> None:
        self.entered.set()
        assert self.may_end.wait(60)


async def test_where_the_candidate_is_late_the_live_version_answers_in_time() -> None:
    hanging = Hanging()
    placed = Placed(100, candidate=hanging)
    began = time.monotonic()
    answers = await placed.inference.predict(placed.live, ROWS[:3], began + 2)
    assert (answers.by, answers.lists()["prediction"]) == (None, [0, 1, 2])
    assert time.monotonic() - began >= 0.9  # half of the time was the candidate's
    assert placed.beside.numbers == Numbers(failed=3, requests=1)
    hanging.may_end.set()


async def seen_to_hang(placed: Placed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask once, of a candidate that has half a second for it."""
    with monkeypatch.context() as briefly:
        briefly.setattr(share, "LONGEST", 0.5)
        assert await placed.by(ROWS[0]) is placed.live


async def test_while_a_candidate_hangs_nobody_else_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = Hanging()
    placed = Placed(100, candidate=hanging)
    await seen_to_hang(placed, monkeypatch)
    async with asyncio.timeout(25):  # half of the deadline would be the candidate's
        for row in ROWS[1:50]:
            answers = await placed.inference.predict(placed.live, [row], time.monotonic() + 60)
            assert answers.by is None
    assert placed.beside.numbers == Numbers(failed=50, requests=50)
    hanging.may_end.set()


async def test_a_candidate_that_came_back_answers_its_share_again(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = Hanging()
    placed = Placed(100, candidate=hanging)
    await seen_to_hang(placed, monkeypatch)
    hanging.may_end.set()
    async with asyncio.timeout(60):
        while await placed.by(ROWS[1]) is placed.live:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


async def test_a_candidate_that_hangs_takes_no_thread_of_the_live_version() -> None:
    hanging = Hanging()
    placed = Placed(50, candidate=hanging, live=lambda _: time.sleep(0.01))  # too dear for the event loop
    futures = [placed.inference.predict(placed.live, [row], time.monotonic() + 60) for row in ROWS[:40]]
    assert await asyncio.to_thread(hanging.entered.wait, 60)
    done, _ = await asyncio.wait(futures, timeout=25, return_when=asyncio.FIRST_COMPLETED)
    assert done
    hanging.may_end.set()
    await asyncio.gather(*futures)


async def test_a_candidate_that_is_cheap_and_then_hangs_does_not_hold_the_event_loop() -> None:
    hanging = Hanging()
    hanging.may_end.set()
    placed = Placed(100, candidate=hanging)
    for row in ROWS[:50]:
        assert await placed.by(row) is placed.candidate
    hanging.may_end.clear()
    hanging.entered.clear()
    future = placed.predict(ROWS[50])
    assert await asyncio.to_thread(hanging.entered.wait, 60)
    hanging.may_end.set()
    assert (await future).by is placed.candidate


async def test_what_a_candidate_has_no_room_for_is_answered_by_the_live_version() -> None:
    hanging = Hanging()
    placed = Placed(100, candidate=hanging, max_queued_rows=1)
    computed = placed.predict(ROWS[0])
    assert await asyncio.to_thread(hanging.entered.wait, 60)
    waiting = placed.predict(ROWS[1])
    async with asyncio.timeout(60):
        assert (await placed.predict(ROWS[2])).by is None
    assert placed.beside.numbers == Numbers(failed=1, requests=1)
    hanging.may_end.set()
    assert (await computed).by is (await waiting).by is placed.candidate


async def test_who_has_little_time_left_is_not_kept_waiting_for_a_candidate() -> None:
    placed = Placed(100)
    answers = await placed.inference.predict(placed.live, ROWS[:1], time.monotonic() + share.SHORTEST / 2)
    assert (answers.by, placed.beside.numbers) == (None, Numbers())


STRICTER = [*stand_in.INPUTS[:2], msgspec.structs.replace(stand_in.INPUTS[2], categories=["month"])]


async def test_rows_that_the_candidate_refuses_are_answered_by_the_live_version() -> None:
    placed = Placed(100)
    candidate = stand_in.version("2.0.0", inputs=STRICTER)
    asked = Candidate(candidate.content, 100)
    beside = placed.registry.beside = Beside(candidate, asked, 2, has_other_rules=True)
    assert (await placed.predict((3, 0.5, "month"))).by is candidate
    assert (await placed.predict((3, 0.5, "year"))).by is None
    table = placed.live.schema.table([(3, 0.5, "month"), (4, float("nan"), "month")])
    assert (await placed.inference.predict(placed.live, table, time.monotonic() + 60)).by is candidate
    assert (beside.numbers.answered, beside.numbers.failed, beside.numbers.requests) == (3, 1, 3)


async def test_what_its_caller_gave_up_is_given_up() -> None:
    entered, may_end = threading.Event(), threading.Event()

    def hold(_: Table) -> None:
        entered.set()
        assert may_end.wait(60)

    placed = Placed(100, candidate=hold)
    future = placed.predict(*ROWS[:3])
    assert await asyncio.to_thread(entered.wait, 60)
    future.cancel()
    may_end.set()
    assert (await placed.predict(ROWS[3])).by is placed.candidate  # by the same thread, so the other is over
    numbers = placed.beside.numbers
    assert (numbers.answered, numbers.failed) == (1, 0)
    assert future.cancelled()


async def test_a_request_of_the_version_before_is_answered_by_that() -> None:
    placed = Placed(100)
    before = stand_in.version("0.9.0")
    answers = await placed.inference.predict(before, ROWS[:1], time.monotonic() + 60)
    assert answers.by is None


async def test_in_the_shadow_the_live_version_answers_and_both_are_compared() -> None:
    placed = Placed(shadow=True)
    for row in ROWS[:5]:
        assert await placed.by(row) is placed.live
    numbers = placed.beside.numbers
    await asyncio.to_thread(wait_until, lambda: numbers.compared + numbers.dropped == 5, 60)
    assert numbers.compared >= 1
    assert (numbers.disagreed, numbers.failed, numbers.answered) == (0, 0, 0)
    assert numbers.live_seconds > 0
    assert numbers.candidate_seconds > 0


async def test_what_comes_too_fast_is_not_compared_and_nobody_waits() -> None:
    may_end = threading.Event()

    def hold(_: Table) -> None:
        assert may_end.wait(60)

    placed = Placed(shadow=True, candidate=hold)
    async with asyncio.timeout(60):
        for row in ROWS[:50]:
            assert await placed.by(row) is placed.live
    assert placed.beside.numbers.dropped >= 50 - comparison.QUEUED - 1
    may_end.set()


async def test_a_candidate_that_is_let_go_of_is_gone_with_its_thread() -> None:
    before = threading.active_count()
    placed = Placed(shadow=True)
    await placed.by(ROWS[0])
    gone = weakref.ref(placed.candidate.runtime)
    placed.registry.beside = None
    del placed
    gc.collect()
    await asyncio.to_thread(wait_until, lambda: gone() is None, 60)
    await asyncio.to_thread(wait_until, lambda: threading.active_count() <= before + 1, 60)


async def test_a_comparison_that_never_ends_has_failed_and_so_has_what_comes_while_it_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparison, "HANGS_AFTER", 0.1)
    monkeypatch.setattr(comparison, "HANGS_AFTER_TIMES", 0.0)
    monkeypatch.setattr(comparison, "REST", 0.0)
    hanging = Hanging()
    placed = Placed(shadow=True, candidate=hanging)
    await placed.predict(*ROWS[:3])
    assert await asyncio.to_thread(hanging.entered.wait, 60)
    asked = 0
    async with asyncio.timeout(60):
        while placed.beside.numbers.failed < 100:
            assert (await placed.predict(*ROWS[:5])).by is None
            asked += 5
            await asyncio.sleep(0.001)
    assert placed.beside.numbers.failed <= 3 + asked, "what hung counts once"
    hanging.may_end.set()
    async with asyncio.timeout(60):
        while not placed.beside.numbers.compared:
            await placed.predict(ROWS[0])
            await asyncio.sleep(0.001)


async def test_who_rests_from_comparing_keeps_no_version_that_was_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "REST", 1e6)
    monkeypatch.setattr(comparison, "LONGEST_REST", 25.0)
    placed = Placed(shadow=True)
    await placed.by(ROWS[0])
    numbers = placed.beside.numbers
    await asyncio.to_thread(wait_until, lambda: numbers.compared, 60)
    gone = weakref.ref(placed.live.runtime)
    del placed
    gc.collect()
    await asyncio.to_thread(wait_until, lambda: gone() is None, 60)
