"""A batcher over a stand-in model that remembers its batches, and computes until it is let go where a test says so."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import stand_in
from modelroll_server.batching.admission import Admission
from modelroll_server.batching.batch import Computation
from modelroll_server.batching.batcher import Batcher, Limits
from modelroll_server.batching.threads import Threads
from modelroll_server.schema import Row, Schema
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.tensors import Answers, Table

SCHEMA = Schema(stand_in.INPUTS)


def rows(*tenures: int) -> list[Row]:
    return [(tenure, 0.5, "month") for tenure in tenures]


def table(*tenures: int) -> Table:
    return SCHEMA.table(rows(*tenures))


def labels(answers: Answers) -> list[int]:
    found: list[int] = answers.outputs.prediction.tolist()
    return found


@dataclass
class Desk:
    """A batcher over a stand-in model that remembers its batches; many may share the threads and the bound."""

    threads: Threads
    admission: Admission
    metrics: Metrics
    batches: list[list[int]] = field(default_factory=list)

    def batcher(self, before: Callable[[Table], None] = lambda _: None, limits: Limits | None = None) -> Batcher:
        def note(computed: Table) -> None:
            self.batches.append(computed.columns[0].tolist())
            before(computed)

        return Batcher(
            Computation(stand_in.Echo(note), SCHEMA, "churn", "1.0.0"),
            threads=self.threads,
            admission=self.admission,
            limits=limits or Limits(),
            metrics=self.metrics,
            batch_rows=self.metrics.batch_rows.labels("churn", "1.0.0"),
        )


def desk(threads: int = 1, max_rows: int = 4096) -> Desk:
    metrics = Metrics()
    return Desk(Threads(threads), Admission(max_rows), metrics)


def soon(seconds: float = 60) -> float:
    return time.monotonic() + seconds


class Held:
    """What a model does that computes until it is let go."""

    def __init__(self) -> None:
        self.computing, self.may_end = threading.Event(), threading.Event()

    def wait(self, _: Table) -> None:
        self.computing.set()
        assert self.may_end.wait(60)

    async def begun(self) -> None:
        assert await asyncio.to_thread(self.computing.wait, 60)


async def left(desk: Desk) -> None:
    """Wait until nothing waits: who was given up last leaves when the next batch is made."""
    async with asyncio.timeout(60):
        while desk.admission.rows:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)


async def learnt(batcher: Batcher) -> None:
    """Ask until the batcher knows that this model is cheap."""
    for _ in range(20):
        await batcher.submit(rows(0), 1, soon())
