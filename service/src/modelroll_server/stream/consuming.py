"""Consumption that goes on: started when a model is live, started anew when it ends, drained when told to.

Owns what is said of the broker: in the log once for each change, in `/readyz`, and in the metrics.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from modelroll_server import cancellation
from modelroll_server.registry.registry import Registry
from modelroll_server.stream.counts import StreamCounts
from modelroll_server.stream.credentials import refusal
from modelroll_server.stream.events import Backlog, NotConsuming
from modelroll_server.stream.handling import Handler
from modelroll_server.stream.settling import described
from modelroll_server.stream.terms import Terms

LOOK_EVERY = 1.0  # seconds
LOOK_SECONDS = 5.0  # that a look may take
CLOSE_SECONDS = 5.0  # that saying goodbye to a broker may take
LOOK_FOR_A_MODEL = 0.1
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds between two starts

_log = structlog.get_logger(__name__)


class Transport(Protocol):
    """One consumer at one broker; it is started once."""

    async def start(self) -> None:
        """Connect and read."""

    async def backlog(self) -> Backlog:
        """How far behind the group is; an exception where the broker cannot be asked."""

    async def stop(self) -> None:
        """Read no further, and settle what was read."""


class Consumption:
    """One process's part in a group."""

    def __init__(
        self, connect: Callable[[], Transport], registry: Registry, counts: StreamCounts, *, shown: str, drain: float
    ) -> None:
        """Consumption that has not begun.

        Args:
            connect: Makes a transport.
            registry: What has to be live before anything is read, and what says that the broker is away.
            counts: Where the backlog is put.
            shown: The broker's address, as it may be logged.
            drain: Seconds that what was read gets on the way out.
        """
        self._connect = connect
        self._registry = registry
        self._counts = counts
        self._shown = shown
        self._patience = drain + CLOSE_SECONDS
        self._transport: Transport | None = None
        self._said: str | None = None

    async def run(self) -> None:
        """Consume until cancelled; then `stop` is to be called.

        Raises:
            Refused: the broker never took this client, and would not the next time.
        """
        self._away("the broker was not reached yet")
        while not (self._registry.is_live or self._registry.is_lazy):  # noqa: ASYNC110 - nothing is set when it is
            await asyncio.sleep(LOOK_FOR_A_MODEL)
        pause = FIRST_PAUSE
        taken = False
        while True:
            try:
                self._transport = self._connect()
                await self._transport.start()
                pause = FIRST_PAUSE
                taken = True
                await self._look()
            except Exception as error:
                refused = refusal(error, self._shown)
                if refused is not None and not taken:  # later it may be a password that is being changed
                    raise refused from error
                self._fault(error)
            cancellation.check()
            await self.stop()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def stop(self) -> None:
        """Settle what was read, and let go of the broker."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        # In a task of its own: a client that gives up its own tasks may let their cancellation out.
        stopping = asyncio.create_task(transport.stop())
        try:
            await asyncio.wait({stopping}, timeout=self._patience)
        finally:
            await cancellation.cancel(stopping)  # a dead broker is let go of all the same

    async def _look(self) -> None:
        """See how far behind it is, for as long as anything is read.

        Raises:
            NotConsuming: nothing is.
        """
        assert self._transport is not None
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    self._counts.backlog = await self._transport.backlog()
                self._mended()
            except NotConsuming:
                raise
            except Exception as error:  # noqa: BLE001 - the client connects again by itself
                self._fault(error)
            cancellation.check()
            await asyncio.sleep(LOOK_EVERY)

    def _fault(self, error: Exception) -> None:
        why = str(refusal(error, self._shown) or described(error))
        self._away(why)
        if why != self._said:
            self._said = why
            _log.error("the broker is not consumed from; it is tried again", broker=self._shown, why=why)

    def _away(self, why: str) -> None:
        self._counts.backlog = None
        self._registry.short = f"the broker at {self._shown} is not consumed from: {why}"

    def _mended(self) -> None:
        if self._registry.short is not None:
            self._registry.short = self._said = None
            _log.info("consuming", broker=self._shown)


def named(terms: Terms, handler: Handler) -> Callable[[], Transport]:
    """What makes consumers for a broker's address.

    Raises:
        ImportError: what speaks to it is not installed.
    """
    scheme = terms.url.partition("://")[0]
    if scheme in {"redis", "rediss"}:
        import faststream.redis

        from modelroll_server.stream.redis_streams import RedisStreams

        return lambda: RedisStreams(terms, handler)
    if scheme in {"kafka", "kafka+ssl"}:
        import faststream.kafka

        from modelroll_server.stream.kafka_topics import KafkaTopics

        return lambda: KafkaTopics(terms, handler)
    import faststream.nats  # noqa: F401

    from modelroll_server.stream.nats_jetstream import NatsJetStream

    return lambda: NatsJetStream(terms, handler)
