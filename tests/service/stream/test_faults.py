"""Consumers and brokers that die under load or freeze, events that kill: nothing is lost, and what is wrong is said."""

import asyncio
import contextlib
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import joblib
import pytest

import brokers
from deadly import FATAL, Deadly
from stream_process import CLAIM_AFTER, EVERY, INPUT, OUTPUT, UNHURRIED, Outcome, Start, StreamProcess, settled

SEED = 7
AT_LEAST = 1000  # events that are produced under load
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as in conftest
TESTS = Path(__file__).parents[2]
CONSUMERS = 3
KILLS = 8 if os.environ.get("BROKERS") == "all" else 4
ANSWERED = 'stream_events_total{outcome="answered"}'


class Load:
    """Events that are produced all the time, in bursts, some of them no rows; more than a thousand.

    Attributes:
        ids: Those that the broker has said yes to.
    """

    def __init__(self, broker: brokers.Broker, row: dict[str, Any], rng: random.Random) -> None:
        self.ids: list[str] = []
        self._broker = broker
        self._body = json.dumps(row).encode()
        self._rng = rng
        self._number = 0
        self._ended = False
        self._task = asyncio.create_task(self._produce())

    async def end(self) -> None:
        """Produce no more."""
        self._ended = True
        await self._task

    async def _produce(self) -> None:
        while not self._ended or len(self.ids) <= AT_LEAST:
            some = [f"event-{self._number + number}" for number in range(self._rng.randrange(50, 300))]
            self._number += len(some)
            bodies = [b"{" if self._rng.random() < 0.02 else self._body for _ in some]
            # A burst that failed with its broker may be there in part, under ids that nobody asks for.
            with contextlib.suppress(Exception):
                async with asyncio.timeout(10):
                    await self._broker.produce(INPUT, list(zip(some, bodies, strict=True)))
                self.ids += some
            await asyncio.sleep(0.1)


def check(found: Outcome, ids: list[str], *, kills: int, what: str) -> None:
    assert len(ids) > AT_LEAST
    print(f"{what}: {len(ids)} events, {kills} kills, {len(found.lost(ids))} lost, {found.doubled()} doubled")  # noqa: T201 - pytest -s
    assert found.lost(ids) == []
    for letters in found.dead.values():
        assert {one.headers["reason"] for one in letters} == {"invalid_json"}
        assert {one.body for one in letters} == {b"{"}


async def test_consumers_killed_at_random_under_load_lose_nothing(
    broker: brokers.Broker, start: Start, row: dict[str, Any]
) -> None:
    rng = random.Random(SEED)
    consumers = [start(broker, **UNHURRIED) for _ in range(CONSUMERS)]
    for one in consumers:
        one.wait_until_ready()
    load = Load(broker, row, rng)
    kills = 0

    def had_work() -> bool:
        """Whether some that died had something in work, which Kafka does not count."""
        is_counted = not isinstance(broker, brokers.Kafka)
        return not is_counted or any(one.metrics()["stream_events_redelivered_total"] for one in consumers)

    while kills < KILLS or not had_work():
        await asyncio.sleep(rng.uniform(0.3, 1.2))
        victim = rng.randrange(CONSUMERS)
        consumers[victim].kill()
        kills += 1
        consumers[victim] = await asyncio.to_thread(start, broker, **UNHURRIED)
    await load.end()
    found = await settled(broker, load.ids, 90)
    check(found, load.ids, kills=kills, what=f"consumers of {type(broker).__name__}")
    if isinstance(broker, brokers.Redis):
        assert found.doubled() == 0  # messages and acknowledgements are one script


async def test_a_broker_killed_under_load_loses_nothing_and_is_said_to_be_away(
    broker: brokers.Broker, start: Start, row: dict[str, Any]
) -> None:
    rng = random.Random(SEED)
    consumers = [start(broker) for _ in range(2)]
    for one in consumers:
        one.wait_until_ready()
    load = Load(broker, row, rng)
    for _ in range(2):
        await asyncio.sleep(rng.uniform(0.5, 1.5))
        broker.kill()
        await asyncio.to_thread(_wait_until_away, consumers[0])
        await asyncio.to_thread(broker.start)
        await asyncio.to_thread(consumers[0].wait_until_ready)
    await asyncio.sleep(1)
    await load.end()
    found = await settled(broker, load.ids, 90)
    check(found, load.ids, kills=2, what=f"a {type(broker).__name__} broker")
    assert all(one.process.poll() is None for one in consumers)


def _wait_until_away(consumer: StreamProcess) -> None:
    said = consumer.wait_for(lambda: ((one := consumer.get("/readyz")).status_code == 503 and one.text) or None)
    assert said.startswith("the broker at ")
    assert consumer.metrics()["stream_up"] == 0


