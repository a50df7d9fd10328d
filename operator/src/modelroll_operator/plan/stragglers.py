"""Pods that do not serve what is settled, or were told to leave it: each is asked, once, to take it."""

from modelroll_operator import steps
from modelroll_operator import target as targets
from modelroll_operator.observed import Observed, Pod
from modelroll_operator.rollout import State
from modelroll_operator.target import Target


def move(seen: Observed, state: State) -> steps.Step | None:
    """Ask them; None when there is none."""
    if state.settled is None:
        return None
    settled = state.settled
    # A pod that is not Ready reads its move as soon as it is: it is told in time.
    present = (pod for pod in seen.pods if not pod.terminating)
    found = tuple(pod for pod in present if pod.told < settled.revision and _is_astray(pod, settled))
    if not found:
        return None
    said = targets.target(settled.content, settled.revision, attempt=f"settled/{settled.revision}")
    return steps.MovePods(found, targets.encode(said))


def _is_astray(pod: Pod, settled: Target) -> bool:
    asked = pod.asked
    if asked is not None and (asked.content != settled.content or asked.candidate is not None):
        return True  # it may be loading that now, and know of nothing newer: a ConfigMap is mounted late
    if pod.status is None or not pod.ready:
        return False
    return not pod.serves(settled.content) or (pod.status.wanted_revision or 0) > settled.revision
