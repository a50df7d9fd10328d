"""Brokers that are spoken to over TLS, by whom they know: who is taken, who is refused with what words, and when."""

import json
import os
from typing import Any

import pytest

import brokers
import guarded_brokers
from broker_guard import PASSWORD, USER
from stream_process import INPUT, Start, settled

GUARDED = [
    pytest.param(guarded_brokers.Redis, id="redis", marks=pytest.mark.needs("redis")),
    pytest.param(guarded_brokers.Nats, id="nats", marks=pytest.mark.needs("nats-server")),
]
if os.environ.get("BROKERS") == "all":
    GUARDED.append(pytest.param(guarded_brokers.Kafka, id="kafka", marks=pytest.mark.needs("kafka")))
guarded = pytest.mark.parametrize("broker", GUARDED, indirect=True)
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as in conftest


def known(broker: Any) -> dict[str, str]:
    """The environment of whom it takes."""
    files = broker.guard
    found = {"STREAM_USER": USER, "STREAM_PASSWORD": PASSWORD, "STREAM_CA": str(files.authority)}
    if isinstance(broker, brokers.Kafka):
        return {**found, "STREAM_SASL": "scram-sha-512"}
    return {**found, "STREAM_CERTIFICATE": str(files.certificate), "STREAM_KEY": str(files.key)}


@guarded
async def test_events_are_answered_over_tls_by_whom_the_broker_knows(
    broker: brokers.Broker, start: Start, row: dict[str, Any]
) -> None:
    ids = [f"event-{number}" for number in range(200)]
    await broker.produce(INPUT, [(one, json.dumps(row).encode()) for one in ids])
    consumer = start(broker, **known(broker))
    found = await settled(broker, ids)
    assert found.lost(ids) == []
    assert found.doubled() == 0
    assert PASSWORD not in consumer.log.read_text()


@guarded
async def test_who_is_refused_at_the_start_ends_with_the_reason(broker: Any, start: Start) -> None:
    right = known(broker)
    wrong = {
        "refuses the user or the password": {**right, "STREAM_PASSWORD": "another"},
        "is not trusted": {**right, "STREAM_CA": str(broker.guard.stranger)},
    }
    if isinstance(broker, brokers.Redis):  # NATS says nothing of a certificate that it misses, and hangs up
        wrong["there is no TLS with"] = {**right, "STREAM_CERTIFICATE": "", "STREAM_KEY": ""}
    consumers = {said: start(broker, **environment) for said, environment in wrong.items()}
    for said, consumer in consumers.items():
        assert consumer.process.wait(60) == 1, consumer.log.read_text()
        last = consumer.log.read_text().splitlines()[-1]
        assert last.startswith(f"modelroll: {'there is' if said.startswith('there') else 'the '}"), last
        assert said in last
        assert f"127.0.0.1:{broker.port}" in last
        assert "Traceback" not in consumer.log.read_text()


@pytest.mark.needs("redis")
@pytest.mark.parametrize("broker", GUARDED[:1], indirect=True)
async def test_a_password_that_is_taken_away_for_a_while_is_tried_again(
    broker: Any, start: Start, row: dict[str, Any]
) -> None:
    consumer = start(broker, **known(broker))
    consumer.wait_until_ready()
    async with broker.client() as client:
        await client.execute_command("ACL", "SETUSER", "admin", "on", "~*", "&*", "+@all", ">admin")
        await client.execute_command("ACL", "SETUSER", USER, "resetpass")
        await client.execute_command("CLIENT", "KILL", "USER", USER, "SKIPME", "yes")
        consumer.wait_for(lambda: "refuses the user" in consumer.get("/readyz").text or None)
        await client.execute_command("ACL", "SETUSER", USER, f">{PASSWORD}")
    await broker.produce(INPUT, [("after", json.dumps(row).encode())])
    assert list((await settled(broker, ["after"])).answers) == ["after"]
    consumer.wait_until_ready()