async def test_a_consumer_leaves_in_time_though_its_broker_is_dead(
    broker: brokers.Broker, start: Start, row: dict[str, Any]
) -> None:
    consumer = start(broker, SHUTDOWN_TIMEOUT="2", **UNHURRIED)
    consumer.wait_until_ready()
    body = json.dumps(row).encode()
    ids = [f"event-{number}" for number in range(2000)]
    await broker.produce(INPUT, [(one, body) for one in ids])
    broker.kill()
    assert await asyncio.to_thread(consumer.end) == 0
    await asyncio.to_thread(broker.start)
    start(broker)
    found = await settled(broker, ids)
    assert found.lost(ids) == []


async def test_a_frozen_broker_is_said_to_be_away_and_loses_nothing(
    broker: brokers.Broker, start: Start, row: dict[str, Any]
) -> None:
    body = json.dumps(row).encode()
    stays, leaves = start(broker, **UNHURRIED), start(broker, SHUTDOWN_TIMEOUT="1", **UNHURRIED)
    for one in (stays, leaves):
        one.wait_until_ready()
    ids = [f"event-{number}" for number in range(3000)]
    await broker.produce(INPUT, [(one, body) for one in ids])
    broker.freeze()
    frozen, before = time.monotonic(), _cpu(stays)
    try:
        leaving = asyncio.create_task(asyncio.to_thread(leaves.end))
        await asyncio.to_thread(_wait_until_away, stays)
        assert await leaving == 0
        share = (_cpu(stays) - before) / (time.monotonic() - frozen)
        assert share < 0.5, "it waits, and does not try all the time"
        assert len(stays.said("the broker is not consumed from; it is tried again")) == 1
        assert stays.get("/livez").status_code == 200
    finally:
        broker.thaw()
    await asyncio.to_thread(stays.wait_until_ready)
    found = await settled(broker, ids)
    assert found.lost(ids) == []
    assert stays.process.poll() is None


def _cpu(consumer: StreamProcess) -> float:
    """Seconds that it has computed."""
    fields = Path(f"/proc/{consumer.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_a_consumer_waits_for_a_broker_that_is_not_there_yet(
    broker: brokers.Broker, start: Start, row: dict[str, Any]
) -> None:
    await broker.produce(INPUT, [("early", json.dumps(row).encode())])
    broker.kill()
    consumer = start(broker)
    consumer.wait_for_live("1.2.0")
    (line, *_) = consumer.wait_for(lambda: consumer.said("the broker is not consumed from; it is tried again") or None)
    assert broker.url.rpartition("/0")[0] or broker.url in line["broker"]
    assert line["why"]
    assert consumer.get("/livez").status_code == 200
    assert "is not consumed from: " in consumer.get("/readyz").text
    broker.start()
    found = await settled(broker, ["early"], 60)
    assert list(found.answers) == ["early"]


@pytest.mark.needs("redis")
async def test_a_frozen_consumer_that_goes_on_doubles_nothing_in_redis(
    redis: brokers.Redis, start: Start, row: dict[str, Any]
) -> None:
    body = json.dumps(row).encode()
    frozen, other = start(redis), start(redis)
    for one in (frozen, other):
        one.wait_until_ready()
    ids = [f"event-{number}" for number in range(3000)]
    producing = asyncio.create_task(redis.produce(INPUT, [(one, body) for one in ids]))
    await asyncio.to_thread(frozen.wait_for, lambda: frozen.metrics()[ANSWERED] or None)
    frozen.process.send_signal(signal.SIGSTOP)
    await producing
    found = await settled(redis, ids, CLAIM_AFTER + 60)
    assert found.lost(ids) == []
    frozen.process.send_signal(signal.SIGCONT)
    more = [f"more-{number}" for number in range(500)]
    await redis.produce(INPUT, [(one, body) for one in more])
    found = await settled(redis, more)
    assert found.lost(more) == []
    assert found.doubled() == 0


@pytest.mark.needs("redis")
async def test_what_redis_refuses_to_take_is_kept_and_the_lag_says_so(
    redis: brokers.Redis, start: Start, row: dict[str, Any]
) -> None:
    async with redis.client() as client:
        await client.set("sensors.predictions", "no stream")
    ids = [f"event-{number}" for number in range(500)]
    await redis.produce(INPUT, [(one, json.dumps(row).encode()) for one in ids])
    consumer = start(redis)
    (line, *_) = consumer.wait_for(lambda: consumer.said("the broker took no messages") or None)
    assert "WRONGTYPE" in line["why"]
    waits = {("stream_lag_events", len(ids) - 64), ("stream_pending_events", 64)}
    consumer.wait_for(lambda: waits <= consumer.metrics().items() or None)
    async with redis.client() as client:
        await client.delete("sensors.predictions")
    found = await settled(redis, ids)
    assert found.lost(ids) == []
    assert found.doubled() == 0
    consumer.wait_for(lambda: True if consumer.metrics()["stream_lag_events"] == 0 else None)


