"""The directory `OUT.parts/`: one finished file a shard, and the journal that says what they are of.

Names that begin with `_` are passed over by readers of partitioned data, so that the directory can be read as it is.

    _journal.json          what the job is: input, model, options; never changed
    part-00007.parquet     the rows of shard 7 that were predicted
    _rejects-00007.parquet those that were not; only where there are any
    _shard-00007.json      shard 7 is finished; written last, and the one thing that says so
    _assembling.json       OUT is about to be put in its place
    _assembled.json        it was; what is left is to remove this directory, and this file last
"""

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
        format: Of this directory.
    """

    input: dict[str, list[str]]
    model: str
    version: str
    digest: str
    runtime: str
    options: Options
    shards: int
    format: int = 1


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rows of one shard.

    Attributes:
        rows: Predicted.
        rejected: Not.
        lost: Of the former, those that have a prediction which is not finite, and null.
        files: Bytes of each file, by name.
    """

    rows: int
    rejected: int
    lost: int
    files: dict[str, int]


class Assembled(msgspec.Struct, frozen=True, kw_only=True):
    """A job of which OUT was written: what it was, and how many rows were predicted, rejected and lost."""

    journal: Journal
    rows: int
    rejected: int
    lost: int


class Parts:
    """The parts of one output."""

    def __init__(self, out: Place, suffix: str) -> None:
        self.directory = Place(out.fs, f"{out.path}{SUFFIX}")
        self._suffix = suffix

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
        names = self._names()
        if _JOURNAL in names:
            self._require_same(journal)
            return self._finished(set(names), journal.shards)
        self.forget()
        self.directory.make_directory()
        (self.directory / _JOURNAL).replace(msgspec.json.encode(journal))
        return {}

    def forget(self) -> None:
        """Remove whatever another run left, so that this one begins anew.

        Raises:
            BatchFailed: No run left it.
        """
        if self._names():
            self.directory.remove()

    def _names(self) -> list[str]:
        names = self.directory.names()
        # Without a journal it was killed before there was one, or while all was removed.
        if _JOURNAL in names or all(name == _ASSEMBLED or name.startswith(TEMPORARY) for name in names):
            return names
        raise BatchFailed(f"{self.directory} is there, and no batch job made it: write to another place")

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

    def assemble(self) -> None:
        """Say that OUT is about to be put in its place."""
        (self.directory / _ASSEMBLING).replace(b"{}")

    def remove(self, done: Assembled | None = None) -> None:
        """Remove all; with what was assembled of it, that is said first and removed last."""
        if done is not None:
            (self.directory / _ASSEMBLED).replace(msgspec.json.encode(done))
        for name in self.directory.names():
            if name != _ASSEMBLED:
                (self.directory / name).remove()
        self.directory.remove()

    def tidy(self) -> None:
        """Remove what runs that were killed left half-written."""
        for name in self.directory.names():
            if name.startswith(TEMPORARY):
                (self.directory / name).remove()

    def _mark(self, shard: int) -> Place:
        return self.directory / f"_shard-{shard:05d}.json"

    def _finished(self, names: set[str], shards: int) -> dict[int, Finished]:
        found = {}
        for shard in range(shards):
            if self._mark(shard).name not in names:
                continue
            finished = _decoded(self._mark(shard), Finished)
            if all(name in names and (self.directory / name).size() == size for name, size in finished.files.items()):
                found[shard] = finished
        return found

    def _require_same(self, journal: Journal) -> None:
        before = _decoded(self.directory / _JOURNAL, Journal)
        if before == journal:
            return
        ways = "do what it did before, or say --restart to begin anew"
        raise BatchFailed(f"{self.directory} is of a job that {_difference(before, journal)}: {ways}")


def _decoded(place: Place, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(place.read(), type=kind)
    except msgspec.MsgspecError as error:
        raise BatchFailed(f"{place} is not what was written there: {error}; say --restart to begin anew") from error


def _difference(before: Journal, now: Journal) -> str:
    for name in ("model", "version", "digest", "runtime"):
        was, found = getattr(before, name), getattr(now, name)
        if was != found:
            return f"had the {name} {was}, and now it is {found}"
    for name in Options.__struct_fields__:
        was, found = getattr(before.options, name), getattr(now.options, name)
        if was != found:
            return f"was told {name.replace('_', '-')} {was!r}, and now it is {found!r}"
    if before.input.keys() != now.input.keys():
        name = min(before.input.keys() ^ now.input.keys())
        return f"read {'no ' if name in now.input else ''}{name}"
    changed = next((name for name in now.input if before.input[name] != now.input[name]), None)
    if changed is not None:
        return f"read {changed} before it was changed"
    return "cut its input otherwise"
