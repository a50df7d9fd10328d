"""Revisions: which were given out, and how what is settled comes to stand above all of them (protocol S4)."""

from collections import Counter

from modelroll_operator import steps
from modelroll_operator import target as targets
from modelroll_operator.observed import Observed
from modelroll_operator.rollout import Memory, Rollout, State


def highest(seen: Observed) -> int:
    """The highest revision that anything but the ConfigMap names."""
    texts = [seen.deployment.template_target, *seen.past_targets]
    texts += [text for pod in seen.pods for text in (pod.target, pod.move)]
    read = (targets.decode(text) for text in texts)
    revisions = [target.revision for target in read if target is not None]
    for pod in seen.pods:
        if pod.status is not None:
            revisions += [pod.status.live_revision, pod.status.wanted_revision or 0]
    return max((one for one in revisions if one <= targets.HIGHEST_FOREIGN), default=0)


def fresh(seen: Observed, state: State) -> int:
    """A revision above all that were ever given out."""
    return max(state.memory.counter, highest(seen)) + 1


def recover(seen: Observed) -> steps.Step:
    """The ConfigMap is gone: what most Ready pods serve is settled, above every revision that is about."""
    if any(pod.status is None for pod in seen.serving):
        return steps.Wait("the ConfigMap is lost; asking the pods what they serve")
    served = Counter(
        targets.ENV if pod.status.live.env else pod.status.live
        for pod in seen.serving
        if pod.status is not None and pod.status.live is not None
    )
    template = targets.decode(seen.deployment.template_target)
    content = targets.ENV if template is None else template.content
    # Equal counts: the smaller text wins, so that two operators would say the same.
    for found, _ in sorted(served.items(), key=lambda item: (-item[1], targets.encode(item[0])))[:1]:
        content = found
    revision = highest(seen) + 1
    state = State(settled=targets.target(content, revision), memory=Memory(counter=revision))
    return steps.Save(state, "recover")


def outrank(seen: Observed, state: State) -> steps.Step | None:
    """Unless pods are on their way elsewhere, what is settled stands above all: no undo or edit brings another back."""
    settled = 0 if state.settled is None else state.settled.revision
    return None if settled >= highest(seen) else steps.Save(settled_anew(seen, state, state.rollout), "outrank")


def settled_anew(seen: Observed, state: State, rollout: Rollout | None) -> State:
    """The same content settled at a fresh revision."""
    revision = fresh(seen, state)
    return State(settled=targets.target(state.content, revision), memory=Memory(counter=revision, rollout=rollout))
