"""The directory `OUT.parts/`: one finished file a shard, and the journal that says what they are of.

Names that begin with `_` are passed over by readers of partitioned data, so that the directory can be read as it is.

    _journal.json          what the job is: input, model, options; never changed
    part-00007.parquet     the rows of shard 7 that were predicted
    _rejects-00007.parquet those that were not; only where there are any
    _shard-00007.json      shard 7 is finished; written last, and the one thing that says so
    _assembling.json       OUT is about to be put in its place
    _assembled.json        it was; what is left is to remove this directory, and this file last
    _assembler-3f….json    which of several processes puts it there (`shares`)
"""

import contextlib
import hashlib
import os
import shlex
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import msgspec

from modelroll_server.errors import BatchFailed
from modelroll_server.offline.options import Options
from modelroll_server.offline.places import TEMPORARY, Place

SUFFIX = ".parts"
_JOURNAL = "_journal.json"
_ASSEMBLING = "_assembling.json"
_ASSEMBLED = "_assembled.json"


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """What a job is: a run goes on where another stopped only if all of this is equal.

    Attributes:
        input: What each file is told from its successor by, by path.
        model: The model's name.
        version: Its version.
        digest: Of its content.
        runtime: What computes.
        options: What was chosen.
        shards: How many there are.
        run: What several processes that take part have in common, and no others do (`shares`). Not compared.
        format: Of this directory.
    """

    input: dict[str, list[str]]
    model: str
    version: str
    digest: str
    runtime: str
    options: Options
    shards: int
    run: str = ""
    format: int = 1

    @property
    def job(self) -> str:
        """A word for all that is compared."""
        compared = msgspec.structs.replace(self, run="")
        return hashlib.sha256(msgspec.json.encode(compared)).hexdigest()[:16]


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rows of one shard.

    Attributes:
        rows: Predicted.
        rejected: Not.
        lost: Of the former, those that have a prediction which is not finite, and null.
        files: Bytes of each file, by name.
        job: Of which this is a shard (`Journal.job`).
    """

    rows: int
    rejected: int
    lost: int
    files: dict[str, int]
    job: str


class Assembled(msgspec.Struct, frozen=True, kw_only=True):
    """A job of which OUT was written: what it was, and how many rows were predicted, rejected and lost.

    Attributes:
        out: What OUT is told from its successor by; empty where there is none, but the parts.
    """

    journal: Journal
    rows: int
    rejected: int
    lost: int
    out: list[str] = []


class Assembler(msgspec.Struct, frozen=True, kw_only=True):
    """The one of several processes that puts OUT together: its index, and of how many."""

    index: int
    indexes: int


class Parts:
    """The parts of one output.

    Attributes:
        job: Whose they are, once it has begun or joined (`Journal.job`).
    """

    def __init__(self, out: Place, suffix: str) -> None:
        self.directory = Place(out.fs, f"{out.path}{SUFFIX}")
        self._suffix = suffix
        self.job = ""
        self._held: tuple[int, ...] | None = None

    def part(self, shard: int) -> Place:
        """Where the predicted rows of a shard are."""
        return self.directory / f"part-{shard:05d}{self._suffix}"

    def rejects(self, shard: int) -> Place:
        """Where its rejected rows are."""
        return self.directory / f"_rejects-{shard:05d}{self._suffix}"

    def begin(self, journal: Journal) -> dict[int, Finished]:
        """Begin, or go on: the shards that are finished.

        Raises:
            BatchFailed: What is there is of another job, or of none.
        """
        self.job = journal.job
        names = self._names()
        if _JOURNAL in names:
            self._require_same(journal)
            return self.finished(range(journal.shards))
        self.remove()
        self.directory.make_directory()
        (self.directory / _JOURNAL).replace(msgspec.json.encode(journal))
        return {}

    def join(self, journal: Journal, *, restart: bool) -> None:
        """Begin, or go on, beside others who do the same at the same time. Removes nothing.

        Args:
            journal: What the job is; all of its run say the same.
            restart: Whether to begin anew where the journal of another run says something else. What is finished of
                its job does not count from then on, and what it finishes yet it is not let.

        Raises:
            BatchFailed: What is there is of another job, or of none.
        """
        self.job = journal.job
        self._names()
        self.directory.make_directory()
        place = self.directory / _JOURNAL
        if not place.exists():
            place.create(msgspec.json.encode(journal))
        before = _decoded(place, Journal)
        if before.job != self.job and journal.run and before.run == journal.run:
            raise BatchFailed(f"the job {_difference(before, journal)}, while it ran: begin a new one")
        if before.job != self.job and not restart:
            self._require_same(journal)
        if before.job != self.job or before.run != journal.run:
            place.replace(msgspec.json.encode(journal))

    def journal(self) -> Journal | None:
        """What the job is that was begun here; None where none was."""
        place = self.directory / _JOURNAL
        return _decoded(place, Journal) if place.exists() else None

    def unmarked(self, shards: Iterable[int]) -> list[int]:
        """Those of which nobody has said that they are finished."""
        names = set(self.directory.names())
        absent = [shard for shard in shards if self._mark(shard).name not in names]
        # Many processes ask, mostly while others are at work: marks are read only where all are there.
        # One that is not whole counts: whose shard it is may have ended, and who assembles does it again.
        return absent or [shard for shard in shards if (mark := self._said(shard)) and mark.job != self.job]

    def finished(self, shards: Iterable[int]) -> dict[int, Finished]:
        """Those that are finished, of this job, with files as long as they were written."""
        names = set(self.directory.names())
        found = {}
        for shard in shards:
            if self._mark(shard).name not in names:
                continue
            mark = self._said(shard)
            if mark is None or mark.job != self.job:
                continue
            if all(name in names and (self.directory / name).size() == size for name, size in mark.files.items()):
                found[shard] = mark
        return found

    def claim(self, run: str, own: Assembler) -> Assembler:
        """Who is to put OUT together: the first of a run to ask.

        There is no need to know whether it lives: an index that did not come to its end is begun again, and asks again.
        """
        word = hashlib.sha256(f"{self.job} {run}".encode()).hexdigest()[:16]
        place = self.directory / f"_assembler-{word}.json"
        if place.create(msgspec.json.encode(own)):
            return own
        found: Assembler = _decoded(place, Assembler)
        if found.indexes != own.indexes:  # of processes that divided the shards otherwise, and are no more
            place.replace(msgspec.json.encode(own))
            return own
        return found

    def _names(self) -> list[str]:
        names = self.directory.names()
        # Without a journal it was killed before there was one, or while all was removed.
        if not {_JOURNAL, _ASSEMBLED}.isdisjoint(names) or all(name.startswith(TEMPORARY) for name in names):
            return names
        raise BatchFailed(f"{self.directory} is there, and no batch job made it: write to another place")

    def check_held(self) -> None:
        """See that nobody has begun anew here meanwhile, or has ended the job.

        Raises:
            BatchFailed: Somebody has.
        """
        # The journal names every input file: it is not decoded for each shard, unless it may be another.
        found = self._journal_file()
        if found is not None and found == self._held:
            return
        now = self.journal()
        if now is None or now.job != self.job:
            raise BatchFailed(f"{self.directory} is not this job's any more: another process began anew, or ended it")

        self._held = found

    def _journal_file(self) -> tuple[int, ...] | None:
        """What changes when the journal is replaced; None where nothing is known that surely does."""
        place = self.directory / _JOURNAL
        if not place.is_local:
            return None
        try:
            # Opened, not only looked at: of a volume over NFS that alone asks whether it was replaced meanwhile.
            with Path(place.path).open("rb") as file:
                status = os.fstat(file.fileno())
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def finish(self, shard: int, finished: Finished) -> None:
        """Say that the files of a shard are there."""
        self._mark(shard).replace(msgspec.json.encode(finished))

    @property
    def may_be_assembled(self) -> bool:
        """Whether OUT may be what a run wrote of them."""
        return not {_ASSEMBLING, _ASSEMBLED}.isdisjoint(self.directory.names())

    def assembled(self) -> Assembled | None:
        """The job of which OUT was written, where a run ended before it removed what is here."""
        found = self.directory / _ASSEMBLED
        return _decoded(found, Assembled) if found.exists() else None

    def is_being_assembled(self, journal: Journal) -> bool:
        """Whether OUT may be what a run of this very job wrote."""
        place = self.directory / _ASSEMBLING
        return place.exists() and place.read() == journal.job.encode()

    def assemble(self) -> None:
        """Say that OUT is about to be put in its place."""
        (self.directory / _ASSEMBLING).replace(self.job.encode())

    def end(self, done: Assembled) -> None:
        """Say that OUT was written."""
        (self.directory / _ASSEMBLED).replace(msgspec.json.encode(done))

    def remove(self) -> None:
        """Remove whatever a run left here.

        Raises:
            BatchFailed: No run left it.
        """
        if self._names():
            self._remove_but(())
            self.directory.remove_empty()

    def sweep(self, journal: Journal) -> None:
        """Remove all but the word that OUT was written, which others may yet ask for, unless another job has begun."""
        now = self.journal()
        if now is None or now.job == journal.job:
            self._remove_but((_ASSEMBLED,))

    def tidy(self, finished: dict[int, Finished]) -> None:
        """Leave the parts of these shards: nothing half-written, and nothing of a job of before."""
        kept = {_JOURNAL, *(self._mark(shard).name for shard in finished)}
        self._remove_but(kept.union(*(one.files for one in finished.values())))

    def _remove_but(self, kept: Container[str]) -> None:
        # What says whose all this is goes last, and of that the word that OUT was written.
        last = {_JOURNAL: 1, _ASSEMBLED: 2}
        for name in sorted(self.directory.names(), key=lambda name: last.get(name, 0)):
            if name not in kept:
                (self.directory / name).remove()

    def _mark(self, shard: int) -> Place:
        return self.directory / f"_shard-{shard:05d}.json"

    def _said(self, shard: int) -> Finished | None:
        """What became of a shard that has a mark; None where that is not whole."""
        with contextlib.suppress(BatchFailed):
            found: Finished = _decoded(self._mark(shard), Finished)
            return found
        return None

    def _require_same(self, journal: Journal) -> None:
        before = _decoded(self.directory / _JOURNAL, Journal)
        if before.job == journal.job:
            return
        ways = "do what it did before, or say --restart to begin anew"
        raise BatchFailed(f"{self.directory} is of a job that {_difference(before, journal)}: {ways}")


def _decoded(place: Place, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(place.read(), type=kind)
    except msgspec.MsgspecError as error:
        raise BatchFailed(
            f"{place} is not what was written there: {error}; remove its directory to begin anew"
        ) from error


def _flag(name: str, value: object) -> str:
    """An option as a person says it."""
    flag = f"--{name.replace('_', '-')}"
    if value is None or isinstance(value, bool):
        return flag if value else f"no {flag}"
    text = ",".join(value) or "none" if isinstance(value, list) else str(value)
    written = shlex.quote(text.replace("\t", "\\t"))
    return f"{flag} {written}"


def _difference(before: Journal, now: Journal) -> str:
    for name in ("model", "version", "digest", "runtime"):
        was, found = getattr(before, name), getattr(now, name)
        if was != found:
            return f"had the {name} {was}, and now it is {found}"
    for name in Options.__struct_fields__:
        was, found = getattr(before.options, name), getattr(now.options, name)
        if was != found:
            return f"had {_flag(name, was)}, and now it has {_flag(name, found)}"
    if before.input.keys() != now.input.keys():
        name = min(before.input.keys() ^ now.input.keys())
        return f"read {'no ' if name in now.input else ''}{name}"
    changed = next((name for name in now.input if before.input[name] != now.input[name]), None)
    if changed is not None:
        return f"read {changed} before it was changed"
    return "cut its input otherwise"
