"""Redis or Valkey: values of other processes and of those before this one, asked within a budget of time.

Owns the two connections, the breaker, and the queue of what is to be written. Look-ups that come together are one
command; those that come while one is under way are the next. A slow Redis costs a look-up its budget and no connection;
a dead one costs a connection a second.
"""

import asyncio
import collections
import functools
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from modelroll_server import cancellation
from modelroll_server.cache.breaker import Breaker
from modelroll_server.cache.counts import Counts

if TYPE_CHECKING:
    from redis.asyncio import Redis

BUDGET = 0.02  # seconds that a look-up may take at most
COMMAND_SECONDS = 1.0  # after which a connection is given up
PROBE_EVERY = 1.0  # seconds, while the breaker is open
MAX_WAITING = 1_024  # keys that wait to be looked up, and values that wait to be written
MAX_WRITTEN = 64  # values in one go

_PREFIX = b"modelroll:"
_PROBE = [_PREFIX + b"probe"]
_log = structlog.get_logger(__name__)
T = TypeVar("T")

Found = list[bytes | None]
Waiting = tuple[Sequence[bytes], asyncio.Future[Found]]
Written = Callable[[], bytes | None]


class Store:
    """Keys and values in Redis; used from one event loop."""

    def __init__(self, url: str, counts: Counts) -> None:
        self._url = url
        self._counts = counts
        self._breaker = Breaker()
        self._wanted: collections.deque[Waiting] = collections.deque()
        self._written: collections.deque[tuple[bytes, Written, float]] = collections.deque()
        self._waiting_keys = 0
        self._has_wanted, self._has_written = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_ready = False  # before that nobody waits for it
        self._is_closed = False  # the client loses a cancellation that comes while it sees whether a connection lives

    def start(self) -> None:
        """Begin to answer, some time later."""
        self._task = asyncio.create_task(self._run())

    async def get(self, keys: Sequence[bytes], budget: float) -> Found:
        """The values under these keys; None for what is not there, or did not come within so many seconds."""
        nothing: Found = [None] * len(keys)
        if not self._is_ready or self._breaker.is_open or self._waiting_keys >= MAX_WAITING:
            return nothing
        future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._wanted.append((keys, future))
        self._waiting_keys += len(keys)
        self._has_wanted.set()
        try:
            done, _ = await asyncio.wait((future,), timeout=min(BUDGET, budget))
            if done:
                return future.result()
        finally:
            future.cancel()
        self._counts.late += 1
        self._failed("it did not answer in time")
        return nothing

    def put(self, key: bytes, value: Written, seconds: float) -> None:
        """Write a value, some time later, or not at all. It is made only then; None is not written."""
        if not self._is_ready or self._breaker.is_open or len(self._written) >= MAX_WAITING:
            self._counts.dropped += 1
            return
        self._written.append((key, value, seconds))
        self._has_written.set()

    async def close(self) -> None:
        """Let go of the connections; what waits to be written is not."""
        self._is_closed = True
        if self._task is not None:
            await cancellation.cancel(self._task)

    async def _run(self) -> None:
        while not self._is_closed:
            try:
                # The client's import takes longer than a server's start may.
                read, write = await asyncio.to_thread(_clients, self._url)
            except ValueError as error:
                _log.error("the cache's Redis cannot be asked: CACHE_URL is wrong", why=str(error))
                return
            try:
                await self._serve(read, write)
            except Exception:  # noqa: BLE001 - the fault is ours: the cache goes on, and no caller sees it
                _log.exception("the cache's Redis is asked no more until it is connected to anew")
                await asyncio.sleep(PROBE_EVERY)

    async def _serve(self, read: "Redis", write: "Redis") -> None:
        try:
            async with read, write, asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(read))
                tasks.create_task(self._write(write))
                self._is_ready = True
        finally:
            self._is_ready = False

    async def _read(self, client: "Redis") -> None:
        while not self._is_closed:
            if self._breaker.is_open:
                await self._probe(client)
                continue
            await self._has_wanted.wait()
            taken = self._take_wanted()
            keys = [_name(key) for wanted, _ in taken for key in wanted]
            if keys:
                _answer(taken, await self._ask(functools.partial(_values, client, keys)))

    def _take_wanted(self) -> list[Waiting]:
        """What waits and is still wanted."""
        taken = [one for one in self._wanted if not one[1].done()]
        self._wanted.clear()
        self._waiting_keys = 0
        self._has_wanted.clear()
        return taken

    async def _probe(self, client: "Redis") -> None:
        _answer(self._take_wanted(), None)
        await asyncio.sleep(PROBE_EVERY)
        began = time.monotonic()
        if await self._ask(functools.partial(_values, client, _PROBE)) is None or time.monotonic() - began > BUDGET:
            return
        self._breaker.close()
        self._counts.is_open = False
        _log.info("the cache's Redis answers again")

    async def _write(self, client: "Redis") -> None:
        while not self._is_closed:
            await self._has_written.wait()
            pipeline = client.pipeline(transaction=False)
            for _ in range(min(MAX_WRITTEN, len(self._written))):
                key, make, seconds = self._written.popleft()
                if (value := make()) is not None:
                    pipeline.set(_name(key), value, px=max(1, int(seconds * 1000)))
            if not self._written:
                self._has_written.clear()
            count = len(pipeline)
            if self._breaker.is_open:
                self._counts.dropped += count
            elif count:
                done = await self._ask(functools.partial(pipeline.execute, raise_on_error=False))
                # A Redis that is full, or a replica, may still be read: that opens no breaker.
                self._counts.dropped += count if done is None else sum(isinstance(one, Exception) for one in done)

    async def _ask(self, command: Callable[[], Awaitable[T]]) -> T | None:
        """What Redis answers, or None."""
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                return await command()
        except Exception as error:  # noqa: BLE001 - whoever it is that answers there: counted, and logged once
            self._counts.failed += 1
            self._failed(f"{type(error).__name__}: {error}")
            return None

    def _failed(self, why: str) -> None:
        if self._breaker.failed(time.monotonic()):
            self._counts.is_open = True
            self._has_wanted.set()
            _log.warning("the cache's Redis is not asked for a while", why=why)


def _clients(url: str) -> tuple["Redis", "Redis"]:
    """One to read and one to write, with a connection each that is made when it is needed.

    Raises:
        ValueError: the URL has something in it that there is not.
    """
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    options: dict[str, Any] = {
        "socket_timeout": COMMAND_SECONDS,
        "socket_connect_timeout": COMMAND_SECONDS,
        "retry": Retry(NoBackoff(), 0),  # the breaker decides when to try again
        "protocol": 2,  # any version speaks it, and nothing here needs the third
        "max_connections": 1,
    }
    return Redis.from_url(url, **options), Redis.from_url(url, **options)


async def _values(client: "Redis", keys: Sequence[bytes]) -> Found:
    """What is under these keys; ValueError for an answer that Redis would not give."""
    found: Any = await client.mget(keys)
    if not isinstance(found, list) or len(found) != len(keys):
        raise ValueError("that is no Redis")
    return [value if isinstance(value, bytes) else None for value in found]


def _answer(taken: Sequence[Waiting], values: Found | None) -> None:
    """Hand out the values of one command; None: there are none."""
    at = 0
    for keys, future in taken:
        end = at + len(keys)
        if not future.done():
            future.set_result([None] * len(keys) if values is None else values[at:end])
        at = end


def _name(key: bytes) -> bytes:
    return _PREFIX + key.hex().encode()
