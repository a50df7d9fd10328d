"""The cache with a real Redis, and with what may stand at its address: no error, no wrong answer, no wait for long."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import structlog
from redis.asyncio import Redis

import redis_process
from modelroll_server.cache import store
from modelroll_server.cache.cache import Bounds, Cache, VersionCache
from modelroll_server.cache.keys import Keys
from modelroll_server.schema import Input, Row
from modelroll_server.tensors import Answers, Datatype, Outputs, Table
from redis_process import RedisProcess

needs_redis = pytest.mark.needs("redis")
INPUTS = [Input(name="x", datatype=Datatype.FP64)]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    with redis_process.running(tmp_path) as server:
        yield server


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is short of time is no slow Redis."""
    monkeypatch.setattr(store, "BUDGET", 0.8)


class Model:
    """Answers at once, and counts."""

    def __init__(self) -> None:
        self.computed = 0

    def submit(self, rows: Sequence[Row] | Table, count: int, _: float) -> asyncio.Future[Answers]:
        """Twice the number."""
        assert not isinstance(rows, Table)
        self.computed += count
        future: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
        future.set_result(Answers.of(Outputs(np.array([2 * x for (x,) in rows]))))
        return future

    def predicted(self, _: int) -> float:
        """Long: Redis gets all the time that it may ever have."""
        return 1.0


