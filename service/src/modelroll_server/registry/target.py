"""What a pod is told to serve, and what follows from it: the pure half of protocol S2 and S3.

Owns the parsing of the three files and every decision that needs nothing but them and what is live. Touches no file,
no clock and no model.
"""

import dataclasses
from typing import Annotated, Literal

import msgspec

from modelroll_server import errors

Source = Literal["target", "settled", "move", "env"]


@dataclasses.dataclass(frozen=True)
class Content:
    """What is served: a version's place and identity; `env` is whatever MODEL_PATH says."""

    version: str | None = None
    path: str | None = None
    digest: str | None = None
    env: bool = False

    def agrees(self, other: "Content") -> bool:
        """Whether both can be the same thing: a version or digest that one of them leaves out agrees with any."""
        return (
            self.path == other.path
            and _agree(self.version, other.version)
            and _agree(self.digest, other.digest)
            and (self.env == other.env or self.path is not None)
        )


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What is to be loaded beside the live version, and what it is to do there.

    Attributes:
        content: What it is.
        percent: Of the requests that it answers, 0 to 100.
        shadow: Whether the live version's requests are computed by it, too, and compared.
    """

    content: Content
    percent: float = 0.0
    shadow: bool = False


@dataclasses.dataclass(frozen=True)
class Target:
    """Content at a revision, and the file that said so.

    Attributes:
        trial: Seconds that it gets to be loaded in a process of its own first; None: it need not be. Where there is a
            candidate, that one.
        candidate: What is to be beside it.
    """

    source: Source
    revision: int
    content: Content
    baseline: Content | None = None
    attempt: str | None = None
    trial: float | None = None
    candidate: Candidate | None = None

    def asks_the_same(self, other: "Target | None") -> bool:
        """Whether another asks for this content at this revision, whichever file said so."""
        return other is not None and (other.revision, other.content) == (self.revision, self.content)


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """One consistent reading of everything that says what to serve.

    `env` is MODEL_PATH as a target; `invalid` are the sentences about files that do not parse and so say nothing.
    """

    target: Target | None = None
    settled: Target | None = None
    move: Target | None = None
    env: Target | None = None
    invalid: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Live:
    """What is live, in the words of a target."""

    content: Content
    revision: int


@dataclasses.dataclass(frozen=True)
class Keep:
    """Nothing is to be done."""


@dataclasses.dataclass(frozen=True)
class Adopt:
    """What is live is what is wanted: only the revision is taken over."""

    want: Target


@dataclasses.dataclass(frozen=True)
class Load:
    """Another content is wanted: load it, check it, and swap it in."""

    want: Target


@dataclasses.dataclass(frozen=True)
class Clash:
    """Two sources say different things under one revision: what is live stays."""

    want: Target
    other: Content


Decision = Keep | Adopt | Load | Clash


HIGHEST_REVISION = 2**53  # what JSON numbers hold exactly wherever they are read
HIGHEST_FOREIGN = HIGHEST_REVISION - 2**20  # of what anybody may write by hand: `settled` must be able to go above it


class _ContentDocument(msgspec.Struct):
    version: str | None = None
    path: str | None = None
    digest: str | None = None
    env: bool = False


class _CandidateDocument(_ContentDocument):
    percent: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.0
    shadow: bool = False


class _TargetDocument(_ContentDocument):
    revision: int = -1
    baseline: _ContentDocument | None = None
    attempt: str | None = None
    trial: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None
    candidate: _CandidateDocument | None = None


_DECODER = msgspec.json.Decoder(_TargetDocument)


def parse(source: Source, data: bytes) -> Target | None:
    """Read one of the three files; an empty one says nothing.

    Raises:
        errors.TargetInvalid: the file does not parse or cannot be meant.
    """
    if not data.strip():
        return None
    try:
        document = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exception:
        raise errors.TargetInvalid(f"{source}: {exception}") from exception
    highest = HIGHEST_REVISION if source == "settled" else HIGHEST_FOREIGN
    if not 0 <= document.revision <= highest:
        raise errors.TargetInvalid(f"{source}: no revision from 0 to {highest}")
    baseline = None if document.baseline is None else _content(source, document.baseline)
    asked = document.candidate
    return Target(
        source,
        document.revision,
        _content(source, document),
        baseline,
        document.attempt,
        document.trial,
        None if asked is None else Candidate(_content(source, asked), asked.percent, asked.shadow),
    )


def _content(source: str, document: _ContentDocument) -> Content:
    if document.env:
        return Content(env=True)
    path = document.path
    if not path:
        raise errors.TargetInvalid(f"{source}: neither a path nor env")
    if path.startswith("/") or ".." in path.split("/"):
        raise errors.TargetInvalid(f"{source}: the path {path!r} leads out of the mount")
    return Content(document.version, path, document.digest)


def base(snapshot: Snapshot) -> Target | None:
    """What a pod starts with: the higher revision of target and settled, settled when equal; else MODEL_PATH."""
    named = [target for target in (snapshot.settled, snapshot.target) if target is not None]
    return max(named, key=lambda target: target.revision) if named else snapshot.env


def wanted(snapshot: Snapshot) -> Target | None:
    """What a running pod is to serve: the highest revision of base and move, base when equal."""
    start = base(snapshot)
    if snapshot.move is None or (start is not None and start.revision >= snapshot.move.revision):
        return start
    return snapshot.move


def clash(snapshot: Snapshot, want: Target) -> Content | None:
    """What another source says under the revision of `want`, if it says something else."""
    for other in (snapshot.target, snapshot.settled, snapshot.move):
        if other is not None and other.revision == want.revision and not other.content.agrees(want.content):
            return other.content
    return None


def decide_start(snapshot: Snapshot) -> Decision:
    """What a pod with nothing live does: it loads its base, and nothing else."""
    want = base(snapshot)
    if want is None:
        return Keep()
    candidates = dataclasses.replace(snapshot, move=None)
    other = clash(candidates, want)
    return Load(want) if other is None else Clash(want, other)


def decide(snapshot: Snapshot, live: Live, refused: frozenset[int], crashed: frozenset[int]) -> Decision:
    """What a pod that serves does.

    Args:
        snapshot: the reading, with MODEL_PATH's content resolved wherever a source says `env`.
        live: what is live, at the highest revision adopted.
        refused: revisions that failed; none of them is tried again.
        crashed: revisions whose load once took the process down; they are not taken as a move, but may be settled.
    """
    want = wanted(snapshot)
    if want is None or want.revision < live.revision:
        return Keep()
    other = clash(snapshot, want)
    if other is None and want.revision == live.revision and not live.content.agrees(want.content):
        other = live.content
    if other is not None:
        return Clash(want, other)
    if live.content.agrees(want.content):
        return Keep() if want.revision == live.revision else Adopt(want)
    if want.revision in refused or (want.source == "move" and want.revision in crashed):
        return Keep()
    return Load(want)


def beside(snapshot: Snapshot, live: Live, refused: frozenset[int], crashed: frozenset[int]) -> Target | None:
    """The move that wants a candidate beside the live version; None: nothing is to be there.

    Only a pod that serves what the move says takes its candidate, and none that failed here before. Arguments as for
    `decide`.
    """
    want = wanted(snapshot)
    if want is None or want.source != "move" or want.candidate is None or want.revision in refused | crashed:
        return None
    return want if live.content.agrees(want.content) else None


def gated_by_baseline(snapshot: Snapshot, want: Target) -> Content | None:
    """The baseline whose schema `want` must keep: only until all pods have settled on it."""
    settled = -1 if snapshot.settled is None else snapshot.settled.revision
    return want.baseline if want.revision > settled else None


def _agree(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def resolve(snapshot: Snapshot) -> Snapshot:
    """The same reading, with MODEL_PATH's content wherever a source says `env`."""
    if snapshot.env is None:
        return snapshot
    content = dataclasses.replace(snapshot.env.content, env=True)

    def resolved(target: Target | None) -> Target | None:
        if target is None:
            return None
        baseline = content if target.baseline is not None and target.baseline.env else target.baseline
        named = content if target.content.env else target.content
        return dataclasses.replace(target, content=named, baseline=baseline)

    return dataclasses.replace(
        snapshot,
        target=resolved(snapshot.target),
        settled=resolved(snapshot.settled),
        move=resolved(snapshot.move),
    )
