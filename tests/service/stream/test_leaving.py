"""What a broker has given to a consumer that leaves is settled by it, or is there for others, never gone."""

import asyncio
import dataclasses
import json
from typing import Any

import nats
import pytest
from nats.js import JetStreamContext
from redis.asyncio import Redis

import brokers
import stand_in
from modelroll_server import settings
from modelroll_server.inference import Inference
from modelroll_server.registry.registry import Registry
from modelroll_server.stream import terms
from modelroll_server.stream.counts import StreamCounts
from modelroll_server.stream.handling import Handler
from modelroll_server.stream.nats_jetstream import NatsJetStream
from modelroll_server.stream.redis_streams import RedisStreams
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.tensors import Table
from stream_process import EVERY, INPUT, outcome

GROUP = "modelroll"
IDS = [f"event-{number}" for number in range(50)]
EVENTS = [(one, json.dumps(stand_in.ROW).encode()) for one in IDS]


class Subject:
    """What a transport is made of.

    Attributes:
        batches: Rows that were computed together.
    """

    def __init__(self, broker: brokers.Broker) -> None:
        self.batches: list[int] = []
        metrics = Metrics()
        registry = Registry(metrics)
        registry.live = stand_in.version(runtime=stand_in.Echo(self._see))
        inference = Inference(registry, metrics, threads=1)
        self.handler = Handler(registry, inference, metrics, StreamCounts(), most_bytes=10_000, most_deliveries=3)
        told = {"MODEL_PATH": "churn", "STREAM_URL": broker.url, "STREAM_INPUT": INPUT, "STREAM_CLAIM_AFTER": "600"}
        self.terms = terms.of(settings.from_environment(told))

    def _see(self, table: Table) -> None:
        self.batches.append(table.rows)


@pytest.mark.needs("redis")
async def test_what_redis_gave_without_its_answer_arriving_is_settled_together_before_leaving(
    redis: brokers.Redis,
) -> None:
    subject = Subject(redis)
    consumer = subject.terms.consumer
    async with redis.client() as client:
        await client.xgroup_create(INPUT, GROUP, id="0", mkstream=True)
        await redis.produce(INPUT, [("claimed", b"{"), *EVENTS])
        ((_, ((claimed, _),)),) = await client.xreadgroup(GROUP, "dead", {INPUT: ">"}, count=1)
        await client.xreadgroup(GROUP, consumer, {INPUT: ">"}, count=len(EVENTS))
        await client.xclaim(INPUT, GROUP, consumer, 0, [claimed])
        transport = RedisStreams(subject.terms, subject.handler)
        await transport.start()
        await transport.stop()
        found = await outcome(redis)
        assert list(found.answers) == IDS
        assert found.doubled() == 0
        assert subject.batches == [32, 18]
        (left,) = await client.xpending_range(INPUT, GROUP, min="-", max="+", count=100)
        assert left["message_id"] == claimed, "it may be what killed the other"
        assert left["time_since_delivered"] >= 600_000


@pytest.mark.needs("redis")
async def test_what_redis_gives_while_a_consumer_is_forgotten_is_not_forgotten_with_it(
    redis: brokers.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = Subject(redis)
    transport = RedisStreams(subject.terms, subject.handler)
    await transport.start()
    look = Redis.xpending_range
    async with redis.client() as client:

        async def late(self: Any, *args: Any, **more: Any) -> Any:
            found = await look(self, *args, **more)
            await client.xadd(INPUT, {"data": b"{"})
            await client.xreadgroup(GROUP, subject.terms.consumer, {INPUT: ">"})
            return found

        with monkeypatch.context() as patch:
            patch.setattr(Redis, "xpending_range", late)
            await transport.stop()
        assert (await client.xpending(INPUT, GROUP))["pending"] == await client.xlen(INPUT) > 0


@pytest.mark.needs("nats-server")
@pytest.mark.parametrize("broker", EVERY[1:2], indirect=True)
async def test_what_nats_gave_before_a_consumer_was_told_to_leave_is_settled_by_it(
    broker: brokers.Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = Subject(broker)
    given, told = asyncio.Event(), asyncio.Event()
    fetch = JetStreamContext.PullSubscription.fetch

    async def late(self: Any, *args: Any, **more: Any) -> Any:
        found = await fetch(self, *args, **more)
        given.set()
        await told.wait()
        return found

    monkeypatch.setattr(JetStreamContext.PullSubscription, "fetch", late)
    transport = NatsJetStream(subject.terms, subject.handler)
    await broker.produce(INPUT, EVENTS)
    await transport.start()
    await given.wait()
    leaving = asyncio.create_task(transport.stop())
    await asyncio.sleep(0)
    told.set()
    await leaving
    found = await outcome(broker)
    assert list(found.answers) == IDS
    assert sum(subject.batches) == len(IDS)
    assert await pending(broker) == 0


@pytest.mark.needs("nats-server")
@pytest.mark.parametrize("broker", EVERY[1:2], indirect=True)
async def test_what_nats_took_no_message_for_is_not_acknowledged(
    broker: brokers.Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = Subject(broker)
    tried = asyncio.Event()

    async def refuse(*_arguments: object, **_more: object) -> None:
        tried.set()
        raise ConnectionError

    transport = NatsJetStream(dataclasses.replace(subject.terms, drain=0.01), subject.handler)
    await broker.produce(INPUT, [EVENTS[0], ("dead", b"{")])
    monkeypatch.setattr(JetStreamContext, "publish", refuse)
    await transport.start()
    await tried.wait()
    await transport.stop()
    assert await pending(broker) == 2


async def pending(broker: brokers.Nats) -> int:
    """Events that NATS has given and nobody has acknowledged."""
    client = await nats.connect(broker.url)
    found: int | None = (await client.jetstream().consumer_info(INPUT, GROUP)).num_ack_pending
    await client.close()
    assert found is not None
    return found
