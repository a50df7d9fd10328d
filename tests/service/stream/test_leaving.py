"""What a broker has given to a consumer that leaves is settled by it, or is there for others, never gone."""

import json
from typing import Any

import pytest
from redis.asyncio import Redis

import brokers
import stand_in
from modelroll_server import settings
from modelroll_server.inference import Inference
from modelroll_server.registry.registry import Registry
from modelroll_server.stream import terms
from modelroll_server.stream.counts import StreamCounts
from modelroll_server.stream.handling import Handler
from modelroll_server.stream.redis_streams import RedisStreams
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.tensors import Table
from stream_process import INPUT, outcome

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
