"""The one path of a prediction: pin the live version, decode, wait for a turn, compute.

Every transport calls this with its own decoding and encodes what comes back. Owns the threads that compute, the bound
on what waits for them, and deadlines. Knows nothing of HTTP.
"""

import asyncio
import concurrent.futures
import dataclasses
import time
from collections.abc import Callable

import numpy as np
import structlog

from modelroll_server import errors
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.version import Version
from modelroll_server.runtimes.base import Runtime
from modelroll_server.schema import Schema
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.tensors import Outputs, Table

MAX_ROWS = 10_000  # of one request
MAX_QUEUED_ROWS = 4_096  # of all requests

_log = structlog.get_logger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one request: what the pinned version said about its rows."""

    version: Version
    outputs: Outputs


class Turns:
    """Threads that compute, and a bounded queue of rows before them.

    A request alone may be larger than the bound. Rows count until their computation begins, or their caller gave up
    before: what computes is bounded by the threads.
    """

    def __init__(self, threads: int, metrics: Metrics, *, max_queued_rows: int = MAX_QUEUED_ROWS) -> None:
        self._threads = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="infer")
        self._metrics = metrics
        self._max_queued_rows = max_queued_rows
        self._rows = 0

    async def run(self, runtime: Runtime, table: Table, deadline: float) -> Outputs:
        """Compute when it is this table's turn; one that is past its deadline by then is not computed.

        Args:
            runtime: What computes.
            table: The rows.
            deadline: On the clock of `time.monotonic`.

        Raises:
            errors.Overloaded: too much waits already.
            errors.DeadlineExceeded: no answer in time.
        """
        if self._rows and self._rows + table.rows > self._max_queued_rows:
            raise errors.Overloaded(f"{self._rows} rows are waiting already")
        self._count(table.rows)
        loop = asyncio.get_running_loop()
        began = time.monotonic()

        def leave_queue() -> None:
            _call_soon(loop, self._count, -table.rows)

        def compute() -> Outputs:
            leave_queue()
            started = time.monotonic()
            if started >= deadline:
                raise errors.DeadlineExceeded("the deadline passed while the request waited")
            self._metrics.phases.labels("queue").observe(started - began)
            outputs = runtime.predict(table)
            self._metrics.phases.labels("infer").observe(time.monotonic() - started)
            return outputs

        future = self._threads.submit(compute)
        future.add_done_callback(lambda done: leave_queue() if done.cancelled() else None)
        wrapped = asyncio.wrap_future(future)
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                return await wrapped
        except TimeoutError as error:
            raise errors.DeadlineExceeded("the deadline passed before the answer was there") from error

    def close(self) -> None:
        """Compute nothing further; what runs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _count(self, rows: int) -> None:
        self._rows += rows
        self._metrics.queued_rows.set(self._rows)


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[[int], None], argument: int) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, argument)


class Inference:
    """Predictions of whatever is live."""

    def __init__(self, registry: Registry, turns: Turns, metrics: Metrics) -> None:
        self._registry = registry
        self._turns = turns
        self._metrics = metrics

    async def version(self, deadline: float) -> Version:
        """Pin the live version; a lazy server loads it now.

        Raises:
            errors.NotReady: there is none.
            errors.DeadlineExceeded: it is still being loaded at the deadline.
        """
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                return await self._registry.obtain()
        except TimeoutError as error:
            raise errors.DeadlineExceeded("the deadline passed while the model was being loaded") from error

    async def predict(self, version: Version, decode: Callable[[Schema], Table], deadline: float) -> Prediction:
        """Decode against the pinned version's schema and compute.

        Raises:
            errors.RequestError: the rows are refused, come too late or are too many; or the model raised.
        """
        began = time.monotonic()
        table = decode(version.schema)
        self._metrics.phases.labels("decode").observe(time.monotonic() - began)
        if table.rows > MAX_ROWS:
            raise errors.PayloadTooLarge(f"{table.rows} rows; one request may have {MAX_ROWS}")
        if table.rows == 0:  # scikit-learn raises on an empty table
            return Prediction(version, Outputs(np.empty(0), np.empty((0, 0))))
        try:
            outputs = await self._turns.run(version.runtime, table, deadline)
        except errors.RequestError:
            raise
        except Exception as error:
            _log.exception("the model raised", model=version.model, version=version.number)
            raise errors.InferenceFailed("the model failed on this request") from error
        return Prediction(version, outputs)
