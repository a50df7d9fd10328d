"""A job that several processes share: each takes the shards of its index, and one of them puts OUT together.

Nobody tells one of the other; what they have in common is the directory of parts. Who finishes the last shard sees that
all are, and is, as a rule, who assembles. A process may be killed at any time and begun again, and may find that
another with its index is at work yet: what both do is the same.
"""

import contextlib
from dataclasses import asdict, dataclass

import msgspec

from modelroll_server.errors import BatchFailed
from modelroll_server.offline import dataset
from modelroll_server.offline.computing import Computer
from modelroll_server.offline.job import Job, Order, Progress, Summary, failing
from modelroll_server.offline.options import Options, Share
from modelroll_server.offline.parts import Assembler, Finished, Journal
from modelroll_server.registry.version import Version
from modelroll_server.telemetry.traces import Trace


@dataclass(frozen=True, slots=True)
class Partial(Summary):
    """What became of the rows of one index alone: OUT is not there, and another process puts it together.

    Attributes:
        waiting: Shards that are not finished yet, of any index.
    """

    waiting: int


def run(
    order: Order, share: Share, version: Version, options: Options, progress: Progress, trace: Trace | None = None
) -> Summary:
    """Do the shards of one index, or what is left of them; and, where those were the last, put OUT together.

    Returns:
        What became of the job; `Partial` where others have to end it.

    Raises:
        BatchFailed: With the reason; the shards that are finished are kept, and the same order goes on.
    """
    with failing(order):
        return _Shared(share, order, version, options, progress, trace).run()


class _Shared(Job):
    def __init__(
        self,
        share: Share,
        order: Order,
        version: Version,
        options: Options,
        progress: Progress,
        trace: Trace | None,
    ) -> None:
        super().__init__(order, version, options, progress, trace)
        self._share = share

    def check_out(self) -> None:
        """OUT may be there, for the others may have ended the job: see `carry_out`."""
        self._check_file()

    def journal(self, data: dataset.Dataset) -> Journal:
        return msgspec.structs.replace(super().journal(data), run=self._share.run)

    def carry_out(self, journal: Journal, data: dataset.Dataset, computer: Computer) -> Summary:
        if (summary := self._ended(journal)) is not None:
            return summary
        if not self._parts.is_being_assembled(journal):
            self._check_free()
        self._parts.join(journal, restart=self._order.restart)
        if (summary := self._ended(journal)) is not None:
            return summary  # meanwhile
        try:
            return self._take_part(journal, data, computer)
        except (BatchFailed, OSError):
            # Another process may have put OUT together, and removed what this one was at.
            with contextlib.suppress(OSError):
                if (summary := self._ended(journal)) is not None:
                    return summary
            raise

    def _ended(self, journal: Journal) -> Summary | None:
        """What the job came to, where it has ended; what was left of it then, or came too late, is removed."""
        done = None if self._order.parts else self._parts.assembled()
        if done is None or not self._was_written(done, journal):
            return None
        self._parts.sweep(journal)
        return self._summary(done, self._out)

    def _take_part(self, journal: Journal, data: dataset.Dataset, computer: Computer) -> Summary:
        own = [shard for shard in data.shards if self._share.has(shard.index)]
        finished = self._parts.finished(shard.index for shard in own)
        self._compute(own, data, computer, finished)
        every = range(len(data.shards))
        mine = Assembler(index=self._share.index, indexes=self._share.indexes)
        if waiting := self._parts.unmarked(every):
            return self._partial(journal, finished, len(waiting))
        if self._parts.claim(self._share.run, mine) != mine:
            return self._partial(journal, finished, 0)
        finished = self._parts.finished(every)
        if len(finished) < len(every):  # a part that was cut short, or that another process replaced at this moment
            self._compute(data.shards, data, computer, finished)
        done = self._end(journal, data, finished)
        if not self._order.parts:
            self._parts.end(done)
            self._parts.sweep(journal)
        return self._summary(done, self._parts.directory if self._order.parts else self._out)

    def _partial(self, journal: Journal, finished: dict[int, Finished], waiting: int) -> Partial:
        own = self._done(journal, finished, out=[])
        return Partial(**asdict(self._summary(own, self._parts.directory)), waiting=waiting)
