"""Writing one shard: its rows and its rejects appear together with the word that it is finished, or not at all."""

import contextlib
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from modelroll_server.offline import formats
from modelroll_server.offline.computing import Computed, Computer
from modelroll_server.offline.formats import Format
from modelroll_server.offline.options import Options
from modelroll_server.offline.parts import Finished, Parts
from modelroll_server.offline.places import Place


class _File:
    """One file that is written: record batches, gathered to row groups."""

    def __init__(self, place: Place, schema: Any, kind: Format, options: Options) -> None:
        self.rows = 0
        self._schema = schema
        self._gathered: list[Any] = []
        self._count = 0
        self._stack = contextlib.ExitStack()
        sink = self._stack.enter_context(place.replacing())
        try:
            self._writer = kind.writer(sink, schema, options)
        except BaseException as error:
            self.abandon(error)
            raise

    def write(self, batch: Any) -> None:
        self._gathered.append(batch)
        self.rows += batch.num_rows
        self._count += batch.num_rows
        if self._count >= formats.GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()
        self._stack.close()

    def abandon(self, error: BaseException) -> None:
        with contextlib.suppress(Exception):
            self._writer.close()  # it would try once more when it is collected
        with contextlib.suppress(Exception):
            self._stack.__exit__(type(error), error, error.__traceback__)

    def _flush(self) -> None:
        if self._count:
            self._writer.write(pa.Table.from_batches(self._gathered, self._schema))
        self._gathered.clear()
        self._count = 0


class ShardWriter:
    """Writes a shard; leaving it finishes the shard, unless an error does.

    Attributes:
        finished: What became of its rows, once it is finished.
    """

    def __init__(self, parts: Parts, shard: int, computer: Computer, kind: Format, options: Options) -> None:
        self.finished: Finished | None = None
        self._parts = parts
        self._shard = shard
        self._computer = computer
        self._kind = kind
        self._options = options
        self._lost = 0
        self._rejects: _File | None = None
        self._answered = _File(parts.part(shard), computer.schema, kind, options)

    def write(self, computed: Computed) -> None:
        """Write what became of its next chunk."""
        for batch in computed.answered:
            self._answered.write(batch)
        self._lost += computed.lost
        if computed.rejected is not None:
            if self._rejects is None:
                place = self._parts.rejects(self._shard)
                self._rejects = _File(place, self._computer.rejects, self._kind, self._options)
            self._rejects.write(computed.rejected)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._finish()
            except BaseException as another:
                self._abandon(another)
                raise
        else:
            self._abandon(error)

    def _files(self) -> list[_File]:
        return [file for file in (self._rejects, self._answered) if file is not None]

    def _abandon(self, error: BaseException) -> None:
        for file in self._files():
            file.abandon(error)

    def _finish(self) -> None:
        self._parts.check_held()
        for file in self._files():
            file.close()
        places = [self._parts.part(self._shard)]
        if self._rejects is not None:
            places.append(self._parts.rejects(self._shard))
        self.finished = Finished(
            rows=self._answered.rows,
            rejected=0 if self._rejects is None else self._rejects.rows,
            lost=self._lost,
            files={place.name: place.size() for place in places},
            job=self._parts.job,
        )
        self._parts.finish(self._shard, self.finished)