@pytest.mark.needs("redis")
async def test_a_stream_that_was_deleted_is_begun_anew(redis: brokers.Redis, start: Start, row: dict[str, Any]) -> None:
    consumer = start(redis)
    consumer.wait_until_ready()
    async with redis.client() as client:
        await client.delete(INPUT)
    await redis.produce(INPUT, [("after", json.dumps(row).encode())])
    found = await settled(redis, ["after"])
    assert list(found.answers) == ["after"]
    consumer.wait_until_ready()


@pytest.mark.needs("redis")
async def test_what_was_trimmed_before_anybody_was_given_it_is_not_waited_for(
    redis: brokers.Redis, start: Start
) -> None:
    async with redis.client() as client:
        await client.xgroup_create(INPUT, "modelroll", id="0", mkstream=True)
        await redis.produce(INPUT, [(None, b"{") for _ in range(100)])
        await client.xreadgroup("modelroll", "nobody", {INPUT: ">"}, count=10, noack=True)
        await client.xtrim(INPUT, maxlen=0, approximate=False)
    consumer = start(redis)
    consumer.wait_until_ready()
    consumer.wait_for(lambda: consumer.metrics().get("stream_lag_events") == 0 or None)


@pytest.mark.needs("nats-server")
@pytest.mark.parametrize("broker", EVERY[1:2], indirect=True)
async def test_an_output_that_was_deleted_is_made_again(
    broker: brokers.Nats, start: Start, row: dict[str, Any]
) -> None:
    consumer = start(broker)
    consumer.wait_until_ready()
    await broker.delete(OUTPUT)
    await broker.produce(INPUT, [("after", json.dumps(row).encode())])
    assert list((await settled(broker, ["after"])).answers) == ["after"]
    assert consumer.process.poll() is None


@pytest.mark.needs("redis")
async def test_a_slow_model_keeps_what_it_was_given(redis: brokers.Redis, start: Start, tmp_path: Path) -> None:
    joblib.dump(Deadly(seconds=1.5 * CLAIM_AFTER), tmp_path / "slow.joblib")
    consumers = [start(redis, MODEL_PATH=str(tmp_path / "slow.joblib"), PYTHONPATH=str(TESTS))]
    consumers[0].wait_until_ready()
    await redis.produce(INPUT, [("slow", b'{"x0": 1.0}')])
    async with redis.client() as client, asyncio.timeout(60):
        while not (await client.xpending(INPUT, "modelroll"))["pending"]:  # noqa: ASYNC110 - a broker has no event
            await asyncio.sleep(0.05)
    consumers.append(start(redis, MODEL_PATH=str(tmp_path / "slow.joblib"), PYTHONPATH=str(TESTS)))
    found = await settled(redis, ["slow"])
    assert found.doubled() == 0
    assert len(found.answers["slow"]) == 1
    assert sum(one.metrics()["stream_events_redelivered_total"] for one in consumers) == 0


@pytest.mark.parametrize("broker", EVERY[:2], indirect=True)  # Kafka, the third, does not count deliveries
async def test_an_event_that_kills_whoever_computes_it_ends_as_a_dead_letter(
    broker: brokers.Broker, start: Start, tmp_path: Path
) -> None:
    joblib.dump(Deadly(), tmp_path / "deadly.joblib")
    ids = [f"event-{number}" for number in range(200)]
    events = [(one, b'{"x0": 1.0}') for one in ids]
    events.insert(100, ("fatal", b'{"x0": %d}' % FATAL))
    await broker.produce(INPUT, events)

    def begin() -> StreamProcess:
        environment = {"MODEL_PATH": str(tmp_path / "deadly.joblib"), "PYTHONPATH": str(TESTS)}
        return start(broker, STREAM_MOST_DELIVERIES="2", **environment)

    consumer = begin()
    deaths = 0
    found = await settled(broker, ["fatal"], 0.1)
    end = time.monotonic() + 240
    while found.lost([*ids, "fatal"]) and time.monotonic() < end:
        if consumer.process.poll() is not None:
            deaths += 1
            consumer = await asyncio.to_thread(begin)
        await asyncio.sleep(0.5)
        found = await settled(broker, ["fatal"], 0.1)
    assert found.lost([*ids, "fatal"]) == []
    (letter,) = found.dead["fatal"]
    assert letter.headers["reason"] == "too_many_deliveries"
    assert letter.body == b'{"x0": %d}' % FATAL
    assert deaths == 2
    if isinstance(broker, brokers.Redis):
        assert list(found.dead) == ["fatal"]
