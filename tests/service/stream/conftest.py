"""Brokers, and consumers that end with their test."""

import gc
import itertools
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import brokers
from stream_process import DEAD, EVERY, INPUT, OUTPUT, Start, StreamProcess


@pytest.fixture(params=EVERY)
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[brokers.Broker]:
    """Each broker, with empty streams."""
    directory = tmp_path / "broker"
    directory.mkdir()
    found: brokers.Broker = request.param(directory)
    try:
        await found.prepare(INPUT, OUTPUT, DEAD)
        yield found
    finally:
        found.kill()
        with warnings.catch_warnings():  # clients under which a broker is killed leave sockets behind
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[brokers.Redis]:
    """A Redis, for what only Redis does."""
    directory = tmp_path / "broker"
    directory.mkdir()
    found = brokers.Redis(directory)
    try:
        yield found
    finally:
        found.kill()


@pytest.fixture
def start(tmp_path: Path, mount: Path) -> Iterator[Start]:
    """Starts consumers of `sensors`, by churn 1.2.0 unless something else is said; they end with the test."""
    running: list[StreamProcess] = []
    numbers = itertools.count()

    def begin(broker: brokers.Broker, *arguments: str, **environment: str) -> StreamProcess:
        model = {"MODEL_PATH": str(mount / "churn/1.2.0")}
        log = tmp_path / f"consumer-{next(numbers)}.log"
        running.append(StreamProcess(log, broker.url, *arguments, environment={**model, **environment}))
        return running[-1]

    yield begin
    for one in running:
        if one.process.poll() is None:
            one.kill()
