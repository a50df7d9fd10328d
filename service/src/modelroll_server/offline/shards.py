"""Writing one shard: its rows and its rejects appear together with the word that it is finished, or not at all.

To encode rows, and to wait for the disk, takes as long as a cheap model computes: it is done beside that.
"""

import concurrent.futures
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from modelroll_server.offline import formats
from modelroll_server.offline.computing import Computed, Computer
from modelroll_server.offline.formats import Format
from modelroll_server.offline.options import Options
from modelroll_server.offline.parts import Finished, Parts
from modelroll_server.offline.places import Place


class Beside:
    """A thread that does one thing at a time, in order. Who has another thing for it waits until the last is done."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def do(self, work: Callable[[], None]) -> None:
        """Have this done. Raises what the last thing raised."""
        self.wait()
        self._last = self._pool.submit(work)

    def wait(self) -> None:
        """Wait until all is done. Raises what the last thing raised, once."""
        if self._last is not None:
            concurrent.futures.wait([self._last])  # not the end of it, if it is interrupted
            last, self._last = self._last, None
            last.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._pool:
            if kind is None:
                self.wait()


class _File:
    """One file that is written: record batches, gathered to row groups."""

    def __init__(self, place: Place, schema: Any, kind: Format, options: Options) -> None:
        self.rows = 0
        self._schema = schema
        self._gathered: list[Any] = []
        self._count = self._bytes = 0
        self._stack = contextlib.ExitStack()
        sink = self._stack.enter_context(place.replacing())
        try:
            self._writer = kind.writer(sink, schema, options)
        except BaseException as error:
            self.abandon(error)
            raise

    def write(self, batch: Any, beside: Beside) -> None:
        self._gathered.append(batch)
        self.rows += batch.num_rows
        self._count += batch.num_rows
        self._bytes += batch.nbytes
        if self._count >= formats.GROUP_ROWS or self._bytes >= formats.GROUP_BYTES:
            beside.do(partial(self._writer.write, self._group()))

    def close(self) -> None:
        if self._gathered:
            self._writer.write(self._group())
        self._writer.close()
        self._stack.close()

    def abandon(self, error: BaseException) -> None:
        with contextlib.suppress(Exception):
            self._writer.close()  # it would try once more when it is collected
        with contextlib.suppress(Exception):
            self._stack.__exit__(type(error), error, error.__traceback__)

    def _group(self) -> Any:
        group = pa.Table.from_batches(self._gathered, self._schema)
        self._gathered.clear()
        self._count = self._bytes = 0
        return group


class ShardWriter:
    """Writes a shard; leaving it has the shard finished, unless an error does."""

    def __init__(
        self,
        parts: Parts,
        shard: int,
        computer: Computer,
        kind: Format,
        options: Options,
        beside: Beside,
        done: Callable[[Finished], None],
    ) -> None:
        """Begin it.

        Args:
            parts: Where.
            shard: Its number.
            computer: Knows the columns.
            kind: Of its files.
            options: As chosen.
            beside: What writes, and raises later what goes wrong.
            done: Called by that, when the shard is finished.
        """
        self._parts = parts
        self._shard = shard
        self._computer = computer
        self._kind = kind
        self._options = options
        self._beside = beside
        self._done = done
        self._lost = 0
        self._rejects: _File | None = None
        self._answered = _File(parts.part(shard), computer.schema, kind, options)

    @property
    def rows(self) -> int:
        """How many were written, those that were rejected among them."""
        return sum(file.rows for file in self._files())

    def write(self, computed: Computed) -> None:
        """Write what became of its next chunk."""
        for batch in computed.answered:
            self._answered.write(batch, self._beside)
        self._lost += computed.lost
        if computed.rejected is not None:
            if self._rejects is None:
                place = self._parts.rejects(self._shard)
                self._rejects = _File(place, self._computer.rejects, self._kind, self._options)
            self._rejects.write(computed.rejected, self._beside)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._beside.do(self._finish)
            except BaseException as another:
                self._abandon(another)
                raise
        else:
            self._abandon(error)

    def _files(self) -> list[_File]:
        return [file for file in (self._rejects, self._answered) if file is not None]

    def _abandon(self, error: BaseException) -> None:
        with contextlib.suppress(Exception):
            self._beside.wait()  # it may be writing one of them
        for file in self._files():
            file.abandon(error)

    def _finish(self) -> None:
        try:
            self._parts.check_held()
            for file in self._files():
                file.close()
            places = [self._parts.part(self._shard)]
            if self._rejects is not None:
                places.append(self._parts.rejects(self._shard))
            finished = Finished(
                rows=self._answered.rows,
                rejected=0 if self._rejects is None else self._rejects.rows,
                lost=self._lost,
                files={place.name: place.size() for place in places},
                job=self._parts.job,
            )
            self._parts.finish(self._shard, finished)
        except BaseException as error:
            for file in self._files():
                file.abandon(error)
            raise
        self._done(finished)
