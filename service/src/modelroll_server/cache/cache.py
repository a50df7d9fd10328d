"""The way of a row through the cache: this process's memory, a computation under way, Redis, the model."""

import asyncio
import functools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from modelroll_server import errors
from modelroll_server.cache.counts import Counts
from modelroll_server.cache.flights import Flight, Flights
from modelroll_server.cache.keys import Keys
from modelroll_server.cache.memory import Memory
from modelroll_server.cache.store import Store
from modelroll_server.cache.values import Invalid, Values
from modelroll_server.schema import Row, rows_of
from modelroll_server.tensors import Answers, Outputs, Table

MAX_LOOKED_UP = 32  # of a request that is looked up; a larger one costs more to look up than it saves
JITTER = 0.1  # of a lifetime, up or down: what was written together does not expire together


class Computes(Protocol):
    """What answers the rows that nobody has answered before."""

    def submit(self, rows: Sequence[Row] | Table, count: int, deadline: float) -> asyncio.Future[Answers]:
        """Queue rows; raises when it cannot."""

    def predicted(self, rows: int) -> float:
        """Seconds that so many rows will take."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept, and for how long.

    Attributes:
        max_bytes: Of the answers in this process.
        seconds: That an answer lives, give or take a tenth.
    """

    max_bytes: int
    seconds: float


class Cache:
    """The answers of one process, of all its versions."""

    def __init__(self, bounds: Bounds, *, url: str | None = None, secret: str | None = None) -> None:
        """A cache in this process, and in the Redis at `url`, where values are signed with `secret`."""
        self.memory = Memory(bounds.max_bytes)
        self.counts = Counts(self.memory)
        self.flights = Flights()
        self.values = Values(secret)
        self.store = None if url is None else Store(url, self.counts)
        self._seconds = bounds.seconds

    def start(self) -> None:
        """Begin to ask Redis, some time later; without it only this process's answers are there."""
        if self.store is not None:
            self.store.start()

    def lifetime(self) -> float:
        """Seconds that an answer computed now shall live."""
        return self._seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, hides nothing

    def max_lifetime(self) -> float:
        """The longest there is."""
        return self._seconds * (1 + JITTER)

    async def close(self) -> None:
        """Let go of the connections."""
        if self.store is not None:
            await self.store.close()