class Pod:
    """One process's cache, which keeps nothing itself."""

    def __init__(self, url: str, secret: str | None = None) -> None:
        self.cache = Cache(Bounds(0, 300.0), url=url, secret=secret)
        self.counts = self.cache.counts
        self.model = Model()
        keys = Keys(("churn", "sha256:1", "sklearn", "prediction"), INPUTS)
        self._version = VersionCache(self.cache, keys, self.model, lambda _: None)
        self._new = itertools.count(1000)

    async def ask(self, *numbers: float) -> None:
        """A request, which is answered rightly."""
        answers = await self._version.predict([(x,) for x in numbers], len(numbers), time.monotonic() + 60)
        assert answers.lists()["prediction"] == [2 * x for x in numbers]

    async def ask_new(self) -> None:
        """A request that was never made before."""
        await self.ask(next(self._new))

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Ask new things until something is so."""
        async with asyncio.timeout(60):
            while not is_so():
                await self.ask_new()
                await asyncio.sleep(0.005)

    async def settle(self) -> None:
        """Ask until Redis has answered with something."""
        before = self.counts.from_redis

        async with asyncio.timeout(60):
            while self.counts.from_redis == before:
                await self.ask(0.5)
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def pod(url: str, secret: str | None = None) -> AsyncIterator[Pod]:
    found = Pod(url, secret)
    found.cache.start()
    try:
        yield found
    finally:
        await found.cache.close()


@contextlib.asynccontextmanager
async def client(redis: RedisProcess) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis.url) as found:
        yield found


async def keys_of(redis: RedisProcess, at_least: int = 0) -> list[bytes]:
    """What is kept, as soon as it is so much."""
    async with asyncio.timeout(60), client(redis) as connection:
        while len(found := [key async for key in connection.scan_iter("modelroll:*")]) < at_least:
            pass
        return found


@needs_redis
async def test_what_one_process_computed_is_there_for_another(redis: RedisProcess) -> None:
    async with pod(redis.url) as one, pod(redis.url) as other:
        await one.settle()
        await one.ask(1.0, 2.0)
        await keys_of(redis, 3)
        await other.settle()
        computed = other.model.computed
        await other.ask(1.0, 3.0, 2.0)
        assert other.model.computed == computed + 1
        assert (other.counts.late, other.counts.failed, other.counts.invalid) == (0, 0, 0)


@needs_redis
async def test_a_value_lives_for_its_time_give_or_take_a_tenth(redis: RedisProcess) -> None:
    async with pod(redis.url) as one:
        await one.settle()
        for number in range(50):
            await one.ask(number)
        keys = await keys_of(redis, 50)
        async with client(redis) as connection:
            left = [await connection.pttl(key) for key in keys]
    assert min(left) >= 255_000
    assert max(left) <= 330_000
    assert max(left) - min(left) > 10_000


async def a_list(redis: Redis, key: bytes) -> None:
    await redis.delete(key)
    await redis.rpush(key, "not", "a", "value")


async def garbage(redis: Redis, key: bytes) -> None:
    await redis.set(key, b"\x93garbage\x00\xff")


async def another_value(redis: Redis, key: bytes) -> None:
    found = [one async for one in redis.scan_iter("modelroll:*") if one != key]
    await redis.set(key, await redis.get(found[0]) or b"")


async def nothing(redis: Redis, _: bytes) -> None:
    await redis.flushall()


@needs_redis
@pytest.mark.parametrize("spoil", [a_list, garbage, another_value, nothing])
async def test_what_somebody_else_did_to_a_value_gives_no_wrong_answer(
    redis: RedisProcess, spoil: Callable[[Redis, bytes], Awaitable[None]]
) -> None:
    async with pod(redis.url, "secret") as one, client(redis) as connection:
        await one.settle()
        await one.ask(0.75)
        before = await keys_of(redis, 2)
        await one.ask(7.0)
        (key,) = set(await keys_of(redis, len(before) + 1)) - set(before)
        await spoil(connection, key)
        computed = one.model.computed
        await one.ask(7.0)
        assert one.model.computed == computed + 1
        assert one.counts.invalid == (1 if spoil in {garbage, another_value} else 0)


@needs_redis
async def test_a_secret_that_others_do_not_have_keeps_their_values_out(redis: RedisProcess) -> None:
    async with pod(redis.url, "ours") as one, pod(redis.url, "theirs") as other:
        await one.settle()
        async with asyncio.timeout(60):
            while other.counts.invalid == 0:
                await other.ask(0.5)
                await asyncio.sleep(0)
        assert other.counts.from_redis == 0


@needs_redis
async def test_the_url_holds_the_password(tmp_path: Path) -> None:
    with redis_process.running(tmp_path, "--requirepass", "secret") as redis:
        async with pod(redis.url.replace("//", "//:secret@")) as one:
            await one.settle()
        async with pod(redis.url.replace("//", "//:wrong@")) as other:
            await other.until(lambda: other.counts.is_open)
            assert other.counts.from_redis == 0


@needs_redis
async def test_a_redis_that_is_full_is_still_read(tmp_path: Path) -> None:
    with redis_process.running(tmp_path) as redis:
        async with pod(redis.url) as one, client(redis) as connection:
            await one.settle()
            await connection.config_set("maxmemory", "1")
            await one.until(lambda: one.counts.dropped >= 10)
            await one.settle()
            assert not one.counts.is_open


@needs_redis
async def test_a_redis_that_dies_is_asked_no_more_and_asked_again_when_it_is_back(redis: RedisProcess) -> None:
    async with pod(redis.url) as one:
        await one.settle()
        redis.kill()
        await one.until(lambda: one.counts.is_open)
        redis.start()
        await one.until(lambda: not one.counts.is_open)
        await one.settle()


@needs_redis
async def test_a_redis_that_restarts_between_two_requests_fails_neither(redis: RedisProcess) -> None:
    async with pod(redis.url) as one:
        await one.settle()
        redis.kill()
        redis.start()
        await one.settle()
        assert not one.counts.is_open


@needs_redis
async def test_a_frozen_redis_is_asked_no_more_and_asked_again_when_it_goes_on(redis: RedisProcess) -> None:
    async with pod(redis.url) as one:
        await one.settle()
        redis.freeze()
        await one.until(lambda: one.counts.is_open)
        assert one.counts.late > 0
        late = one.counts.late
        for _ in range(20):
            await one.ask_new()
        assert one.counts.late == late  # nobody waits for it any more
        redis.thaw()
        await one.until(lambda: not one.counts.is_open)
        await one.settle()


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$-7\r\n", b"+OK\r\n", None])
async def test_whatever_answers_there_is_not_asked_for_long(says: bytes | None) -> None:
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(ConnectionError):
            while says and await reader.read(1000):
                writer.write(says)
                await writer.drain()
            if says is None:
                await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, pod(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}") as one:
        began = time.monotonic()
        await one.until(lambda: one.counts.is_open)
        for _ in range(200):
            await one.ask_new()
            await asyncio.sleep(0)
        assert connections <= 8 + 4 * (time.monotonic() - began)
        assert one.counts.from_redis == 0


async def test_an_address_where_nobody_is_costs_nothing() -> None:
    async with pod("redis://127.0.0.1:1") as one:
        await one.until(lambda: one.counts.is_open)
        assert one.counts.from_redis == 0


@needs_redis
async def test_what_waits_to_be_written_is_bounded(redis: RedisProcess) -> None:
    async with pod(redis.url) as one:
        await one.settle()
        assert one.cache.store is not None
        dropped = one.counts.dropped
        for number in range(store.MAX_WAITING + 100):
            one.cache.store.put(number.to_bytes(32, "big"), lambda: None, 60.0)
        assert one.counts.dropped == dropped + 100


@needs_redis
async def test_a_value_that_cannot_be_made_is_logged_and_stops_nothing(redis: RedisProcess) -> None:
    def make() -> bytes:
        raise ValueError("of no type that can be written")

    async with pod(redis.url) as one:
        await one.settle()
        assert one.cache.store is not None
        with structlog.testing.capture_logs() as logs:
            one.cache.store.put(b"k", make, 60.0)
            await one.until(lambda: bool(logs))
        assert [found["log_level"] for found in logs] == ["error"]
        written = len(await keys_of(redis))
        await one.settle()
        await one.ask(7.0)
        await keys_of(redis, written + 1)


@needs_redis
async def test_what_waits_to_be_looked_up_is_bounded(redis: RedisProcess) -> None:
    async with pod(redis.url) as one:
        await one.settle()
        redis.freeze()
        before = one.counts.late
        await asyncio.gather(*(one.ask_new() for _ in range(3 * store.MAX_WAITING)))
        assert one.counts.late - before <= store.MAX_WAITING
        redis.thaw()


@needs_redis
async def test_a_look_up_may_take_no_longer_than_the_model(redis: RedisProcess) -> None:
    async with pod(redis.url) as one:
        await one.settle()
        redis.freeze()
        assert one.cache.store is not None
        assert await one.cache.store.get([b"k"], 0.0) == [None]
        assert one.counts.late == 1
        redis.thaw()


@needs_redis
async def test_a_look_up_of_a_frozen_redis_waits_no_longer_than_the_budget_however_long_the_model_takes(
    redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pod(redis.url) as one:
        await one.settle()
        redis.freeze()
        monkeypatch.setattr(store, "BUDGET", 0.05)
        assert one.cache.store is not None
        async with asyncio.timeout(1):  # twenty times that; a machine may be short of time
            assert await one.cache.store.get([b"k"], 3600.0) == [None]
        assert one.counts.late == 1
        redis.thaw()
