"""A bare consumer, in a process of its own: reads, acknowledges, and if asked sends each event's body on.

    python -m benchmarks.events_run read|send URL INPUT GROUP COUNT

What a careful person would write with the broker's own client and no model: as many events at once as modelroll, one
acknowledgement for all of them where the broker has that. Writes the seconds from the first event to the last
acknowledgement, and what it computed meanwhile.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

AT_ONCE = 64

Loop = Callable[[str, str, str, bool], AsyncIterator[int]]


async def redis(url: str, name: str, group: str, send: bool) -> AsyncIterator[int]:
    """Of a Redis stream."""
    from redis.asyncio import Redis

    async with Redis.from_url(url) as client:
        await client.xgroup_create(name, group, id="0")
        while True:
            found: Any = await client.xreadgroup(group, "bare", {name: ">"}, count=AT_ONCE, block=1000)
            entries = [entry for _, several in found for entry in several]
            async with client.pipeline(transaction=False) as pipeline:
                if send:
                    for _, fields in entries:
                        pipeline.xadd(f"{name}.bare", fields)
                pipeline.xack(name, group, *(place for place, _ in entries))
                await pipeline.execute()
            yield len(entries)


async def nats(url: str, name: str, group: str, send: bool) -> AsyncIterator[int]:
    """Of a NATS subject."""
    import nats as client

    connection = await client.connect(url)
    stream = connection.jetstream()
    if send:
        await stream.add_stream(name=f"{name}-bare", subjects=[f"{name}.bare"])
    reader = await stream.pull_subscribe(name, durable=group)
    while True:
        messages = await reader.fetch(AT_ONCE, timeout=5)
        if send:
            await asyncio.gather(*(stream.publish(f"{name}.bare", one.data) for one in messages))
        for one in messages:
            await one.ack()
        await connection.flush()
        yield len(messages)


async def kafka(url: str, name: str, group: str, send: bool) -> AsyncIterator[int]:
    """Of a Kafka topic."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    server = url.partition("://")[2]
    consumer = AIOKafkaConsumer(
        name, bootstrap_servers=server, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    producer = AIOKafkaProducer(bootstrap_servers=server, acks="all", enable_idempotence=True)
    await consumer.start()
    await producer.start()
    while True:
        found = await consumer.getmany(max_records=AT_ONCE, timeout_ms=1000)
        records = [one for several in found.values() for one in several]
        if send:
            await asyncio.gather(*[await producer.send(f"{name}.bare", one.value) for one in records])
        await consumer.commit()
        yield len(records)


LOOPS: dict[str, Loop] = {"redis": redis, "nats": nats, "kafka": kafka}


async def main() -> None:
    """The run."""
    kind, url, name, group, count = sys.argv[1:]
    done, first, began, computed = 0, 0, 0.0, 0.0
    loop = LOOPS[url.partition("://")[0]](url, name, group, kind == "send")
    async for some in loop:
        if not done:
            began, computed, first = time.monotonic(), sum(os.times()[:2]), some
        done += some
        if done >= int(count):
            break
    seconds, computed = time.monotonic() - began, sum(os.times()[:2]) - computed
    sys.stdout.write(json.dumps({"events": done - first, "seconds": seconds, "computed": computed}))
    sys.stdout.flush()
    os._exit(0)  # clients would take their time to leave


if __name__ == "__main__":
    asyncio.run(main())
