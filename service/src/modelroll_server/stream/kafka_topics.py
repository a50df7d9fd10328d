"""Events of a Kafka topic: records whose value is a JSON row, with a header `id` if their producer has one.

Offsets are committed once the broker has the messages of all that was read with them. Kafka does not count how often a
record was delivered: nothing here protects from one that kills its consumers.
"""

import asyncio
import contextlib
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog

from modelroll_server.stream.events import Backlog, Event, Message, NotConsuming, identity
from modelroll_server.stream.handling import Handler
from modelroll_server.stream.settling import Persistence, check_consuming, described, quiet, undecoded, unparsed
from modelroll_server.stream.terms import Terms

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, ConsumerRecord

REQUEST_SECONDS = 10.0
POLL = 100  # milliseconds
MOST_BYTES = 16 * 2**20  # of a message; what the broker takes is the broker's to say

_log = structlog.get_logger(__name__)


class KafkaTopics:
    """One consumer of a topic's group."""

    def __init__(self, terms: Terms, handler: Handler) -> None:
        from faststream import AckPolicy
        from faststream.kafka import KafkaBroker

        self._terms = terms
        self._handler = handler
        self._persistently = Persistence()
        self._in_work = asyncio.Lock()
        self._divisions = 0  # of the group's partitions, so far
        self._servers = terms.url.partition("://")[2].rstrip("/").split(",")
        self._security = terms.credentials.security()
        self._broker = KafkaBroker(
            self._servers,
            apply_types=False,
            logger=quiet(),
            graceful_timeout=terms.drain,
            security=self._security,
            client_id=terms.consumer,
            request_timeout_ms=int(REQUEST_SECONDS * 1000),
            acks="all",
            enable_idempotence=True,
            max_request_size=MOST_BYTES,
        )
        self._subscriber = self._broker.subscriber(
            terms.input,
            group_id=terms.group,
            batch=True,
            max_records=terms.batch,
            batch_timeout_ms=POLL,
            auto_offset_reset="earliest",
            session_timeout_ms=int(terms.claim_after * 1000),
            heartbeat_interval_ms=min(3000, int(terms.claim_after * 1000 / 4)),
            ack_policy=AckPolicy.MANUAL,
            parser=unparsed,
            decoder=undecoded,
            no_reply=True,
            listener=self._listener(),
        )
        self._subscriber(self._on_read)

    async def start(self) -> None:
        """Join the group and read, from the topic's first event on where the group has committed nothing.

        Raises:
            Exception: no broker can be reached, or it refuses.
        """
        await self._greet()
        await self._broker.start()

    async def backlog(self) -> Backlog:
        """How far behind the group is in the partitions that this consumer has.

        Raises:
            NotConsuming: it has to be started anew.
            Exception: no broker can be asked.
        """
        check_consuming([self._subscriber])
        consumer = self._consumer
        waiting = pending = 0
        partitions = consumer.assignment()
        ends = await consumer.end_offsets(partitions) if partitions else {}
        if not partitions:  # it may be one too many for the topic, or cut off from the broker
            await consumer._client.force_metadata_update()  # noqa: SLF001 - asks, and waits for nothing but the answer
        for partition, end in ends.items():
            read = await consumer.position(partition)
            committed = await consumer.committed(partition)
            waiting += max(0, end - read)
            pending += max(0, read - (read if committed is None else committed))
        return Backlog(waiting, pending)

    async def stop(self) -> None:
        """Read no further, settle what was read, and leave the group; what is not settled is read by others."""
        with contextlib.suppress(Exception):
            await self._subscriber.stop()
        await self._broker.stop()

    async def _greet(self) -> None:
        """Reach one of the brokers; the client would say only that it reached none, and not why."""
        from aiokafka.conn import collect_hosts, create_conn
        from faststream.kafka.security import parse_security

        failed: list[Exception] = []
        for host, port, _ in collect_hosts(self._servers):
            try:
                connection = await create_conn(
                    host, port, request_timeout_ms=int(REQUEST_SECONDS * 1000), **parse_security(self._security)
                )
            except Exception as error:  # noqa: BLE001 - the next one may be there
                failed.append(error)
            else:
                connection.close()
                return
        raise failed[0]

    @property
    def _consumer(self) -> "AIOKafkaConsumer":
        consumer = self._subscriber.consumer
        if consumer is None:
            raise NotConsuming("the consumer has ended")
        return consumer

    def _listener(self) -> Any:
        """Has the group wait with a new division until what was read is settled: it could not be acknowledged after."""
        from aiokafka import ConsumerRebalanceListener

        transport = self

        class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
            async def on_partitions_revoked(self, _revoked: object) -> None:
                with contextlib.suppress(TimeoutError):  # who takes longer is taken for dead, and others answer again
                    async with asyncio.timeout(transport._terms.claim_after / 2), transport._in_work:
                        pass
                transport._divisions += 1

            async def on_partitions_assigned(self, _assigned: object) -> None:
                """Reading goes on where the group had come."""

        return Listener()

    async def _on_read(self, records: Sequence["ConsumerRecord[Any, Any]"]) -> None:
        division = self._divisions
        async with self._in_work:
            if division == self._divisions:  # else they are read again, here or by others
                await self._handle(records)

    async def _handle(self, records: Sequence["ConsumerRecord[Any, Any]"]) -> None:
        from aiokafka import TopicPartition
        from aiokafka.errors import CommitFailedError, IllegalStateError

        consumer = self._consumer
        handled = await self._handler.handle([_event(record) for record in records])
        keys = [record.key for record in records]
        await self._persistently(functools.partial(self._send, handled.messages, keys))
        offsets: dict[TopicPartition, int] = {}
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            offsets[partition] = max(offsets.get(partition, 0), record.offset + 1)
        try:
            await self._persistently(
                functools.partial(consumer.commit, offsets), unless=(CommitFailedError, IllegalStateError)
            )
        except (CommitFailedError, IllegalStateError) as error:
            _log.warning(
                "the partitions went to other consumers: their events are answered twice", why=described(error)
            )
        handled.settled()

    async def _send(self, messages: Sequence[Message], keys: Sequence[bytes | None]) -> None:
        await asyncio.gather(*(self._send_one(one, key) for one, key in zip(messages, keys, strict=True)))

    async def _send_one(self, message: Message, key: bytes | None) -> None:
        from aiokafka.errors import MessageSizeTooLargeError

        publish = functools.partial(
            self._broker.publish, topic=self._terms.dead if message.is_dead else self._terms.output
        )
        try:
            await publish(message.payload, key=key, headers=dict(message.headers))
        except MessageSizeTooLargeError as error:
            if not message.is_dead:
                raise
            await publish(b"", key=key, headers=dict(message.without_payload(described(error)).headers))


def _event(record: "ConsumerRecord[Any, Any]") -> Event:
    place = f"{record.topic}/{record.partition}/{record.offset}"
    given = next((value for name, value in record.headers if name == "id"), None)
    return Event(identity(given, place), place, record.value or b"")
