"""Requests, the batches made of parts of them, and what computing one gives."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from modelroll_server import errors
from modelroll_server.runtimes.base import Runtime
from modelroll_server.schema import Row, Schema
from modelroll_server.tensors import Answers, Outputs, Shared, Table

if TYPE_CHECKING:
    from modelroll_server.telemetry.traces import Trace

Rows = Sequence[Row] | Table

_log = structlog.get_logger(__name__)


class Request:
    """One caller's rows and the future that gets their answers.

    Attributes:
        rows: As a schema checked them, or a table.
        count: How many rows.
        deadline: On the clock of `time.monotonic`.
        future: What the caller awaits; a caller that gave up has cancelled it.
        taken: Rows that are in a batch already.
        running: Batches in threads that have rows of it.
        began: When it began to wait, on the same clock.
        trace: Its caller's; None where there is none.
    """

    __slots__ = ("_parts", "began", "count", "deadline", "future", "rows", "running", "taken", "trace")

    def __init__(self, rows: Rows, count: int, deadline: float, future: asyncio.Future[Answers], began: float) -> None:
        self.rows = rows
        self.count = count
        self.deadline = deadline
        self.future = future
        self.taken = 0
        self.running = 0
        self.began = began
        self.trace: Trace | None = None
        self._parts: dict[int, Outputs] | None = None

    def fail(self, error: Exception) -> None:
        """Give the caller an error, unless it has something already."""
        if not self.future.done():
            self.future.set_exception(error)

    def answer(self, start: int, stop: int, answers: Answers) -> None:
        """Take the answers to its rows start to stop; with the last of them the caller gets all."""
        if self.future.done():
            return
        if stop - start == self.count:
            self.future.set_result(answers)
            return
        if self._parts is None:
            self._parts = {}
        self._parts[start] = answers.outputs
        if sum(part.rows for part in self._parts.values()) == self.count:
            parts = [self._parts[at] for at in sorted(self._parts)]
            self.future.set_result(Answers.of(Outputs.concat(parts)))


Part = tuple[Request, int, int]
"""Rows start to stop of a request."""


@dataclass(frozen=True, slots=True)
class Computed:
    """What came of a batch.

    Attributes:
        answers: To each part; an error where the model raised on it.
        began: When, on the clock of `time.monotonic`.
        seconds: That the model took.
        cpu_seconds: Of these, what the thread computed.
    """

    answers: list[Answers | errors.InferenceFailed]
    began: float
    seconds: float
    cpu_seconds: float


class Computation:
    """One version's model, run over batches. Threads may share it."""

    def __init__(self, runtime: Runtime, schema: Schema, model: str, version: str) -> None:
        self._runtime = runtime
        self._schema = schema
        self._log = _log.bind(model=model, version=version)

    def run(self, parts: Sequence[Part]) -> Computed:
        """Run the model once over all parts. If it raises, once over each: a bad row fails its own request alone."""
        began, cpu_began = time.monotonic(), time.thread_time()
        try:
            shared = Shared(self._predict(parts))
        except Exception as error:  # noqa: BLE001 - a model raises what it likes, and `_failed` logs it
            found = [*([self._failed(error)] if len(parts) == 1 else [self._alone(part) for part in parts])]
            return Computed(found, began, time.monotonic() - began, time.thread_time() - cpu_began)
        seconds, cpu_seconds = time.monotonic() - began, time.thread_time() - cpu_began
        answers: list[Answers | errors.InferenceFailed] = []
        at = 0
        for _, start, stop in parts:
            end = at + stop - start
            answers.append(Answers(shared, at, end))
            at = end
        return Computed(answers, began, seconds, cpu_seconds)

    def _alone(self, part: Part) -> Answers | errors.InferenceFailed:
        try:
            return Answers.of(self._predict([part]))
        except Exception as error:  # noqa: BLE001 - as above
            return self._failed(error)

    def _predict(self, parts: Sequence[Part]) -> Outputs:
        table = self._table(parts)
        outputs = self._runtime.predict(table)
        if outputs.rows != table.rows:
            raise ValueError(f"the model answered {table.rows} rows with {outputs.rows}")
        return outputs

    def _table(self, parts: Sequence[Part]) -> Table:
        rows: list[Row] = []
        tables: list[Table] = []
        for request, start, stop in parts:
            given = request.rows
            if isinstance(given, Table):
                if rows:
                    tables.append(self._schema.table(rows))
                    rows = []
                tables.append(given.slice(start, stop))
            elif stop - start == request.count:
                rows += given
            else:
                rows += given[start:stop]
        if rows:
            tables.append(self._schema.table(rows))
        return Table.concat(tables)

    def _failed(self, error: Exception) -> errors.InferenceFailed:
        self._log.error("the model raised", exc_info=error)
        failed = errors.InferenceFailed("the model failed on this request")
        failed.__cause__ = error
        return failed
