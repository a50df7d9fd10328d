"""The one path of a prediction: pin the live version, look into its cache, join its batches, get answers.

Where a candidate is beside it, that may answer in its place: `Answers.by` says so.

Every transport calls this with rows that it decoded, and encodes what comes back. Knows nothing of HTTP.
"""

import asyncio
import dataclasses
import functools
import time
import weakref

import numpy as np

from modelroll_server import errors
from modelroll_server.batching.admission import Admission
from modelroll_server.batching.batch import Computation, Rows
from modelroll_server.batching.batcher import Batcher, Limits
from modelroll_server.batching.threads import Threads
from modelroll_server.cache.cache import Cache, VersionCache
from modelroll_server.cache.keys import Keys
from modelroll_server.canary import share
from modelroll_server.drift.watch import Watch
from modelroll_server.registry.beside import Beside
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.version import Version
from modelroll_server.schema.schema import MAX_ROWS
from modelroll_server.telemetry import traces as tracing
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.telemetry.tally import Tally
from modelroll_server.telemetry.traces import Trace, Traces
from modelroll_server.tensors import Answers, Outputs, Table


class Inference:
    """Predictions of whatever is live."""

    def __init__(
        self,
        registry: Registry,
        metrics: Metrics,
        *,
        threads: int,
        limits: Limits | None = None,
        cache: Cache | None = None,
        watch: Watch | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._registry = registry
        self._traces = traces
        self._metrics = metrics
        self._threads = Threads(threads)
        self._thread_count = threads
        self._limits = limits or Limits()
        self._admission = Admission(self._limits.queued)
        metrics.read_queued_rows(lambda: self._admission.rows)
        self._cache = cache
        self._watch = watch

    async def version(self, deadline: float) -> Version:
        """Pin the live version; a lazy server loads it now.

        Raises:
            errors.NotReady: there is none.
            errors.DeadlineExceeded: it is still being loaded at the deadline.
        """
        if (live := self._registry.live) is not None:
            return live
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                return await self._registry.obtain()
        except TimeoutError as error:
            raise errors.DeadlineExceeded("the deadline passed while the model was being loaded") from error

    def predict(
        self, version: Version, rows: Rows, deadline: float, trace: Trace | None = None
    ) -> asyncio.Future[Answers]:
        """Compute rows that the pinned version's schema has checked; the future gets their answers, or an error.

        Args:
            version: What computes.
            rows: Rows or a table of its schema.
            deadline: When the answers must be there, on the clock of `time.monotonic`.
            trace: Of the request that they are of.

        Raises:
            errors.RequestError: they are too many, or come too late; or the model raised.
        """
        count = rows.rows if isinstance(rows, Table) else len(rows)
        if count > MAX_ROWS:
            raise errors.PayloadTooLarge(f"{count} rows; one request may have {MAX_ROWS}")
        if trace is not None:
            trace.rows, trace.looks_up = count, self._cache is not None
            token = tracing.current.set(trace)
            try:
                return self.predict(version, rows, deadline)
            finally:
                tracing.current.reset(token)
        if count == 0:  # scikit-learn raises on an empty table
            return _at_once(Answers.of(Outputs(np.empty(0), np.empty((0, 0)))))
        beside = self._registry.beside
        if beside is not None and version is self._registry.live:
            lane: share.Lane | None = beside.attached.get(share.Lane)
            if lane is None:
                lane = beside.attached[share.Lane] = self._lane(beside, version)
            return share.predict(beside, lane, rows, count, deadline)
        return self._compute(version, rows, count, deadline)

    def _compute(self, version: Version, rows: Rows, count: int, deadline: float) -> asyncio.Future[Answers]:
        if self._cache is not None:
            cached: VersionCache | None = version.attached.get(VersionCache)
            if cached is None:
                cached = version.attached[VersionCache] = self._cache_of(version, self._cache, self._batcher(version))
            computed = cached.predict(rows, count, deadline)
        else:
            batcher: Batcher | None = version.attached.get(Batcher)
            if batcher is None:
                batcher = version.attached[Batcher] = self._batcher(version)
            computed = batcher.submit(rows, count, deadline)
        if self._watch is not None:  # what was not refused; that a candidate answers does not come here
            self._watch.offer(version, rows, count)
        return computed

    def close(self) -> None:
        """Compute nothing further; what runs is not waited for."""
        self._threads.close()

    def _lane(self, beside: Beside, live: Version) -> share.Lane:
        """What a candidate computes in: as much as the live version has, and nothing of what that has."""
        threads = Threads(self._thread_count)
        weakref.finalize(beside, threads.close)
        version = beside.version
        batcher = Batcher(
            self._computation(version),
            threads=threads,
            admission=Admission(self._admission.max_rows),
            limits=dataclasses.replace(self._limits, inline=False),
            metrics=self._metrics,
            batch_rows=self._metrics.batch_rows.labels(version.model, version.number),
            traces=self._traces,
        )
        cache = self._cache
        compute = batcher.submit if cache is None else self._cache_of(version, cache, batcher).predict
        return share.Lane(live, functools.partial(self._compute, live), compute, threads)

    def _cache_of(self, version: Version, cache: Cache, batcher: Batcher) -> VersionCache:
        outputs = ",".join(output.name for output in version.manifest.outputs)
        keys = Keys((version.model, version.digest, version.runtime.kind, outputs), version.schema.inputs)
        seconds = self._metrics.phases.labels("lookup")
        observe = seconds.observe if self._traces is None else functools.partial(_looked_up, seconds)
        return VersionCache(cache, keys, batcher, observe)

    def _computation(self, version: Version) -> Computation:
        return Computation(version.runtime, version.schema, version.model, version.number)

    def _batcher(self, version: Version) -> Batcher:
        return Batcher(
            self._computation(version),
            threads=self._threads,
            admission=self._admission,
            limits=self._limits,
            metrics=self._metrics,
            batch_rows=self._metrics.batch_rows.labels(version.model, version.number),
            traces=self._traces,
        )


def _looked_up(tally: Tally, seconds: float) -> None:
    tally.observe(seconds)
    if (trace := tracing.current.get()) is not None:
        now = time.monotonic()
        trace.phase("lookup", now - seconds, now)


def _at_once(answers: Answers) -> asyncio.Future[Answers]:
    future: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
    future.set_result(answers)
    return future
