"""One batch job: every shard that is not finished yet is read, computed, written; at the end they become one file.

One thread reads and writes; others compute, a bounded number of chunks ahead. What is in memory at any time are those
chunks and one row group to be written, whatever the size of the input.
"""

import collections
import contextlib
import os
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from modelroll_server.errors import BatchFailed, BatchInterrupted
from modelroll_server.offline import chunks, dataset, formats, places
from modelroll_server.offline.computing import Computed, Computer
from modelroll_server.offline.options import Options
from modelroll_server.offline.parts import Assembled, Finished, Journal, Parts
from modelroll_server.offline.shards import Beside, ShardWriter
from modelroll_server.registry.version import Version
from modelroll_server.telemetry.traces import Attributes, Trace

_KEPT = "What is finished is kept: run the same command again to go on"
_AHEAD = 2  # chunks that wait for a thread, for each


class Progress(Protocol):
    """Who is told how far a job is."""

    def begin(self, rows: int, finished: int, shards: int) -> None:
        """So many rows there are, of which so many were finished before, in so many shards."""

    def advance(self, rows: int) -> None:
        """So many more were written."""

    def assemble(self) -> None:
        """All are; they are being put together."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of a job.

    Attributes:
        rows: Predicted.
        rejected: Not.
        lost: Of the former, those whose prediction is not finite, and null.
        computed: Rows that this run did itself; another had done the others.
        out: Where they are: a file, or the directory of parts.
        rejects: Where the rejected rows are; None where there are none.
    """

    rows: int
    rejected: int
    lost: int
    computed: int
    out: str
    rejects: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for.

    Attributes:
        source: A file, glob or directory.
        out: The file to write.
        parts: Leave the parts, and write no such file.
        overwrite: Replace the file if it is there.
        restart: Begin anew where a run stopped.
        threads: That compute.
    """

    source: str
    out: str
    parts: bool = False
    overwrite: bool = False
    restart: bool = False
    threads: int = 1


def run(order: Order, version: Version, options: Options, progress: Progress, trace: Trace | None = None) -> Summary:
    """Do it, or what is left of it.

    Args:
        order: What is asked for.
        version: The model.
        options: As chosen.
        progress: Who is told how far it is.
        trace: Of the job, which is told of each shard; its caller ends it.

    Raises:
        BatchFailed: With the reason; the shards that are finished are kept, and the same order goes on.
    """
    with failing(order):
        return Job(order, version, options, progress, trace).run()


@contextlib.contextmanager
def failing(order: Order) -> Iterator[None]:
    """What goes wrong with files, as a sentence.

    Raises:
        BatchInterrupted: With it.
    """
    try:
        yield
    except OSError as error:
        name = error.filename or order.out
        raise BatchInterrupted(f"{name} cannot be written: {_why(error, order.out)}. {_KEPT}") from error
    except Exception as error:
        # What speaks to an object store has errors of its own, such as for credentials that are not there.
        library = type(error).__module__.partition(".")[0]
        if library in {"builtins", "modelroll_server"} or "://" not in order.source + order.out:
            raise
        raise BatchInterrupted(f"{order.source} or {order.out}: {library}: {error}. {_KEPT}") from error


def _why(error: OSError, out: str) -> str:
    """What a disk's error number says, for Arrow puts words of its own around it; of a store what it said itself."""
    if error.errno and "://" not in out:
        return os.strerror(error.errno)
    return (error.strerror or str(error) or type(error).__name__).rstrip(".")