class VersionCache:
    """The cache of one version: its keys, and its model for what is not there."""

    def __init__(self, cache: Cache, keys: Keys, computes: Computes, observe_lookup: Callable[[float], None]) -> None:
        self._cache = cache
        self._keys = keys
        self._computes = computes
        self._observe_lookup = observe_lookup
        self._loop = asyncio.get_running_loop()  # kept: to be asked for it costs a system call

    def predict(self, rows: Sequence[Row] | Table, count: int, deadline: float) -> asyncio.Future[Answers]:
        """Answer at least one row; the future gets the answers in order, or an error, and never one of the cache's.

        Args:
            rows: That the version's schema has checked.
            count: How many.
            deadline: On the clock of `time.monotonic`.

        Raises:
            errors.RequestError: as the model's queue raises it.
        """
        cache = self._cache
        if count > MAX_LOOKED_UP:
            cache.counts.bypassed += count
            return self._computes.submit(rows, count, deadline)
        listed = rows_of(rows) if isinstance(rows, Table) else rows
        loop = self._loop
        if count == 1:
            key = self._keys.of(listed[0])
            if (answers := cache.memory.get(key)) is not None:
                cache.counts.from_memory += 1
                future = loop.create_future()
                future.set_result(answers)  # there already: who awaits it is not suspended
                return future
            keys = [key]
        else:
            keys = [self._keys.of(row) for row in listed]
        return loop.create_task(self._obtain(keys, listed, deadline))

    async def _obtain(self, keys: Sequence[bytes], rows: Sequence[Row], deadline: float) -> Answers:
        cache, counts = self._cache, self._cache.counts
        found: dict[bytes, Answers] = {}
        joined: dict[bytes, Flight] = {}
        missing: dict[bytes, Row] = {}
        for key, row in zip(keys, rows, strict=True):
            if key in found or key in joined or key in missing:
                continue
            if (answers := cache.memory.get(key)) is not None:
                found[key] = answers
            elif (flight := cache.flights.get(key)) is not None:
                joined[key] = flight
            else:
                missing[key] = row
        counts.from_memory += len(found)
        counts.joined += len(joined)
        if missing:
            joined.update(dict.fromkeys(missing, self._begin(missing)))
        if joined and not await self._wait(joined, found, deadline):
            return await self._computes.submit(rows, len(rows), deadline)
        if len(keys) == 1:
            return found[keys[0]]
        return Answers.of(Outputs.concat([found[key].outputs for key in keys]))

    def _begin(self, missing: dict[bytes, Row]) -> Flight:
        flight = Flight(list(missing))
        self._cache.flights.add(flight)
        flight.begin(functools.partial(self._fly, flight, missing))
        return flight

    async def _wait(self, joined: dict[bytes, Flight], found: dict[bytes, Answers], deadline: float) -> bool:
        """Wait for what others or this request set off; false if one of the others' failed for another row's sake."""
        flights = set(joined.values())
        for flight in flights:
            flight.join(deadline)
        futures = {key: flight.landed[key] for key, flight in joined.items()}
        try:
            await asyncio.wait(
                futures.values(), timeout=max(0.0, deadline - time.monotonic()), return_when=asyncio.FIRST_EXCEPTION
            )
            for key, future in futures.items():
                if future.done() and (error := future.exception()) is not None:
                    if set(joined[key].keys) <= joined.keys():
                        raise error
                    return False
            for key, future in futures.items():
                if not future.done():
                    raise errors.DeadlineExceeded("the deadline passed before the answer was there")
                found[key] = future.result()
        finally:
            for flight in flights:
                if flight.leave():
                    self._cache.flights.remove(flight, flight.keys)
        return True

    async def _fly(self, flight: Flight, rows: dict[bytes, Row]) -> None:
        """Land every key: what Redis has, and what the model says of the rest."""
        try:
            if self._cache.store is not None:
                rows = await self._look_up(self._cache.store, flight, rows)
            if rows:
                await self._compute(flight, rows)
        finally:
            self._cache.flights.remove(flight, flight.keys)

    async def _look_up(self, store: Store, flight: Flight, rows: dict[bytes, Row]) -> dict[bytes, Row]:
        """Land what Redis has, and return the rest."""
        cache = self._cache
        began = time.monotonic()
        values = await store.get(list(rows), self._computes.predicted(len(rows)))
        self._observe_lookup(time.monotonic() - began)
        rest: dict[bytes, Row] = {}
        for (key, row), value in zip(rows.items(), values, strict=True):
            if value is None:
                rest[key] = row
                continue
            try:
                answers, expires = cache.values.load(key, value)
            except Invalid:
                cache.counts.invalid += 1
                rest[key] = row
                continue
            cache.counts.from_redis += 1
            self._land(flight, key, answers, min(expires - time.time(), cache.max_lifetime()))
        return rest

    async def _compute(self, flight: Flight, rows: dict[bytes, Row]) -> None:
        cache = self._cache
        answers = await self._submit(flight, list(rows.values()))
        outputs = answers.outputs
        cache.counts.computed += len(rows)
        for index, key in enumerate(rows):
            one = outputs.row(index)
            seconds = cache.lifetime()
            self._land(flight, key, Answers.of(one), seconds)
            if cache.store is not None:
                expires = time.time() + seconds
                cache.store.put(key, functools.partial(cache.values.dump, key, one, expires), seconds)

    async def _submit(self, flight: Flight, rows: Sequence[Row]) -> Answers:
        while True:
            deadline = flight.deadline
            try:
                return await self._computes.submit(rows, len(rows), deadline)
            except errors.DeadlineExceeded:
                if flight.deadline <= deadline:
                    raise
                # Who joined later has more time than whoever began.

    def _land(self, flight: Flight, key: bytes, answers: Answers, seconds: float) -> None:
        self._cache.memory.put(key, answers, seconds)
        self._cache.flights.remove(flight, (key,))
        flight.land(key, answers)
