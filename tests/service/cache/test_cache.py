"""The way of a row through the cache of one process: what is kept, what is computed once, and who leaves when."""

import asyncio
import time
from collections.abc import Sequence

import numpy as np
import pytest

from modelroll_server import errors
from modelroll_server.cache.cache import MAX_LOOKED_UP, Bounds, Cache, VersionCache
from modelroll_server.cache.keys import Keys
from modelroll_server.schema import Input, Row
from modelroll_server.tensors import Answers, Datatype, Outputs, Table

INPUTS = [Input(name="x", datatype=Datatype.FP64), Input(name="who", datatype=Datatype.BYTES)]


class Model:
    """Answers when it is told to: a label and probabilities of one class more than there are."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[Row], float, asyncio.Future[Answers]]] = []
        self.refuses: errors.RequestError | None = None

    def submit(self, rows: Sequence[Row] | Table, count: int, deadline: float) -> asyncio.Future[Answers]:
        """Take rows."""
        if self.refuses is not None:
            raise self.refuses
        assert not isinstance(rows, Table)
        assert len(rows) == count
        future: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
        self.asked.append((list(rows), deadline, future))
        return future

    def predicted(self, _: int) -> float:
        """Not long."""
        return 0.01

    async def answer(self, index: int = -1) -> None:
        """Answer what it was asked last, or then."""
        rows, _, future = self.asked[index]
        labels = np.array([f"{name}{x:g}" for x, name in rows])
        # What else is in the batch is nobody's business.
        shared = Outputs(np.append("other", labels), np.array([[0.5, 0.5], *([x, 1 - x] for x, _ in rows)]))
        future.set_result(Answers.of(shared.slice(1, len(rows) + 1)))
        await turns()

    async def fail(self, error: Exception, index: int = -1) -> None:
        """Fail what it was asked."""
        self.asked[index][2].set_exception(error)
        await turns()

    @property
    def rows(self) -> list[list[Row]]:
        """What it was asked, by call."""
        return [rows for rows, _, _ in self.asked]


async def turns() -> None:
    """Let everything happen that can."""
    for _ in range(10):
        await asyncio.sleep(0)


class Setting:
    """A cache and its model, and requests to it."""

    def __init__(self, max_bytes: int = 10**6) -> None:
        self.cache = Cache(Bounds(max_bytes, 300.0))
        self.model = Model()
        self.version = self.another("1")

    def another(self, digest: str) -> VersionCache:
        """A version with that digest."""
        keys = Keys(("churn", digest, "sklearn", "prediction"), INPUTS)
        return VersionCache(self.cache, keys, self.model, lambda _: None)

    async def ask(self, *rows: Row, seconds: float = 10.0) -> asyncio.Future[Answers]:
        """A request that has got as far as it can."""
        found = self.version.predict(list(rows), len(rows), time.monotonic() + seconds)
        await turns()
        return found


def said(request: asyncio.Future[Answers]) -> list[str]:
    labels = request.result().lists()["prediction"]
    assert labels is not None
    return labels


async def test_a_row_is_computed_once() -> None:
    setting = Setting()
    first = await setting.ask((0.25, "a"))
    await setting.model.answer()
    second = await setting.ask((0.25, "a"))
    assert said(first) == said(second) == ["a0.25"]
    assert first.result().lists() == second.result().lists()
    assert setting.model.rows == [[(0.25, "a")]]
    counts = setting.cache.counts
    assert (counts.computed, counts.from_memory, counts.joined) == (1, 1, 0)


async def test_a_hit_is_there_without_a_turn_of_the_loop() -> None:
    setting = Setting()
    await setting.ask((0.25, "a"))
    await setting.model.answer()
    assert setting.version.predict([(0.25, "a")], 1, time.monotonic() + 1).done()


async def test_a_table_hits_what_a_row_was_answered() -> None:
    setting = Setting()
    await setting.ask((0.25, "a"))
    await setting.model.answer()
    table = Table(("x", "who"), (np.array([0.25]), np.array(["a"], dtype=object)), 1)
    assert said(setting.version.predict(table, 1, time.monotonic() + 1)) == ["a0.25"]


async def test_a_cached_answer_has_the_dtypes_of_the_computed_one_and_none_of_its_batch() -> None:
    setting = Setting()
    first = await setting.ask((0.25, "a"), (0.5, "long name"))
    await setting.model.answer()
    second = await setting.ask((0.25, "a"), (0.5, "long name"))
    one, other = first.result().outputs, second.result().outputs
    assert other.prediction.dtype == one.prediction.dtype == np.dtype("<U12")
    np.testing.assert_array_equal(one.prediction, other.prediction)
    assert isinstance(one.probability, np.ndarray)
    assert isinstance(other.probability, np.ndarray)
    np.testing.assert_array_equal(one.probability, other.probability)
    kept = (await setting.ask((0.25, "a"))).result().outputs
    assert kept.prediction.base is None or kept.prediction.base.size == 1


async def test_only_the_rows_that_nobody_knows_are_computed() -> None:
    setting = Setting()
    await setting.ask((1.0, "a"))
    await setting.model.answer()
    many = await setting.ask((2.0, "b"), (1.0, "a"), (3.0, "c"), (2.0, "b"))
    assert setting.model.rows[-1] == [(2.0, "b"), (3.0, "c")]
    await setting.model.answer()
    assert said(many) == ["b2", "a1", "c3", "b2"]


async def test_requests_for_a_row_that_is_being_computed_wait_for_it() -> None:
    setting = Setting()
    requests = [await setting.ask((1.0, "a")) for _ in range(5)]
    assert len(setting.model.asked) == 1
    await setting.model.answer()
    assert [said(one) for one in requests] == [["a1"]] * 5
    assert (setting.cache.counts.computed, setting.cache.counts.joined) == (1, 4)


async def test_a_request_joins_several_flights_and_begins_its_own() -> None:
    setting = Setting()
    one, two = await setting.ask((1.0, "a")), await setting.ask((2.0, "b"))
    all_three = await setting.ask((3.0, "c"), (2.0, "b"), (1.0, "a"))
    assert setting.model.rows == [[(1.0, "a")], [(2.0, "b")], [(3.0, "c")]]
    for index in (2, 0, 1):
        await setting.model.answer(index)
    assert (said(one), said(two), said(all_three)) == (["a1"], ["b2"], ["c3", "b2", "a1"])


async def test_a_flight_outlives_the_request_that_began_it() -> None:
    setting = Setting()
    leader, follower = await setting.ask((1.0, "a")), await setting.ask((1.0, "a"))
    leader.cancel()
    await turns()
    assert not setting.model.asked[0][2].cancelled()
    await setting.model.answer()
    assert leader.cancelled()
    assert said(follower) == ["a1"]


async def test_a_flight_ends_when_its_last_waiter_leaves() -> None:
    setting = Setting()
    leader, follower = await setting.ask((1.0, "a")), await setting.ask((1.0, "a"))
    leader.cancel()
    follower.cancel()
    await turns()
    assert setting.model.asked[0][2].cancelled()
    again = await setting.ask((1.0, "a"))
    await setting.model.answer()
    assert said(again) == ["a1"]
    assert len(setting.model.asked) == 2


async def test_who_comes_in_the_turn_in_which_the_last_one_leaves_begins_anew() -> None:
    setting = Setting()
    leader = await setting.ask((1.0, "a"))
    leader.cancel()
    newcomer = setting.version.predict([(1.0, "a")], 1, time.monotonic() + 60)
    await turns()
    if not setting.model.asked[-1][2].cancelled():
        await setting.model.answer()
    assert said(newcomer) == ["a1"]


async def test_an_error_reaches_all_who_wait_and_is_not_kept() -> None:
    setting = Setting()
    requests = [await setting.ask((1.0, "a")) for _ in range(3)]
    await setting.model.fail(errors.InferenceFailed("no"))
    for one in requests:
        with pytest.raises(errors.InferenceFailed):
            one.result()
    again = await setting.ask((1.0, "a"))
    await setting.model.answer()
    assert said(again) == ["a1"]


async def test_a_refusal_of_the_queue_is_the_callers() -> None:
    setting = Setting()
    setting.model.refuses = errors.Overloaded("full")
    with pytest.raises(errors.Overloaded):
        (await setting.ask((1.0, "a"))).result()
    setting.model.refuses = None
    await setting.ask((1.0, "a"))
    assert len(setting.model.asked) == 1


async def test_another_requests_bad_row_fails_nobody_else() -> None:
    setting = Setting()
    leader = await setting.ask((1.0, "a"), (2.0, "bad"))
    follower = await setting.ask((1.0, "a"))
    await setting.model.fail(errors.InferenceFailed("no"))
    with pytest.raises(errors.InferenceFailed):
        leader.result()
    assert setting.model.rows[-1] == [(1.0, "a")]
    await setting.model.answer()
    assert said(follower) == ["a1"]


async def test_a_waiter_leaves_at_its_own_deadline() -> None:
    setting = Setting()
    leader = await setting.ask((1.0, "a"), seconds=10.0)
    hurried = await setting.ask((1.0, "a"), seconds=0.01)
    with pytest.raises(errors.DeadlineExceeded):
        await hurried
    await setting.model.answer()
    assert said(leader) == ["a1"]


async def test_who_joins_with_more_time_than_the_first_gets_it() -> None:
    setting = Setting()
    leader = await setting.ask((1.0, "a"), seconds=0.01)
    patient = await setting.ask((1.0, "a"), seconds=10.0)
    with pytest.raises(errors.DeadlineExceeded):
        await leader
    await setting.model.fail(errors.DeadlineExceeded("late"))  # as a queue says it at the deadline that it was given
    assert len(setting.model.asked) == 2
    assert setting.model.asked[1][1] > setting.model.asked[0][1] + 5
    await setting.model.answer()
    assert said(patient) == ["a1"]


async def test_another_version_never_gives_the_answer_of_the_first() -> None:
    setting = Setting()
    await setting.ask((1.0, "a"))
    await setting.model.answer()
    setting.version = setting.another("2")
    await setting.ask((1.0, "a"))
    assert len(setting.model.asked) == 2


async def test_a_large_request_passes_by() -> None:
    setting = Setting()
    rows = [(1.0, "a")] * (MAX_LOOKED_UP + 1)
    for _ in range(2):
        request = await setting.ask(*rows)
        await setting.model.answer()
        assert len(said(request)) == MAX_LOOKED_UP + 1
    assert [len(asked) for asked in setting.model.rows] == [MAX_LOOKED_UP + 1] * 2
    assert setting.cache.counts.bypassed == 2 * (MAX_LOOKED_UP + 1)


async def test_answers_without_room_are_computed_again() -> None:
    setting = Setting(max_bytes=0)
    for _ in range(2):
        request = await setting.ask((1.0, "a"))
        await setting.model.answer()
        assert said(request) == ["a1"]
    assert len(setting.model.asked) == 2


async def test_lifetimes_are_spread_by_a_tenth() -> None:
    cache = Setting().cache
    found = [cache.lifetime() for _ in range(200)]
    assert min(found) >= 270
    assert max(found) <= 330
    assert max(found) - min(found) > 30
