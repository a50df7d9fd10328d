"""Which rows are counted: those that the live version answers, few of many, and none that a candidate answers."""

import asyncio
import math
import time
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

import stand_in
from modelroll_server import errors
from modelroll_server.batching.batcher import Limits
from modelroll_server.cache.cache import Bounds, Cache
from modelroll_server.drift import watch
from modelroll_server.drift.window import Sample
from modelroll_server.inference import Inference
from modelroll_server.packing import histograms
from modelroll_server.registry.beside import Beside
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.target import Candidate, Target
from modelroll_server.registry.version import Version
from modelroll_server.schema import Input, Row
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.tensors import Datatype, Table

SPREADS = (
    histograms.of_numbers(np.arange(0, 100), missing=0),
    histograms.of_numbers(np.linspace(0, 1, 100), missing=0),
    histograms.of_texts(["month", "year"] * 50, ["month", "year"]),
)
INPUTS = [
    msgspec.structs.replace(column, histogram=spread) for column, spread in zip(stand_in.INPUTS, SPREADS, strict=True)
]


class Placed:
    """A version live, what predicts by it, and the samples that came of that."""

    def __init__(self, inputs: list[Input] = INPUTS, *, cache: bool = False, max_queued_rows: int = 4096) -> None:
        metrics = Metrics()
        self.samples: list[Sample] = []
        self.registry = Registry(metrics)
        self.live = stand_in.version(inputs=inputs)
        self.registry.swap(self.live, Target("settled", 1, self.live.content))
        self.inference = Inference(
            self.registry,
            metrics,
            threads=1,
            limits=Limits(queued=max_queued_rows),
            cache=Cache(Bounds(2**20, 300.0)) if cache else None,
            watch=watch.Watch(self.samples.append, count_after=0.0),
        )

    async def predict(self, rows: list[Row] | Table, version: Version | None = None) -> None:
        await self.inference.predict(version or self.live, rows, time.monotonic() + 60)

    async def sample(self) -> Sample:
        """The one sample, once it is there."""
        await self.until(lambda: len(self.samples) > 0)
        (found,) = self.samples
        return found

    async def until_counted(self, rows: int) -> None:
        """Wait until so many rows are in samples."""
        await self.until(lambda: sum(sample.rows for sample in self.samples) == rows)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not is_so():  # noqa: ASYNC110 - samples come by a callback
                await asyncio.sleep(0.001)


def rows(count: int, first: Callable[[int], int] = lambda index: index % 100) -> list[Row]:
    """Rows of the three inputs, of which one in ten lacks its charges."""
    return [
        (first(index), math.nan if index % 10 == 0 else index / count, ("month", "year")[index % 2])
        for index in range(count)
    ]


async def test_every_row_of_a_few_is_counted_and_says_what_was_served() -> None:
    placed = Placed()
    for row in rows(100):
        await placed.predict([row])
    await placed.until_counted(100)
    served = np.sum([sample.served for sample in placed.samples], axis=0)
    population = placed.samples[0].population
    assert population.inputs == ["tenure", "charges", "contract"]
    assert (population.model, population.version, population.digest) == ("churn", "1.0.0", placed.live.digest)
    starts = population.starts
    assert served[: starts[1]].tolist() == [*population.trained[: starts[1] - 1], 0]
    assert served[starts[2] - 1] == 10
    assert served[starts[2] :].tolist() == [50, 50, 0, 0]


async def test_rows_that_come_as_columns_are_counted_as_those_of_json_are() -> None:
    by_row, by_column = Placed(), Placed()
    asked = rows(200)
    await by_row.predict(asked)
    await by_column.predict(by_column.live.schema.table(asked))
    assert await by_row.sample() == await by_column.sample()


async def test_one_block_of_numbers_is_counted() -> None:
    number = msgspec.structs.replace(INPUTS[1], missing="nan")
    placed = Placed([msgspec.structs.replace(number, name=name) for name in ("x0", "x1", "x2")])
    await placed.predict(Table(("x0", "x1", "x2"), np.full((50, 3), 2.0), 50))
    sample = await placed.sample()
    assert sample.rows == 50
    assert [count for count in sample.served if count] == [50, 50, 50]


async def test_of_many_rows_few_are_counted_and_later_as_few_at_distances() -> None:
    """In the end as many in each part of the requests, whether they are large or small."""
    placed = Placed()
    await placed.predict(rows(10_000))
    assert (await placed.sample()).rows == watch.MOST_ROWS
    placed.samples.clear()
    first = rows(10_000, lambda index: 0 if index < 5000 else 99)
    await placed.predict(first)
    sample = await placed.sample()
    assert 0.6 * watch.MOST_ROWS < sample.rows <= watch.MOST_ROWS
    low = sample.served[0]
    assert 0.4 < low / sample.rows < 0.65


async def test_of_a_wide_model_fewer_rows_are_counted() -> None:
    inputs = [msgspec.structs.replace(INPUTS[1], name=f"x{index}") for index in range(1000)]
    placed = Placed(inputs)
    await placed.predict(Table(placed.live.schema.names, np.zeros((500, 1000)), 500))
    sample = await placed.sample()
    assert sample.rows == watch.MOST_VALUES // 1000
    assert sum(sample.served) == sample.rows * 1000


async def test_answers_of_the_cache_are_counted() -> None:
    placed = Placed(cache=True)
    for _ in range(3):
        await placed.predict([(3, 0.5, "month")])
    await placed.until_counted(3)


async def test_what_is_refused_is_not_counted() -> None:
    placed = Placed(max_queued_rows=10)
    deadline = time.monotonic() + 60
    taken = placed.inference.predict(placed.live, rows(10), deadline)
    with pytest.raises(errors.Overloaded):
        placed.inference.predict(placed.live, rows(5), deadline)
    await taken
    assert (await placed.sample()).rows == 10


@pytest.mark.parametrize(("percent", "shadow", "counted"), [(0.0, True, 40), (100.0, False, 0)])
async def test_what_a_candidate_answers_or_is_compared_by_counts_not_for_the_live_version(
    percent: float, shadow: bool, counted: int
) -> None:
    placed = Placed()
    candidate = stand_in.version("2.0.0", inputs=INPUTS)
    placed.registry.beside = Beside(candidate, Candidate(candidate.content, percent, shadow), 2)
    for row in rows(40):
        await placed.predict([row])
    placed.registry.beside = None
    await placed.predict([(3, 0.5, "month")])
    await placed.until_counted(counted + 1)
    assert {sample.population.version for sample in placed.samples} == {"1.0.0"}


async def test_a_model_without_histograms_is_not_watched() -> None:
    placed = Placed(stand_in.INPUTS)
    await placed.predict(rows(40))
    with_numbers = Placed([msgspec.structs.replace(column, datatype=Datatype.ANY) for column in stand_in.INPUTS])
    await with_numbers.predict([(1.5, 0.5, None)])
    assert placed.samples == with_numbers.samples == []
