"""What the operator remembers: the ConfigMap `<deployment>-target`.

Owns its two keys and their form. It is written by compare-and-swap alone, and the phase in it says which step is next.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from modelroll_operator import target as targets
from modelroll_operator.target import Content, Revision, Target

SETTLED = "settled"
OPERATOR = "operator"

Time = Annotated[datetime, msgspec.Meta(tz=True)]
Phase = Literal["moving", "applied", "settled", "aborting"]


class Rollout(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Moving all pods to one version.

    Attributes:
        id: Names this rollout in logs.
        uid: Of the ModelVersion.
        name: Of the ModelVersion.
        key: Of the ModelVersion when it began (`liverule.key`).
        strategy: How.
        revision: Of the target that the pods are given.
        to: The content.
        restore: The template's annotation when the rollout began, byte for byte; None when it had none.
        previous: The content that was settled when the rollout began.
        baseline: Whether new pods compare their schema with `previous`.
        phase: Which step is next.
        started: When, by the API server's clock; later by as long as its deadline stood still.
        held: Since when the deadline stands still; None while it runs.
    """

    id: str
    uid: str
    name: str
    key: str
    strategy: str
    revision: int
    to: Content
    restore: str | None = None
    previous: Content
    baseline: bool = True
    phase: Phase
    started: Time
    held: Time | None = None

    @property
    def annotation(self) -> str:
        """The bytes of the template's annotation while this rollout moves pods."""
        baseline = self.previous if self.baseline else None
        return targets.encode(targets.target(self.to, self.revision, baseline=baseline))


class Memory(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The key `operator`: the last revision given out, and the rollout under way."""

    counter: Revision = 0
    rollout: Rollout | None = None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Both keys."""

    settled: Target | None = None
    memory: Memory = Memory()

    @property
    def rollout(self) -> Rollout | None:
        """The rollout under way."""
        return self.memory.rollout

    @property
    def content(self) -> Content:
        """What is settled; before anything was, what MODEL_PATH says."""
        return targets.ENV if self.settled is None else self.settled.content

    def data(self) -> dict[str, str]:
        """As the ConfigMap's `data`."""
        data = {OPERATOR: targets.encode(self.memory)}
        if self.settled is not None:
            data[SETTLED] = targets.encode(self.settled)
        return data


def read(data: dict[str, str]) -> State | None:
    """The state that a ConfigMap holds; None when it holds none that can be read, which is as good as lost."""
    try:
        memory = msgspec.json.decode(data.get(OPERATOR, "{}"), type=Memory)
    except msgspec.MsgspecError:
        return None
    text = data.get(SETTLED)
    settled = targets.decode(text)
    return None if text and settled is None else State(settled=settled, memory=memory)
