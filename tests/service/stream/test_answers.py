"""Events and what comes of them, over each broker: answers, dead letters, metrics, a version swap, a drain."""

import asyncio
import functools
import json
import math
import shutil
import signal
from pathlib import Path
from typing import Any

import httpx
import joblib
import pytest

import brokers
from deadly import HELD, Deadly
from server_process import serving
from stream_process import DEAD, EVERY, INPUT, OUTPUT, UNHURRIED, Start, StreamProcess, outcome, settled

TESTS = Path(__file__).parents[2]
ANSWERED = 'stream_events_total{outcome="answered"}'
Expected = dict[str, tuple[Any, list[float]]]


def rows(row: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Customers that differ."""
    return [{**row, "tenure": number % 72, "monthly_charges": 20 + number / 7} for number in range(count)]


def backlog(metrics: dict[str, float]) -> tuple[float | None, ...]:
    return tuple(metrics.get(f"stream_{name}") for name in ("up", "lag_events", "pending_events"))


async def test_the_same_row_gets_the_same_answer_as_an_event_and_over_rest(
    broker: brokers.Broker, start: Start, row: dict[str, Any], mount: Path, tmp_path: Path
) -> None:
    asked = {f"event-{number}": one for number, one in enumerate(rows(row, 150))}
    start(broker)
    await broker.produce(INPUT, [(name, json.dumps(one).encode()) for name, one in asked.items()])
    found = await settled(broker, list(asked))
    assert not found.dead
    with serving(tmp_path / "rest.log", str(mount / "churn/1.2.0")) as server:
        server.wait_for_live("1.2.0")
        async with httpx.AsyncClient() as client:
            for name, one in asked.items():
                over_rest = (await client.post(f"{server.url}/predict", json=one)).json()
                (as_event,) = found.answers[name]
                assert as_event.keys() == {"id", *over_rest}
                assert as_event["prediction"] == over_rest["prediction"]
                assert as_event["model_version"] == over_rest["model_version"]
                pairs = zip(as_event["probability"], over_rest["probability"], strict=True)
                assert all(math.isclose(ours, theirs, abs_tol=1e-12) for ours, theirs in pairs)


async def test_events_that_come_together_are_computed_together(
    broker: brokers.Broker, start: Start, row: dict[str, Any]
) -> None:
    body = json.dumps(row).encode()
    ids = [f"event-{number}" for number in range(600)]
    await broker.produce(INPUT, [(one, body) for one in ids])
    consumer = start(broker)
    found = await settled(broker, ids)
    assert not found.lost(ids)
    assert found.doubled() == 0
    metrics = consumer.metrics()
    labels = '{model="churn",model_version="1.2.0"}'
    assert metrics[f"prediction_batch_rows_sum{labels}"] == 600
    assert metrics[f"prediction_batch_rows_count{labels}"] < 300
    assert metrics['prediction_total{model="churn",model_version="1.2.0",status="200"}'] == 600
    consumer.wait_for(lambda: True if backlog(consumer.metrics()) == (1, 0, 0) else None)


async def test_an_event_without_an_id_is_called_by_its_place(
    broker: brokers.Broker, start: Start, row: dict[str, Any]
) -> None:
    await broker.produce(INPUT, [(None, json.dumps(row).encode()), (None, b"{")])
    start(broker, LOAD="lazy")  # the first event has the model loaded
    while True:
        found = await outcome(broker)
        if found.answers and found.dead:
            break
        await asyncio.sleep(0.2)
    assert all(name.startswith(f"{INPUT}/") for name in [*found.answers, *found.dead])
    (letter,) = found.dead.values()
    assert letter[0].headers["source"] == letter[0].id


async def test_what_cannot_be_answered_is_a_dead_letter_with_the_reason_and_the_payload_as_it_came(
    broker: brokers.Broker, start: Start, row: dict[str, Any]
) -> None:
    good = json.dumps(row).encode()
    strange = dict(row)
    strange["ténüre\n"] = strange.pop("tenure")
    poisoned = {
        "no-json": (b"{", "invalid_json", ""),
        "no-text": (b"\xff\xfe\x00", "invalid_json", ""),
        "empty": (b"", "invalid_json", "empty"),
        "nested": (b"[" * 100_000, "invalid_json", ""),
        "no-object": (b"17", "invalid_request", "not an object"),
        "missing": (json.dumps({**row, "tenure": None}).encode(), "invalid_field", "tenure"),
        "strange": (json.dumps(strange).encode(), "invalid_fields", "tenure is missing"),
        "mistyped": (json.dumps({**row, "tenure": "one"}).encode(), "invalid_field", "tenure"),
        "unknown": (json.dumps({**row, "contract": "eternal"}).encode(), "invalid_field", "contract"),
        "huge": (b'{"tenure": "' + b"x" * 300_000 + b'"}', "payload_too_large", "300"),
    }
    events = []
    for name, (body, _, _) in poisoned.items():
        events += [(f"before-{name}", good), (name, body)]
    await broker.produce(INPUT, [*events, ("last", good)])
    consumer = start(broker, STREAM_MOST_BYTES="200000")
    found = await settled(broker, [name for name, _ in events] + ["last"])
    assert set(found.dead) == set(poisoned)
    assert set(found.answers) == {*(f"before-{name}" for name in poisoned), "last"}
    assert found.doubled() == 0
    for name, (body, reason, said) in poisoned.items():
        (letter,) = found.dead[name]
        assert letter.body == body, name
        assert letter.headers["reason"] == reason, letter.headers
        assert said in letter.headers["message"], letter.headers
        assert letter.headers["source"].startswith(INPUT)
    every = "stream_event_seconds_count"  # which is counted when the broker has taken the message
    metrics = consumer.wait_for(lambda: one if (one := consumer.metrics())[every] > 2 * len(poisoned) else None)
    assert metrics['stream_events_total{outcome="payload_too_large"}'] == 1
    assert metrics[ANSWERED] == len(poisoned) + 1
    assert metrics[every] == 2 * len(poisoned) + 1


async def test_sigterm_settles_what_was_read_and_the_rest_of_the_group_goes_on(
    broker: brokers.Broker, start: Start, row: dict[str, Any]
) -> None:
    body = json.dumps(row).encode()
    consumers = [start(broker, **UNHURRIED), start(broker, **UNHURRIED)]
    for one in consumers:
        one.wait_until_ready()
    ids = [f"event-{number}" for number in range(3000)]
    sent = asyncio.create_task(broker.produce(INPUT, [(one, body) for one in ids]))
    leaving = consumers[0]
    await asyncio.to_thread(leaving.wait_for, lambda: leaving.metrics()[ANSWERED] or None)
    code = await asyncio.to_thread(leaving.end)
    await sent
    found = await settled(broker, ids)
    assert code == 0
    assert leaving.said("left")
    assert found.lost(ids) == []
    assert found.doubled() == 0
    assert not found.dead


@pytest.mark.needs("redis")
async def test_a_consumer_is_a_pod_with_a_cache_and_a_marker_which_says_that_it_leaves_and_reads_no_further(
    redis: brokers.Redis, start: Start, tmp_path: Path
) -> None:
    gate, state = tmp_path / "gate", tmp_path / "state"
    state.mkdir()
    joblib.dump(Deadly(seconds=0.05, gate=str(gate)), tmp_path / "held.joblib")  # too slow for the event loop
    model = {"MODEL_PATH": str(tmp_path / "held.joblib"), "PYTHONPATH": str(TESTS), "CACHE_URL": redis.url}
    pod = {"POD_NAME": "worker-1", "POD_UID": "uid-1", "STATE_DIR": str(state), "STREAM_CLAIM_AFTER": "600"}
    consumer = start(redis, **model, **pod, CACHE_SIZE="0")
    (line,) = consumer.said("listening")
    said = {name: line[name] for name in ("broker", "input", "output", "dead", "group")}
    assert said == {
        "broker": redis.url.removesuffix("/0"),
        "input": INPUT,
        "output": OUTPUT,
        "dead": DEAD,
        "group": "modelroll",
    }
    assert line["consumer"].startswith("worker-1-")
    async with redis.client() as client, asyncio.timeout(60):
        tenths = 0
        while not await client.keys("modelroll:*"):  # the cache's Redis is asked some time after the start
            await redis.produce(INPUT, [(None, b'{"x0": %d.5}' % (tenths := tenths + 1))])
            await asyncio.sleep(0.1)
        await redis.produce(INPUT, [("held", b'{"x0": %d}' % HELD)])
        while await client.xlen(OUTPUT) < tenths or not (await client.xpending(INPUT, "modelroll"))["pending"]:  # noqa: ASYNC110 - a broker has no event
            await asyncio.sleep(0.02)
    consumer.process.send_signal(signal.SIGINT)
    status = await asyncio.to_thread(consumer.wait_for_status, lambda found: found["state"] == "draining")
    assert status["pod"] == {"name": "worker-1", "uid": "uid-1"}
    assert (state / "loading.json").exists()
    await redis.produce(INPUT, [("late", b'{"x0": 1}')])
    gate.touch()
    assert await asyncio.to_thread(consumer.process.wait, 60) == 0
    found = await outcome(redis)
    assert "held" in found.answers
    assert "late" not in found.answers
    assert consumer.said("left")


@pytest.mark.needs("redis")
async def test_what_there_was_no_time_for_can_be_claimed_at_once(
    redis: brokers.Redis, start: Start, tmp_path: Path
) -> None:
    joblib.dump(Deadly(seconds=4), tmp_path / "slow.joblib")
    environment = {"MODEL_PATH": str(tmp_path / "slow.joblib"), "PYTHONPATH": str(TESTS)}
    leaving = start(redis, SHUTDOWN_TIMEOUT="1", STREAM_CLAIM_AFTER="600", STREAM_GROUP="those", **environment)
    leaving.wait_until_ready()
    await redis.produce(INPUT, [("slow", b'{"x0": 1.0}')])
    async with redis.client() as client:
        async with asyncio.timeout(60):
            while not (await client.xpending(INPUT, "those"))["pending"]:  # noqa: ASYNC110 - a broker has no event
                await asyncio.sleep(0.05)
        assert await asyncio.to_thread(leaving.end) == 0
        (left,) = await client.xpending_range(INPUT, "those", min="-", max="+", count=10)
    assert left["time_since_delivered"] >= 600_000


def has_answered_by(consumer: StreamProcess, version: str) -> bool | None:
    """Whether that version has answered something."""
    answered = f'prediction_total{{model="churn",model_version="{version}",status="200"}}'
    return consumer.metrics().get(answered, 0) > 0 or None


async def test_a_version_swap_under_way_loses_and_doubles_nothing(
    broker: brokers.Broker, start: Start, row: dict[str, Any], expected: Expected, mount: Path, tmp_path: Path
) -> None:
    targets = tmp_path / "targets"
    targets.mkdir()
    consumer = start(broker, MODEL_PATH="churn/1.2.0", MODEL_ROOT=str(mount), TARGET_DIR=str(targets))
    consumer.wait_until_ready()
    body = json.dumps(row).encode()
    ids: list[str] = []

    async def produce(until: asyncio.Event) -> None:
        while not until.is_set():
            some = [f"event-{len(ids) + number}" for number in range(20)]
            await broker.produce(INPUT, [(one, body) for one in some])
            ids.extend(some)

    ended = asyncio.Event()
    producing = asyncio.create_task(produce(ended))
    await asyncio.to_thread(consumer.wait_for, functools.partial(has_answered_by, consumer, "1.2.0"))
    (targets / "new").write_text(json.dumps({"path": "churn/2.0.0", "revision": 1, "version": "2.0.0"}))
    (targets / "new").replace(targets / "settled")
    await asyncio.to_thread(consumer.wait_for, functools.partial(has_answered_by, consumer, "2.0.0"))
    ended.set()
    await producing
    found = await settled(broker, ids)
    assert found.lost(ids) == []
    assert found.doubled() == 0
    versions = [found.answers[one][0]["model_version"] for one in ids]
    assert set(versions) == {"1.2.0", "2.0.0"}
    for (answer,) in found.answers.values():
        label, probability = expected[answer["model_version"]]
        assert answer["prediction"] == label
        pairs = zip(answer["probability"], probability, strict=True)
        assert all(math.isclose(ours, theirs, abs_tol=1e-9) for ours, theirs in pairs)


async def test_nothing_is_read_before_there_is_a_model(
    broker: brokers.Broker, start: Start, row: dict[str, Any], mount: Path
) -> None:
    shutil.move(mount / "churn/1.2.0", mount / "later")
    consumer = start(broker, MODEL_PATH=str(mount / "churn/1.2.0"))
    await broker.produce(INPUT, [("early", json.dumps(row).encode())])
    consumer.wait_for(lambda: consumer.said("refused") or None)
    assert consumer.get("/readyz").status_code == 503
    assert await broker.read(OUTPUT) == []
    shutil.move(mount / "later", mount / "churn/1.2.0")
    found = await settled(broker, ["early"])
    assert list(found.answers) == ["early"]
    assert await broker.read(DEAD) == []


@pytest.mark.parametrize("broker", EVERY[1:], indirect=True)  # Redis takes a message of any size
async def test_an_event_as_large_as_a_broker_takes_is_a_dead_letter_without_the_payload(
    broker: brokers.Broker, start: Start, row: dict[str, Any]
) -> None:
    largest = b"x" * (2**20 - 200)  # there is no room left for why it is dead
    await broker.produce(INPUT, [("large", largest), ("small", json.dumps(row).encode())])
    start(broker)
    found = await settled(broker, ["large", "small"])
    (letter,) = found.dead["large"]
    assert letter.headers["reason"] == "invalid_json"
    assert letter.headers["source"].startswith(INPUT)
    assert "payload" in letter.headers
    assert letter.body == b""
    assert list(found.answers) == ["small"]
