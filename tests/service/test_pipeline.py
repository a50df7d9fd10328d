"""The rows of one stream: order, how many are begun ahead, whose a fault is, and those of a client that is gone."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

import stand_in
from modelroll_server import errors, pipeline
from modelroll_server.inference import Inference
from modelroll_server.pipeline import Pipeline
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.target import Target
from modelroll_server.registry.version import Version
from modelroll_server.schema import Row
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.tensors import Answers


class Server:
    """What is live, and what predicts it on one thread."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.registry = Registry(self.metrics)
        self.inference = Inference(self.registry, self.metrics, threads=1)
        self.swap(stand_in.Echo())

    def swap(self, runtime: stand_in.Echo) -> None:
        version = stand_in.version("1.0.0", runtime)
        self.registry.swap(version, Target("settled", 1, version.content))

    async def answer(self, tenure: int) -> None:
        """Have one row answered outside of any stream."""
        version = self.registry.live
        assert version is not None
        await self.inference.predict(version, [decode(version, tenure)], time.monotonic() + 60)

    def pipeline(self, seconds: float = 10.0) -> Pipeline[int]:
        return Pipeline(self.registry, self.inference, self.metrics, decode, seconds=seconds)


def decode(version: Version, tenure: int) -> Row:
    """A row with that tenure; a bad one is refused, and one is a fault of the decoder's own."""
    if tenure == 13:
        raise TypeError("secret")
    return version.schema.decode_row({**stand_in.ROW, "tenure": tenure, "charges": 0.5 if tenure >= 0 else "x"})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    yield found
    found.inference.close()


async def rest(stream: Pipeline[int]) -> list[Any]:
    """What the rows that are left are answered with: the label, or the error."""
    found: list[Any] = []
    while (begun := await stream.next()) is not None:
        result = begun.result()
        found.append(result.first()[0] if isinstance(result, Answers) else result)
        stream.count(begun, 200)
    return found


async def test_rows_are_answered_in_order_and_a_bad_one_by_its_error(server: Server) -> None:
    stream = server.pipeline()

    async def read() -> None:
        for tenure in [*range(10), -1, 13, *range(20, 300)]:
            await stream.begin(tenure)

    with capture_logs() as logs:
        async with stream.reading(read()):
            found = await rest(stream)
    assert found[:10] == list(range(10))
    assert isinstance(found[10], errors.InvalidField)
    assert found[11] is None  # the server's own fault
    assert found[12:] == list(range(20, 300))
    assert [entry["event"] for entry in logs] == ["a row failed"]
    assert b'prediction_total{model="churn",model_version="1.0.0",status="200"} 292.0' in server.metrics.exposition()


async def test_a_fault_of_the_reader_is_the_streams_once_what_it_read_is_answered(server: Server) -> None:
    stream = server.pipeline()

    async def read() -> None:
        for tenure in range(3):
            await stream.begin(tenure)
        raise ValueError("lost")

    async with stream.reading(read()):
        for tenure in range(3):
            begun = await stream.next()
            assert begun is not None
            found = begun.result()
            assert isinstance(found, Answers)
            assert found.first()[0] == tenure
        with pytest.raises(ValueError, match="lost"):
            await stream.next()


async def test_no_more_rows_are_begun_than_may_be_unanswered(server: Server) -> None:
    stream = server.pipeline()
    begun: list[int] = []
    full = asyncio.Event()

    async def read() -> None:
        for tenure in range(20, 220):
            if len(begun) == pipeline.IN_FLIGHT - 1:
                full.set()
            begun.append(tenure)
            await stream.begin(tenure)

    async with stream.reading(read()):
        await full.wait()
        await server.answer(1)  # time for more, were there room
        assert len(begun) == pipeline.IN_FLIGHT
        assert await rest(stream) == list(range(20, 220))
    assert len(begun) == 200


async def test_a_gone_clients_rows_are_not_computed(server: Server) -> None:
    computed: list[int] = []
    may_end, all_begun = threading.Event(), asyncio.Event()

    def compute(rows: int) -> None:
        computed.append(rows)
        assert may_end.wait(60)

    server.swap(stand_in.Echo(lambda table: compute(table.rows)))
    stream = server.pipeline()

    async def read() -> None:
        for tenure in range(20, 19 + pipeline.IN_FLIGHT):
            await stream.begin(tenure)
        all_begun.set()

    async with stream.reading(read()):
        await all_begun.wait()
    may_end.set()
    await server.answer(1)
    assert computed == [32, 1]  # the batch that was on its way, and not the 31 rows that waited
    assert b"requests_in_flight 0.0" in server.metrics.exposition()
    assert b"queued_rows 0.0" in server.metrics.exposition()


async def test_reading_ends_when_it_is_told_to_and_what_was_read_is_answered(server: Server) -> None:
    stream = server.pipeline()
    waits = asyncio.Event()

    async def read() -> None:
        await stream.begin(1)
        await stream.begin(2)
        waits.set()
        await asyncio.Event().wait()

    async with stream.reading(read()):
        await waits.wait()
        stream.stop()
        assert await rest(stream) == [1, 2]


async def test_a_row_that_is_late_is_answered_by_that(server: Server) -> None:
    may_end = threading.Event()

    def wait(_: object) -> None:
        assert may_end.wait(60)

    server.swap(stand_in.Echo(wait))
    stream = server.pipeline(seconds=0.05)

    async def read() -> None:
        await stream.begin(1)

    async with stream.reading(read()):
        (found,) = await rest(stream)
    may_end.set()
    assert isinstance(found, errors.DeadlineExceeded)
