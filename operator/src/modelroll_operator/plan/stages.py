"""The canary before pods move in place: every pod has the candidate beside what it serves, stage after stage.

Each stage is a revision of its own. Its numbers decide: on to the next, back, or no verdict yet.
"""

from datetime import datetime

import msgspec

from modelroll_operator import canary, steps
from modelroll_operator import target as targets
from modelroll_operator.canary import Canary
from modelroll_operator.observed import Failure, ModelVersion, Observed, Pod
from modelroll_operator.plan import revisions
from modelroll_operator.rollout import Memory, Rollout, State

LOOK_EVERY = 5.0  # seconds between two looks at the numbers


def asked(rollout: Rollout, live: ModelVersion) -> Canary | None:
    """What the stage that runs is part of; None when none does, or none is asked for any more."""
    if rollout.stage is None or live.canary is None or rollout.stage >= len(live.canary.stages):
        return None
    return live.canary


def has_it(pod: Pod, rollout: Rollout) -> bool:
    """Whether a pod has the candidate beside what it serves, as this stage wants it."""
    status = pod.status
    if status is None or status.candidate is None or not status.serves(rollout.previous):
        return False
    return status.candidate.revision == rollout.revision and status.candidate.is_of(rollout.to)


def move(rollout: Rollout, wanted: Canary, *, seconds: int | None) -> str:
    """The bytes of the annotation that asks a pod for this stage.

    Args:
        rollout: In a stage.
        wanted: That the stage is part of.
        seconds: For a load in a process of its own; None: another pod has done that.
    """
    assert rollout.stage is not None
    candidate = targets.candidate(rollout.to, wanted.stages[rollout.stage].percent)
    told = targets.target(
        rollout.previous,
        rollout.revision,
        attempt=rollout.id,
        trial=seconds,
        baseline=rollout.gate,
        candidate=candidate,
    )
    return targets.encode(told)


def is_watching(rollout: Rollout) -> bool:
    """Whether every pod has it, and only time and requests are waited for: that is nobody's delay."""
    return rollout.stage is not None and rollout.since is not None


def waits_since(seen: Observed, rollout: Rollout) -> datetime | None:
    """Since when a pod that was born, or started anew, while the stage is watched has been without the candidate."""
    assert rollout.since is not None
    begun = max(rollout.since, rollout.started)
    without = (pod for pod in seen.serving if not has_it(pod, rollout))
    return min((max(begun, pod.created, pod.started or pod.created) for pod in without), default=None)


def numbers(seen: Observed, rollout: Rollout) -> canary.Numbers:
    """The sums over all pods that have it."""
    found = (pod.status.candidate for pod in seen.serving if pod.status is not None and has_it(pod, rollout))
    return canary.total(one.numbers for one in found if one is not None)


def judged(seen: Observed, rollout: Rollout, wanted: Canary) -> canary.Verdict:
    """The verdict on the stage that runs; open until every pod has been asked."""
    if rollout.stage is None or rollout.since is None:
        return canary.Verdict("open")
    elapsed = (seen.now - rollout.since).total_seconds()
    return canary.verdict(numbers(seen, rollout), wanted.stages[rollout.stage], wanted.analysis, elapsed)


def failure(seen: Observed, rollout: Rollout, wanted: Canary) -> Failure | None:
    """What the numbers say against it."""
    found = judged(seen, rollout, wanted)
    return Failure(rollout.revision, found.reason, found.message) if found.kind == "failed" else None


def step(seen: Observed, state: State, rollout: Rollout, wanted: Canary) -> steps.Step:
    """What is to be done once every Ready pod has it."""
    if rollout.since is None:
        return steps.Save(state.with_rollout(msgspec.structs.replace(rollout, since=seen.now)), "watch")
    found = judged(seen, rollout, wanted)
    if found.kind != "passed":
        return steps.Wait(found.message or "the candidate is being judged", LOOK_EVERY)
    assert rollout.stage is not None
    is_last = rollout.stage + 1 == len(wanted.stages)
    return advance(seen, state, rollout, None if is_last else rollout.stage + 1)


def advance(seen: Observed, state: State, rollout: Rollout, stage: int | None) -> steps.Step:
    """Begin a stage; None: pods move to it now."""
    revision = revisions.fresh(seen, state)
    begun = msgspec.structs.replace(rollout, revision=revision, stage=stage, since=None, started=seen.now)
    memory = Memory(counter=revision, rollout=begun)
    return steps.Save(State(settled=state.settled, memory=memory), "promote" if stage is None else "stage")
