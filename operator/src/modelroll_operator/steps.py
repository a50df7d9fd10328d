"""What the operator may do next, as values. `plan` returns one; `carry_out` does it.

Each can be repeated: doing it twice is doing it once.
"""

from dataclasses import dataclass
from typing import Literal

from modelroll_operator.observed import Attempt, ModelVersion, Pod
from modelroll_operator.rollout import State


@dataclass(frozen=True, slots=True)
class Nothing:
    """What is wanted is there."""

    why: str = "converged"


@dataclass(frozen=True, slots=True)
class Wait:
    """Something is under way; look again soon.

    Attributes:
        why: What.
        seconds: After which; None: at once, and then less and less often.
    """

    why: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Save:
    """Compare-and-swap the ConfigMap.

    Attributes:
        state: What it shall hold.
        why: One of the protocol's words.
    """

    state: State
    why: Literal[
        "begin", "applied", "hold", "go on", "watch", "stage", "promote", "settle", "abort", "recover", "outrank"
    ]


@dataclass(frozen=True, slots=True)
class Close:
    """Forget the rollout: a Save that waits until it was planned for a second without interruption."""

    state: State


@dataclass(frozen=True, slots=True)
class ApplyTemplate:
    """Give the Deployment's pod template this annotation; None takes it away."""

    annotation: str | None


@dataclass(frozen=True, slots=True)
class MovePods:
    """Ask running pods, by their own annotation, to take something."""

    pods: tuple[Pod, ...]
    annotation: str


@dataclass(frozen=True, slots=True)
class RecordFailure:
    """Write the failed attempt into the ModelVersion's status, before anything is undone."""

    version: ModelVersion
    attempt: Attempt


Step = Nothing | Wait | Save | Close | ApplyTemplate | MovePods | RecordFailure
