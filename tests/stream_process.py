"""A real `modelroll stream` in a process of its own, and what came of a set of events."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import brokers
from server_process import ServerProcess

INPUT, OUTPUT, DEAD = "sensors", "sensors.predictions", "sensors.dead"
EVERY = [
    pytest.param(brokers.Redis, id="redis", marks=pytest.mark.needs("redis")),
    pytest.param(brokers.Nats, id="nats", marks=pytest.mark.needs("nats-server")),
]
if os.environ.get("BROKERS") == "all":  # Kafka's takes a Java, and twenty seconds to start
    EVERY.append(pytest.param(brokers.Kafka, id="kafka", marks=pytest.mark.needs("kafka")))
UNHURRIED = {"MAX_BATCH_SIZE": "1024", "MAX_BATCH_DELAY_MS": "100"}  # something is in work nearly all the time
CLAIM_AFTER = 6  # seconds; as short as it may be


class StreamProcess(ServerProcess):
    """One consumer."""

    command = (sys.executable, "-m", "modelroll_server", "stream")

    def __init__(self, log: Path, url: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        fixed = {"STREAM_URL": url, "STREAM_INPUT": INPUT, "STREAM_CLAIM_AFTER": str(CLAIM_AFTER)}
        super().__init__(log, *arguments, environment={**fixed, "ARTIFACT_POLICY": "any", **(environment or {})})

    def wait_until_ready(self) -> None:
        """Until it consumes."""
        self.wait_for(lambda: True if self.get("/readyz").status_code == 200 else None)

    def metrics(self) -> dict[str, float]:
        """Its metrics by name, labels and all, such as `stream_events_total{outcome="answered"}`."""
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(self.get("/metrics").text):
            for sample in family.samples:
                labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return found

    def said(self, event: str) -> list[dict[str, Any]]:
        """What it logged under that name."""
        return [line for line in self.lines() if line.get("event") == event]

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait()


Start = Callable[..., StreamProcess]


@dataclass
class Outcome:
    """What came of events: messages by the id of their event."""

    answers: dict[str, list[dict[str, Any]]]
    dead: dict[str, list[brokers.Record]]

    def lost(self, ids: list[str]) -> list[str]:
        """Events for which there is nothing."""
        return [one for one in ids if one not in self.answers and one not in self.dead]

    def doubled(self) -> int:
        """Messages beyond one for each event."""
        count = Counter({one: len(found) for one, found in self.answers.items()})
        count.update({one: len(found) for one, found in self.dead.items()})
        return sum(number - 1 for number in count.values())


async def outcome(broker: brokers.Broker) -> Outcome:
    """What came of all events so far."""
    answers: dict[str, list[dict[str, Any]]] = {}
    for record in await broker.read(OUTPUT):
        found = json.loads(record.body)
        assert found["id"] == record.id
        answers.setdefault(record.id, []).append(found)
    dead: dict[str, list[brokers.Record]] = {}
    for record in await broker.read(DEAD):
        dead.setdefault(record.id, []).append(record)
    return Outcome(answers, dead)


async def settled(broker: brokers.Broker, ids: list[str], seconds: float = 120.0) -> Outcome:
    """What came of these events, once there is something for each; or whatever there is after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        found = None
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            found = await outcome(broker)
        if found is not None and (not found.lost(ids) or time.monotonic() > end):
            return found
        await asyncio.sleep(0.3)
