"""InPlace: running pods load the version beside the one they serve, first one of them, then so many at once.

No pod is asked while the one that tries it first has not come to have it: a bad version costs nobody else anything.
Where there is to be a canary, they have it as a candidate first, stage after stage (`stages`), and move to it then.
"""

from datetime import datetime

from modelroll_operator import steps
from modelroll_operator.observed import Failure, ModelVersion, Observed, Pod
from modelroll_operator.plan import stages
from modelroll_operator.rollout import Rollout, State

TRIAL_SHARE = 0.8  # of the progress deadline: the rest is for the pods that load it then


def is_begun(rollout: Rollout) -> bool:
    """Whether pods may have heard of it."""
    return rollout.phase == "moving"


def interference(seen: Observed, rollout: Rollout) -> Failure | None:
    """Nothing that somebody else does to the template ends it: pods that are born meanwhile join."""
    del seen, rollout
    return None


def failure(seen: Observed, rollout: Rollout, live: ModelVersion) -> Failure | None:
    """What the numbers of its canary say against it."""
    wanted = stages.asked(rollout, live)
    return None if wanted is None else stages.failure(seen, rollout, wanted)


def waits_since(seen: Observed, rollout: Rollout) -> datetime | None:
    """From the beginning on; while its canary is watched, since a pod without the candidate began to run."""
    return stages.waits_since(seen, rollout) if stages.is_watching(rollout) else rollout.started


def is_done(seen: Observed, rollout: Rollout) -> bool:
    """Whether every Ready pod serves it, and there is one."""
    return rollout.stage is None and bool(seen.serving) and all(_has_come(pod, rollout) for pod in seen.serving)


def step(seen: Observed, state: State, rollout: Rollout, live: ModelVersion) -> steps.Step:
    """Ask the next pods, as many as may load at once; when all have it, go on with the canary."""
    if rollout.held is not None:
        return steps.Wait("no further pod is asked while the rollout is held")
    wanted = stages.asked(rollout, live)
    if wanted is None and rollout.stage is not None:
        # It is not wanted any more; or has fewer stages now, of which the last is gone through.
        return stages.advance(seen, state, rollout, None if live.canary is None else len(live.canary.stages) - 1)
    come = [pod for pod in seen.serving if _has_come(pod, rollout)]
    waiting = [pod for pod in seen.serving if pod.told < rollout.revision and not _has_come(pod, rollout)]
    is_tried = bool(come) or rollout.back
    room = (live.max_parallel if is_tried else 1) - len(_under_way(seen, rollout, is_tried=is_tried))
    chosen = tuple(sorted(waiting, key=lambda pod: pod.name)[: max(0, room)])
    if chosen:
        seconds = None if is_tried else int(live.progress_deadline * TRIAL_SHARE)
        told = rollout.move(trial=seconds) if wanted is None else stages.move(rollout, wanted, seconds=seconds)
        return steps.MovePods(chosen, told)
    if not seen.serving:
        return steps.Wait("no pod is Ready; one must check the version first")
    if wanted is not None and len(come) == len(seen.serving):
        return stages.step(seen, state, rollout, wanted)
    return steps.Wait(f"{len(come)} of {len(seen.serving)} pods have {'moved' if wanted is None else 'the candidate'}")


def _has_come(pod: Pod, rollout: Rollout) -> bool:
    if rollout.stage is not None:
        return stages.has_it(pod, rollout)
    return pod.has_arrived(rollout.to, rollout.revision)


def _under_way(seen: Observed, rollout: Rollout, *, is_tried: bool) -> list[Pod]:
    """The pods that load it now.

    Once it is tried, one that is not Ready holds nobody up. Before that, it may be the version that took it down.
    """
    pods = (pod for pod in seen.pods if not pod.terminating and (pod.ready or not is_tried))
    return [pod for pod in pods if pod.told >= rollout.revision and not _has_come(pod, rollout)]
