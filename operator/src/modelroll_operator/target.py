"""What a pod is told to serve: contents, targets, moves, and their one form as bytes.

Owns the JSON of the annotations and of the ConfigMap's `settled` (docs/design/0001-seams.md). Equal targets have equal
bytes, which is what lets a step be repeated. Knows nothing of rollouts.
"""

from typing import Annotated, Any

import msgspec

HIGHEST_REVISION = 2**53  # what a server takes: JSON numbers hold it exactly wherever they are read
HIGHEST_FOREIGN = HIGHEST_REVISION - 2**20  # what the operator heeds of others' writing: it needs room above that

Revision = Annotated[int, msgspec.Meta(ge=0, le=HIGHEST_REVISION)]


class Content(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is served: one version's artifact, or what MODEL_PATH says (`env`)."""

    version: str | None = None
    path: str | None = None
    digest: str | None = None
    env: bool = False


ENV = Content(env=True)


class Baseline(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The content whose schema a target must be compatible with."""

    path: str | None = None
    digest: str | None = None
    env: bool = False


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a pod is to have beside what it serves, and what that is to do there.

    Attributes:
        percent: Of the requests that it answers.
        shadow: Whether other requests are computed by it, too, and compared.
    """

    version: str | None = None
    path: str | None = None
    digest: str | None = None
    env: bool = False
    percent: float = 0.0
    shadow: bool = False


class Target(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A content at a revision. The highest revision that a pod sees wins.

    Attributes:
        baseline: What its schema is to be compatible with.
        attempt: Names the rollout, for logs.
        trial: Seconds that it gets to be loaded in a process of its own, before the one that answers loads it; where
            there is a candidate, that one.
        candidate: What is to be beside it.
    """

    revision: Revision
    version: str | None = None
    path: str | None = None
    digest: str | None = None
    env: bool = False
    baseline: Baseline | None = None
    attempt: str | None = None
    trial: int | None = None
    candidate: Candidate | None = None

    @property
    def content(self) -> Content:
        """The content alone."""
        return Content(version=self.version, path=self.path, digest=self.digest, env=self.env)


def target(
    content: Content,
    revision: int,
    *,
    baseline: Content | None = None,
    attempt: str | None = None,
    trial: int | None = None,
    candidate: Candidate | None = None,
) -> Target:
    """`content` at `revision`, with what is asked for besides."""
    gate = None if baseline is None else Baseline(path=baseline.path, digest=baseline.digest, env=baseline.env)
    return Target(
        revision=revision,
        version=content.version,
        path=content.path,
        digest=content.digest,
        env=content.env,
        baseline=gate,
        attempt=attempt,
        trial=trial,
        candidate=candidate,
    )


def candidate(content: Content, percent: float) -> Candidate:
    """`content` as a candidate that answers so many requests of a hundred, and is compared on others."""
    return Candidate(
        version=content.version,
        path=content.path,
        digest=content.digest,
        env=content.env,
        percent=percent,
        shadow=True,
    )


def encode(value: Any) -> str:
    """Keys sorted, no spaces: the same value is always the same bytes."""
    return msgspec.json.encode(value, order="sorted").decode()


def decode(text: str | None) -> Target | None:
    """The target that an annotation or a key writes; None when it is absent or not one."""
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=Target)
    except msgspec.MsgspecError:
        return None