class Job:
    """One order, carried out by one process.

    What several processes do otherwise is said by `shares`, which overrides `check_out`, `journal` and `carry_out`, and
    no other method.
    """

    def __init__(
        self, order: Order, version: Version, options: Options, progress: Progress, trace: Trace | None
    ) -> None:
        self._order = order
        self._version = version
        self._options = options
        self._progress = progress
        self._trace = trace
        self._out = places.place(order.out)
        self._format = formats.of(self._out.name)
        self._rejects = self._out.beside(f"{self._out.name.rpartition('.')[0]}.rejects{self._format.suffix}")
        self._parts = Parts(self._out, self._format.suffix)
        self._computed = 0

    def run(self) -> Summary:
        """Do it, or what is left of it.

        Raises:
            BatchFailed: With the reason.
        """
        self.check_out()  # before the input is gone through
        data = self._data()
        self._check_apart(data)
        as_texts = data.of_texts and self._format.of_texts
        computer = Computer(self._version, data, self._options, as_texts=as_texts)
        for schema in (computer.schema, computer.rejects):
            formats.check_takes(self._format, schema, self._options)
        return self.carry_out(self.journal(data), data, computer)

    def carry_out(self, journal: Journal, data: dataset.Dataset, computer: Computer) -> Summary:
        """Compute what is not finished, and end with OUT."""
        if self._order.restart:
            self._parts.remove()
        if (done := self._parts.assembled()) is not None:
            was_written = self._was_written(done, journal)
            self._parts.remove()
            if was_written:
                return self._summary(done, self._out)
        self.check_out()
        finished = self._parts.begin(journal)
        self._compute(data.shards, data, computer, finished)
        done = self._end(journal, data, finished)
        if not self._order.parts:
            self._parts.end(done)
            self._parts.remove()
        return self._summary(done, self._parts.directory if self._order.parts else self._out)

    def _was_written(self, done: Assembled, journal: Journal) -> bool:
        """Whether OUT is what this job came to, once."""
        is_there = self._out.exists() and self._out.identity() == done.out
        return is_there and done.journal.job == journal.job

    def _end(self, journal: Journal, data: dataset.Dataset, finished: dict[int, Finished]) -> Assembled:
        """Put OUT together of all shards, or leave them as parts."""
        self._check_unchanged(data)
        if lacking := [shard.index for shard in data.shards if shard.index not in finished]:
            raise BatchFailed(f"shards {', '.join(map(str, lacking))} are not finished, though nothing went wrong")
        if self._order.parts:
            self._parts.tidy(finished)
        else:
            self._progress.assemble()
            began = time.monotonic()
            self._assemble(finished)
            if self._trace is not None:
                self._trace.phase("assemble", began, time.monotonic())
        return self._done(journal, finished, out=[] if self._order.parts else self._out.identity())

    def _done(self, journal: Journal, finished: dict[int, Finished], out: list[str]) -> Assembled:
        return Assembled(
            journal=journal,
            rows=sum(one.rows for one in finished.values()),
            rejected=sum(one.rejected for one in finished.values()),
            lost=sum(one.lost for one in finished.values()),
            out=out,
        )

    def check_out(self) -> None:
        """See that OUT may be written.

        Raises:
            BatchFailed: It may not.
        """
        self._check_file()
        if not self._parts.may_be_assembled:
            self._check_free()

    def _check_file(self) -> None:
        if self._out.is_directory():
            raise BatchFailed(f"{self._out} is a directory: name a file")

    def _check_free(self) -> None:
        there = next((place for place in (self._out, self._rejects) if place.exists()), None)
        if there is not None and not self._order.parts and not self._order.overwrite:
            self._parts.directory.remove_empty()  # of a run that was killed when nothing else was left to do
            raise BatchFailed(f"{there} is there: say --overwrite to replace it")

    def _data(self) -> dataset.Dataset:
        try:
            return dataset.open_dataset(self._order.source, self._version.schema.inputs, self._options)
        except OSError as error:
            raise BatchInterrupted(f"{self._order.source} cannot be read: {error.strerror or error}") from error

    def _check_apart(self, data: dataset.Dataset) -> None:
        """An output among the input would be input to the next run."""
        listing, parts = data.listing, self._parts.directory.path
        for place in (self._out, self._rejects, self._parts.part(0)):
            if listing.would_have(place):
                raise BatchFailed(f"{place} lies in the input: write it to another place")
        if any(file.path.startswith(f"{parts}/") for file in listing.files):
            raise BatchFailed(f"{self._out} lies in the input: write it to another place")

    def _check_unchanged(self, data: dataset.Dataset) -> None:
        changed = [file for file in data.listing.files if file.identity() != data.identities[str(file)]]
        if changed:
            raise BatchFailed(f"{changed[0]} was changed while it was read: say --restart to begin anew")

    def journal(self, data: dataset.Dataset) -> Journal:
        """What the job is, for whoever goes on with it."""
        version = self._version
        return Journal(
            input=data.identities,
            model=version.model,
            version=version.number,
            digest=version.digest,
            runtime=version.runtime.kind,
            options=self._options,
            shards=len(data.shards),
        )

    def _compute(
        self, shards: list[dataset.Shard], data: dataset.Dataset, computer: Computer, finished: dict[int, Finished]
    ) -> None:
        """Compute those of these shards that are not finished, and finish them."""
        left = [shard for shard in shards if shard.index not in finished]
        before = sum(one.rows + one.rejected for one in finished.values())
        self._progress.begin(sum(shard.piece.rows for shard in shards), before, len(shards))
        with contextlib.closing(self._results(left, data, computer)) as results, Beside() as beside:
            for shard in left:
                done = partial(self._finished, finished, shard, time.monotonic())
                with ShardWriter(
                    self._parts, shard.index, computer, self._format, self._options, beside, done
                ) as writer:
                    for computed, is_last in results:
                        writer.write(computed)
                        self._progress.advance(computed.rows)
                        self._computed += computed.rows
                        if is_last:
                            break
                    self._check_whole(shard, data, writer)

    def _finished(self, every: dict[int, Finished], shard: dataset.Shard, began: float, finished: Finished) -> None:
        every[shard.index] = finished
        if self._trace is not None:
            self._trace.phase("shard", began, time.monotonic(), _attributes(shard, finished))

    def _check_whole(self, shard: dataset.Shard, data: dataset.Dataset, writer: ShardWriter) -> None:
        """See that no row of a shard was lost on the way."""
        if writer.rows != shard.piece.rows:
            self._check_unchanged(data)
            raise BatchFailed(f"{writer.rows} of {shard.piece.rows} rows of a shard of {shard.file.name} were computed")

    def _results(
        self, left: list[dataset.Shard], data: dataset.Dataset, computer: Computer
    ) -> Generator[tuple[Computed, bool], None, None]:
        """What becomes of each chunk, in order, and whether it is its shard's last.

        Where reading fails, what was read before is computed all the same: it may be the end of a shard.
        """
        waiting: collections.deque[tuple[Future[Computed], bool]] = collections.deque()
        failure: BatchFailed | None = None
        with ThreadPoolExecutor(self._order.threads) as pool:
            try:
                reader = self._read(left, data)
                while True:
                    try:
                        found = next(reader, None)
                    except BatchFailed as error:
                        failure, found = error, None
                    if found is None:
                        break
                    chunk, is_last = found
                    waiting.append((pool.submit(computer.compute, chunk), is_last))
                    if len(waiting) > self._order.threads * _AHEAD:
                        yield _result(*waiting.popleft())
                while waiting:
                    yield _result(*waiting.popleft())
            finally:
                for future, _ in waiting:
                    future.cancel()
        if failure is not None:
            raise failure

    def _read(self, left: list[dataset.Shard], data: dataset.Dataset) -> Iterator[tuple[chunks.Chunk, bool]]:
        for shard in left:
            before = None
            for chunk in chunks.read(shard, data.schema, self._options.chunk):
                if before is not None:
                    yield before, False
                before = chunk
            assert before is not None
            yield before, True

    def _assemble(self, finished: dict[int, Finished]) -> None:
        rejected = [self._parts.rejects(index) for index in sorted(finished) if finished[index].rejected]
        self._parts.assemble()
        if rejected:
            self._join(rejected, self._rejects)
        elif self._rejects.exists():
            self._rejects.remove()  # of the output that is replaced
        self._join([self._parts.part(index) for index in sorted(finished)], self._out)

    def _join(self, files: list[places.Place], place: places.Place) -> None:
        with place.replacing(self._parts.directory, for_good=True) as sink:
            self._format.join(files, sink, self._options)

    def _summary(self, done: Assembled, out: places.Place) -> Summary:
        rejects = self._rejects if out is self._out else out
        return Summary(
            rows=done.rows,
            rejected=done.rejected,
            lost=done.lost,
            computed=self._computed,
            out=str(out),
            rejects=str(rejects) if done.rejected else None,
        )


def _attributes(shard: dataset.Shard, finished: Finished) -> Attributes:
    return {
        "modelroll.shard": shard.index,
        "modelroll.source": shard.file.name,
        "modelroll.rows": finished.rows,
        "modelroll.rejected": finished.rejected,
    }


def _result(future: Future[Computed], is_last: bool) -> tuple[Computed, bool]:
    return future.result(), is_last
