"""`modelroll stream` beside a bare consumer of the same broker, in the same run: events a second.

Each run is a process of its own and a group of its own over the same events, which are there before. They take turns,
and a ratio is taken of two neighbours: on a machine that others share too, absolute figures of two minutes are not
comparable. What a consumer needs to start and to read first is not counted. modelroll is looked at seldom, since each
look takes both some milliseconds, and between two looks at which events were left.
"""

import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks import models, places
from modelroll_server.telemetry import cpu

if TYPE_CHECKING:
    import brokers

READS, SENDS, OURS = "bare: reads, acknowledges", "bare: sends the body on, too", "modelroll stream"
NAMES = ("redis", "nats", "kafka")
_START_SECONDS, _LOOK_SECONDS = 0.1, 0.5
_PATIENCE = 120.0
_INPUT = "benchmark"


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes:
        rate: Events a second.
        cpu: Microseconds of processor time for an event.
        broker: Those of the broker.
    """

    rate: float
    cpu: float
    broker: float


@dataclass(frozen=True)
class Found:
    """What one subject showed.

    Attributes:
        name: Of it.
        rate: Events a second, median.
        reads: That to the loop that reads and acknowledges, median.
        sends: That to the loop that also sends one message for each event, median.
        cpu: Microseconds of processor time for an event, median.
        broker: Those of the broker, median.
    """

    name: str
    rate: float
    reads: float
    sends: float
    cpu: float
    broker: float


def measure(kind: str, name: str, events: int, times: int) -> Iterator[Found]:
    """The two bare loops and modelroll, over so many events in a broker of its own."""
    model = models.open_model(name)
    artifact = model.compiled or model.uncompiled
    bodies = [json.dumps(row).encode() for row in model.rows]
    runs: dict[str, list[Measured]] = {READS: [], SENDS: [], OURS: []}
    groups = (f"group-{number}" for number in itertools.count())
    with tempfile.TemporaryDirectory() as directory:
        broker = _broker(kind, Path(directory))
        try:
            asyncio.run(_fill(broker, bodies, events))
            (process,) = psutil.Process().children()
            for _ in range(times):
                runs[READS].append(_bare("read", broker.url, process, next(groups), events))
                runs[SENDS].append(_bare("send", broker.url, process, next(groups), events))
                runs[OURS].append(_ours(broker.url, process, next(groups), events, artifact, Path(directory) / "log"))
        finally:
            broker.kill()
    for subject, found in runs.items():
        yield Found(
            name=subject,
            rate=statistics.median(one.rate for one in found),
            reads=statistics.median(one.rate / bare.rate for one, bare in zip(found, runs[READS], strict=True)),
            sends=statistics.median(one.rate / bare.rate for one, bare in zip(found, runs[SENDS], strict=True)),
            cpu=statistics.median(one.cpu for one in found),
            broker=statistics.median(one.broker for one in found),
        )


def _broker(kind: str, directory: Path) -> "brokers.Broker":
    sys.path.append(str(places.ROOT / "tests"))  # where they stand, in no package
    import brokers

    kinds: dict[str, Callable[[Path], brokers.Broker]] = {
        "redis": brokers.Redis,
        "nats": brokers.Nats,
        "kafka": brokers.Kafka,
    }
    return kinds[kind](directory)


async def _fill(broker: "brokers.Broker", bodies: list[bytes], events: int) -> None:
    await broker.prepare(_INPUT, f"{_INPUT}.predictions", f"{_INPUT}.dead")
    await broker.produce(_INPUT, ((None, body) for body in itertools.islice(itertools.cycle(bodies), events)))


def _bare(kind: str, url: str, broker: psutil.Process, group: str, events: int) -> Measured:
    command = [sys.executable, "-m", "benchmarks.events_run", kind, url, _INPUT, group, str(events)]
    before = _computed(broker)
    said = subprocess.run(command, cwd=places.ROOT, check=True, capture_output=True, text=True, timeout=_PATIENCE)
    found = json.loads(said.stdout)
    return Measured(
        rate=found["events"] / found["seconds"],
        cpu=1e6 * found["computed"] / found["events"],
        broker=1e6 * (_computed(broker) - before) / events,
    )


def _ours(url: str, broker: psutil.Process, group: str, events: int, artifact: Path, log: Path) -> Measured:
    from stream_process import StreamProcess

    environment = {**cpu.thread_variables(1, os.environ), "MODEL_PATH": str(artifact), "STREAM_INPUT": _INPUT}
    consumer = StreamProcess(log, url, environment={**environment, "STREAM_GROUP": group})
    process = psutil.Process(consumer.process.pid)

    def look() -> tuple[float, float, float, float]:
        """The time, what was settled, and what it and the broker computed."""
        metrics = consumer.metrics()
        assert metrics['stream_events_total{outcome="answered"}'] == metrics["stream_event_seconds_count"]
        return time.monotonic(), metrics["stream_event_seconds_count"], _computed(process), _computed(broker)

    try:
        end = time.monotonic() + _PATIENCE
        while not (first := look())[1]:
            time.sleep(_START_SECONDS)
        last = now = first
        while now[1] < events:
            assert time.monotonic() < end, log.read_text()
            time.sleep(_LOOK_SECONDS)
            last, now = now, look()
    finally:
        consumer.kill()
        log.unlink()
    assert last is not first, f"{events} events are over too soon to be measured; take more"
    seconds, settled, computed, computed_there = (after - before for before, after in zip(first, last, strict=True))
    return Measured(settled / seconds, 1e6 * computed / settled, 1e6 * computed_there / settled)


def _computed(process: psutil.Process) -> float:
    """Seconds of processor time."""
    times = process.cpu_times()
    return float(times.user + times.system)
