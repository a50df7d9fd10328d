"""The rows of one stream: computed while the next are read, and answered in order.

Owns order, how many are begun ahead, and whose a fault is: a row's is its own, the reader's is the stream's. Knows
neither JSON nor protobuf.
"""

import asyncio
import collections
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Generic, TypeVar

import structlog

from modelroll_server import errors
from modelroll_server.inference import Inference
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.version import Version
from modelroll_server.schema import Row
from modelroll_server.telemetry.metrics import Metrics, OfVersion
from modelroll_server.tensors import Answers

IN_FLIGHT = 64  # rows of one stream that are begun and not yet answered

_log = structlog.get_logger(__name__)

Item = TypeVar("Item")


class Begun:
    """One row on its way: what will answer it, or why nothing does.

    Attributes:
        began: On the clock of `time.monotonic`.
        version: What answers it; None when there is none.
        answers: Gets its answer; None when it was refused.
        error: Why it was refused.
    """

    __slots__ = ("answers", "began", "error", "version")

    def __init__(self, began: float) -> None:
        self.began = began
        self.version: Version | None = None
        self.answers: asyncio.Future[Answers] | None = None
        self.error: errors.RequestError | None = None

    def is_done(self) -> bool:
        """Whether it is known what answers it."""
        return self.answers is None or self.answers.done()

    def result(self) -> Answers | errors.RequestError | None:
        """The answer to it, or why there is none; None for a fault of the server's own, which is in its log."""
        if self.answers is None:
            return self.error
        try:
            answers = self.answers.result()
        except errors.RequestError as error:
            return error
        except Exception:  # noqa: BLE001 - logged; the caller gets a fixed text, and the other rows their answers
            _log.exception("a row failed")
            return None
        if answers.by is not None:
            self.version = answers.by
        return answers


class Pipeline(Generic[Item]):
    """One stream: a reader calls `begin` with each item, and a writer takes each row from `next`."""

    def __init__(
        self,
        registry: Registry,
        inference: Inference,
        metrics: Metrics,
        decode: Callable[[Version, Item], Row],
        *,
        seconds: float,
        until: float = math.inf,
    ) -> None:
        """A stream.

        Args:
            registry: What is live.
            inference: What predicts.
            metrics: Where its rows are counted.
            decode: Checks one item by a version's schema; raises `errors.RequestError`.
            seconds: That the answer to a row may take.
            until: When the last must be there, on the clock of `time.monotonic`.
        """
        self._registry = registry
        self._inference = inference
        self._metrics = metrics
        self._decode = decode
        self._seconds = seconds
        self._until = until
        self._loop = asyncio.get_running_loop()
        self._begun: collections.deque[Begun] = collections.deque()
        self._reading: asyncio.Task[None] | None = None
        self._reader: asyncio.Future[None] | None = None  # set while it waits for room
        self._writer: asyncio.Future[None] | None = None  # set while it waits for an answer, or for a row
        self._counted: tuple[Version | None, OfVersion] | None = None

    @contextlib.asynccontextmanager
    async def reading(self, reader: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        """Run the reader meanwhile. What is unanswered at the end is not computed: nobody waits for it."""
        self._reading = self._loop.create_task(reader)
        self._reading.add_done_callback(self._wake)
        self._metrics.in_flight += 1
        try:
            yield
        finally:
            self._metrics.in_flight -= 1
            self.stop()
            for one in self._begun:
                if one.answers is not None:
                    one.answers.cancel()

    def stop(self) -> None:
        """Read no further."""
        if self._reading is not None:
            self._reading.cancel()

    async def begin(self, item: Item) -> None:
        """Begin with one row; then wait until there is room for another."""
        begun = Begun(time.monotonic())
        deadline = min(begun.began + self._seconds, self._until)
        try:
            version = begun.version = self._registry.live or await self._inference.version(deadline)
            begun.answers = self._inference.predict(version, [self._decode(version, item)], deadline)
        except errors.RequestError as error:
            begun.error = error
        except Exception:  # noqa: BLE001 - as above
            _log.exception("a row failed")
        self._begun.append(begun)
        if self._writer is not None and len(self._begun) == 1:
            self._wake_when_done(begun)
        while len(self._begun) >= IN_FLIGHT:
            self._reader = self._loop.create_future()
            await self._reader

    def has_next(self) -> bool:
        """Whether `next` gives a row without waiting."""
        return bool(self._begun) and self._begun[0].is_done()

    async def next(self) -> Begun | None:
        """The oldest row, when it is known what answers it; None when there are no more.

        Raises:
            Exception: the reader's, once what it read is answered.
        """
        while not self.has_next():
            if not self._begun and self._reading is not None and self._reading.done():
                if not self._reading.cancelled():
                    self._reading.result()
                return None
            self._writer = self._loop.create_future()
            if self._begun:
                self._wake_when_done(self._begun[0])
            try:
                await self._writer
            finally:
                self._writer = None
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        return self._begun.popleft()

    def count(self, begun: Begun, status: int) -> None:
        """Count one row by its outcome, in HTTP's numbers."""
        if self._counted is None or self._counted[0] is not begun.version:
            self._counted = begun.version, self._of(begun.version)
        of_version = self._counted[1]
        of_version.count(status)
        of_version.latency.observe(time.monotonic() - begun.began)

    def _of(self, version: Version | None) -> OfVersion:
        if version is None:
            return self._metrics.of_version(self._registry.model, "")
        return self._metrics.of_version(version.model, version.number)

    def _wake_when_done(self, begun: Begun) -> None:
        if begun.answers is None:
            self._wake()
        else:
            begun.answers.add_done_callback(self._wake)

    def _wake(self, _: object = None) -> None:
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
