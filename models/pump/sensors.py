"""Send what the sensors of some pumps say to a broker, as a gateway in a plant would.

    uv run python models/pump/sensors.py redis://localhost:6379 --count 1000 --rate 100

Each event is a JSON object under an id such as `pump-3/17`. With `--broken 0.01` one sensor in a hundred readings says
nothing, or something that is no number: those end as dead letters.
"""

import argparse
import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import readings

PUMPS = 8
Send = Callable[[str, bytes], Awaitable[Any]]


def events(count: int, broken: float, seed: int) -> list[tuple[str, bytes]]:
    """Ids and bodies."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    found, _ = readings.table(count, seed)
    made = []
    for number, reading in enumerate(found.to_dict(orient="records")):
        if rng.random() < broken:
            reading[rng.choice(list(reading))] = rng.choice([None, "ERR", -1e40])
        made.append((f"pump-{number % PUMPS}/{number // PUMPS}", json.dumps(reading).encode()))
    return made


def sending(url: str, name: str) -> tuple[Any, Send]:
    """A broker of FastStream's, and what sends one event to it."""
    if url.startswith("redis"):
        from faststream.redis import RedisBroker

        redis = RedisBroker(url)
        return redis, lambda given, body: redis.publish(body, stream=name, correlation_id=given)
    if url.startswith("kafka"):
        from faststream.kafka import KafkaBroker

        kafka = KafkaBroker(url.partition("://")[2])
        return kafka, lambda given, body: kafka.publish(
            body,
            name,
            key=given.partition("/")[0].encode(),  # a pump's events stay in order
            headers={"id": given},
        )
    from faststream.nats import NatsBroker

    nats = NatsBroker(url)
    return nats, lambda given, body: nats.publish(body, name, headers={"Nats-Msg-Id": given}, stream=name)


async def send(url: str, name: str, made: list[tuple[str, bytes]], rate: float) -> None:
    """Send them, so many a second."""
    broker, one = sending(url, name)
    async with broker:
        clock = asyncio.get_running_loop()
        began = clock.time()
        for number, (given, body) in enumerate(made):
            await asyncio.sleep(max(0.0, began + number / rate - clock.time()))
            await one(given, body)


def main() -> None:
    """The command line."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("url", help="redis://…, kafka://… or nats://…")
    arguments.add_argument("--input", default="sensors", help="stream, topic or subject (sensors)")
    arguments.add_argument("--count", type=int, default=1000, help="events (1000)")
    arguments.add_argument("--rate", type=float, default=100.0, help="events a second (100)")
    arguments.add_argument("--broken", type=float, default=0.0, help="share of readings that are none (0)")
    arguments.add_argument("--seed", type=int, default=1, help="of the simulation (1)")
    options = arguments.parse_args()
    made = events(options.count, options.broken, options.seed)
    asyncio.run(send(options.url, options.input, made, options.rate))
    print(f"{len(made)} events sent to {options.input}")


if __name__ == "__main__":
    main()
