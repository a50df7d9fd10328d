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
FIRST_YEAR, LAST_YEAR = 2000, 3000
Strategy = Literal["RollingUpdate", "InPlace"]
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
        back: Whether it goes back to what answered before: then nobody has to try or to judge it first.
        phase: Which step is next.
        began: When, by the API server's clock.
        started: Since when its deadline runs: later by as long as it stood still, or since a stage of its canary began
            or went on.
        held: Since when the deadline stands still; None while it runs.
        stage: Of its canary, from 0; None without one, or after it.
        since: Since when all pods have the candidate of this stage; None before.
    """

    id: str
    uid: str
    name: str
    key: str
    strategy: Strategy
    revision: int
    to: Content
    restore: str | None = None
    previous: Content
    baseline: bool = True
    back: bool = False
    phase: Phase
    began: Time
    started: Time
    held: Time | None = None
    stage: int | None = None
    since: Time | None = None

    @property
    def annotation(self) -> str:
        """The bytes of the template's annotation while this rollout moves pods."""
        return targets.encode(targets.target(self.to, self.revision, baseline=self.gate))

    def move(self, *, trial: int | None) -> str:
        """The bytes of the annotation of the pods that it asks one by one.

        Args:
            trial: Seconds for a load in a process of its own; None: it has been tried.
        """
        return targets.encode(targets.target(self.to, self.revision, baseline=self.gate, attempt=self.id, trial=trial))

    @property
    def gate(self) -> Content | None:
        """What it is compared with, so that callers can go on calling; None where they need not."""
        return self.previous if self.baseline else None


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

    def with_rollout(self, rollout: Rollout) -> "State":
        """The same, with the rollout changed."""
        return State(settled=self.settled, memory=msgspec.structs.replace(self.memory, rollout=rollout))

    def with_phase(self, phase: Phase) -> "State":
        """The same, with the rollout in another phase."""
        assert self.rollout is not None
        return self.with_rollout(msgspec.structs.replace(self.rollout, phase=phase))

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
    if memory.rollout is not None and not _is_of_our_time(memory.rollout):
        return None
    text = data.get(SETTLED)
    settled = targets.decode(text)
    return None if text and settled is None else State(settled=settled, memory=memory)


def _is_of_our_time(rollout: Rollout) -> bool:
    """Whether its times can be reckoned with: who edits a ConfigMap may write the year 9999."""
    times = (rollout.began, rollout.started, rollout.held, rollout.since)
    return all(time is None or FIRST_YEAR <= time.year < LAST_YEAR for time in times)
