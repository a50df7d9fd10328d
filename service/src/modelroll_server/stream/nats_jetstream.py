"""Events of a NATS subject that a JetStream stream keeps: a JSON row each, `Nats-Msg-Id` if their producer has one.

What FastStream does: the connection. What is done here: fetching, as its subscribers either wait for a batch to fill or
take each event for itself. An event is acknowledged once its message is. That has a `Nats-Msg-Id` made of the event's
place, so that the server drops one that is sent twice within the stream's window (two minutes by default).
"""

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING

from modelroll_server import cancellation
from modelroll_server.stream.events import Backlog, Event, Message, NotConsuming, identity
from modelroll_server.stream.handling import Handler
from modelroll_server.stream.settling import Persistence, described, holding, quiet
from modelroll_server.stream.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

CONNECT_SECONDS = 5
COMMAND_SECONDS = 5.0
OTHER_HEADERS = 2048  # bytes, at most: the names' separators, the stream, `Nats-Msg-Id`
FETCH_SECONDS = 1.0  # that a fetch waits for the first event


class NatsJetStream:
    """One consumer of a stream's durable consumer, which is what NATS calls a group."""

    def __init__(self, terms: Terms, handler: Handler) -> None:
        from faststream.nats import NatsBroker

        self._terms = terms
        self._handler = handler
        self._persistently = Persistence()
        self._streams: dict[str, str] = {}
        self._reading: asyncio.Task[None] | None = None
        self._leaving = False
        self._servers = terms.url.split(",")
        self._security = terms.credentials.security()
        self._broker = NatsBroker(
            self._servers,
            apply_types=False,
            logger=quiet(),
            graceful_timeout=terms.drain,
            security=self._security,
            name=terms.consumer,
            connect_timeout=CONNECT_SECONDS,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            ping_interval=5,
            drain_timeout=CONNECT_SECONDS,
        )

    async def start(self) -> None:
        """Make what is not there (streams for the three subjects, the durable consumer), and fetch.

        Raises:
            Exception: NATS cannot be reached, or refuses.
        """
        from nats.js.api import AckPolicy, ConsumerConfig

        terms = self._terms
        async with asyncio.timeout(2 * CONNECT_SECONDS):
            await self._greet()
            await self._broker.connect()
        for subject in (terms.input, terms.output, terms.dead):
            self._streams[subject] = await self._stream(subject)
        config = ConsumerConfig(
            durable_name=terms.group,
            filter_subject=terms.input,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=terms.claim_after,
            max_deliver=-1,  # after how many it is a dead letter is decided here, where one can be sent
            max_ack_pending=-1,
        )
        await self._jetstream.add_consumer(self._streams[terms.input], config)
        reader = await self._jetstream.pull_subscribe_bind(terms.group, self._streams[terms.input])
        self._reading = asyncio.create_task(self._read(reader))

    async def backlog(self) -> Backlog:
        """How far behind the whole group is.

        Raises:
            NotConsuming: it has to be started anew.
            Exception: NATS cannot be asked.
        """
        from nats.js.errors import NotFoundError

        assert self._reading is not None
        if self._reading.done():
            error = self._reading.exception()
            raise NotConsuming("nothing is fetched" if error is None else described(error)) from error
        try:
            found = await self._jetstream.consumer_info(self._streams[self._terms.input], self._terms.group)
        except NotFoundError as error:
            raise NotConsuming(f"the stream or the consumer is gone: {described(error)}") from error
        return Backlog(found.num_pending or 0, found.num_ack_pending or 0)

    async def stop(self) -> None:
        """Fetch no further and settle what was fetched; what is not settled is given to others."""
        self._leaving = True  # a fetch that has begun goes on: what the server has given is settled
        if self._reading is not None:
            try:
                await asyncio.wait({self._reading}, timeout=self._terms.drain)
            finally:
                await cancellation.cancel(self._reading)
        async with asyncio.timeout(2 * CONNECT_SECONDS):
            await self._broker.stop()

    async def _greet(self) -> None:
        """Reach one of the servers; FastStream's client tries again for ever, and does not say why."""
        import nats
        from faststream.nats.security import parse_security

        async def said_below(_error: Exception) -> None:
            """The client would log it, with a traceback."""

        try:
            client = await nats.connect(
                self._servers,
                allow_reconnect=False,
                connect_timeout=CONNECT_SECONDS,
                error_cb=said_below,
                **parse_security(self._security),
            )
        except nats.errors.Error as error:
            if "authorization" in str(error).lower():  # the client has a class for it, and does not use it here
                raise nats.errors.AuthorizationError from error
            raise
        await client.close()

    @property
    def _jetstream(self) -> "JetStreamContext":
        found: JetStreamContext = self._broker.config.connection_state.stream
        return found

    async def _stream(self, subject: str) -> str:
        """The stream that keeps a subject."""
        from nats.js.errors import NotFoundError

        try:
            return await self._jetstream.find_stream_name_by_subject(subject)
        except NotFoundError:
            name = subject.replace(".", "-")
            await self._jetstream.add_stream(name=name, subjects=[subject])
            return name

    async def _read(self, reader: "JetStreamContext.PullSubscription") -> None:
        """Fetch and settle, until told to leave, or until a fetch fails for another reason than that nothing came."""
        while not self._leaving:
            read: list[Msg] = []
            with contextlib.suppress(TimeoutError):
                read = await reader.fetch(self._terms.batch, FETCH_SECONDS)
            if read:
                await self._on_read(read)
            cancellation.check()
        await reader.unsubscribe()  # else the client waits for somebody to take what the server says of the last fetch

    async def _on_read(self, read: "Sequence[Msg]") -> None:
        async def extend() -> None:
            for one in read:
                if not one.is_acked:
                    await one.in_progress()

        events = [(one, _event(one)) for one in read]
        new = [pair for pair in events if pair[1].deliveries == 1]
        # What was delivered before is done one by one: what kills consumers takes no more with it than it must.
        again = [[pair] for pair in events if pair[1].deliveries > 1]
        async with holding(extend, self._terms.claim_after / 3):
            for together in [new, *again]:
                handled = await self._handler.handle([event for _, event in together])
                pairs = zip(together, handled.messages, strict=True)
                await asyncio.gather(*(self._settle(one, message) for (one, _), message in pairs))
                handled.settled()

    async def _settle(self, read: "Msg", message: Message) -> None:
        await self._persistently(functools.partial(self._send, read, message))
        await self._persistently(read.ack)

    async def _send(self, read: "Msg", message: Message) -> None:
        from nats.js.errors import NoStreamResponseError

        subject = self._terms.dead if message.is_dead else self._terms.output
        # Not the producer's id: who gives two events the same one would get one answer.
        once = f"{self._terms.group}/{message.event.place}/{read.metadata.timestamp.timestamp():.6f}"
        size = len(message.payload) + sum(len(name) + len(value) for name, value in message.headers.items())
        most = self._broker.config.connection_state.connection.max_payload
        if message.is_dead and size + OTHER_HEADERS > most:
            # Nobody else looks at the headers but the server, which would end the connection.
            message = message.without_payload(f"left out: the server takes {most} bytes, headers included")
        try:
            await self._jetstream.publish(
                subject,
                message.payload,
                timeout=COMMAND_SECONDS,
                stream=self._streams[subject],
                headers={**message.headers, "Nats-Msg-Id": once},
            )
        except NoStreamResponseError:  # it was there when this consumer started
            self._streams[subject] = await self._stream(subject)
            raise


def _event(read: "Msg") -> Event:
    found = read.metadata
    place = f"{found.stream}/{found.sequence.stream}"
    given = (read.headers or {}).get("Nats-Msg-Id")
    return Event(identity(given, place), place, read.data, found.num_delivered)
