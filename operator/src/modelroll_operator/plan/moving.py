"""A rollout that moves pods: protocol S7.

Owns what both strategies share: when it is called off, held, late or failed. The strategies say how pods get there.
"""

from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from modelroll_operator import liverule, observed, steps
from modelroll_operator.observed import Failure, ModelVersion, Observed, Pod
from modelroll_operator.plan import ending, in_place, rolling_update
from modelroll_operator.rollout import Rollout, State

ARTIFACT_GRACE = 30.0  # seconds that a push which is under way gets before a missing artifact is a failure


class Strategy(Protocol):
    """How pods get there."""

    def is_begun(self, rollout: Rollout) -> bool:
        """Whether pods may have heard of it."""

    def interference(self, seen: Observed, rollout: Rollout) -> Failure | None:
        """What somebody else did that ends it."""

    def failure(self, seen: Observed, rollout: Rollout, live: ModelVersion) -> Failure | None:
        """What speaks against it, besides what a pod says of its own loading."""

    def waits_since(self, seen: Observed, rollout: Rollout) -> datetime | None:
        """Since when pods have been late with what they are to do; None when nobody is."""

    def is_done(self, seen: Observed, rollout: Rollout) -> bool:
        """Whether all pods serve it."""

    def step(self, seen: Observed, state: State, rollout: Rollout, live: ModelVersion) -> steps.Step:
        """What is to be done for it next."""


_STRATEGIES: dict[str, Strategy] = {"InPlace": in_place, "RollingUpdate": rolling_update}


def step(seen: Observed, state: State, rollout: Rollout, choice: liverule.Choice) -> steps.Step:
    """The next step of a rollout that has not come to its end."""
    live = choice.live
    if live is None or live.content != rollout.to:
        return ending.abort(seen, state)
    is_held = _is_held(seen, live)
    if is_held != (rollout.held is not None):
        return _hold_or_go_on(seen, state, rollout)
    strategy = _STRATEGIES[rollout.strategy]
    if strategy.is_begun(rollout):
        foreign = strategy.interference(seen, rollout)
        if foreign is not None:
            return ending.fail(seen, live, foreign)
        failure = _failure(seen, rollout) or strategy.failure(seen, rollout, live)
        if failure is not None:
            return ending.fail_attempt(seen, state, rollout, live, failure)
        if strategy.is_done(seen, rollout):
            return ending.done(state, rollout)
    since = strategy.waits_since(seen, rollout)
    late = since is not None and seen.now - since > timedelta(seconds=live.progress_deadline)
    if late and not is_held:
        return ending.fail_attempt(seen, state, rollout, live, _overdue(seen, live))
    return strategy.step(seen, state, rollout, live)


def _failure(seen: Observed, rollout: Rollout) -> Failure | None:
    """What a pod says that ends the attempt now, before its deadline."""
    is_there = any(_has_loaded(pod, rollout) for pod in seen.pods)
    for pod in seen.pods:
        failure = None if pod.status is None else pod.status.failure
        if failure is None or failure.revision != rollout.revision or pod.terminating:
            continue
        # From the pod's birth on: a volume may show one node later what another has seen for long.
        waited = seen.now - max(rollout.started, pod.created)
        passing = failure.reason in observed.PASSING_REASONS and not is_there
        if failure.reason in observed.FINAL_REASONS or (passing and waited > timedelta(seconds=ARTIFACT_GRACE)):
            return failure
    return None


def _has_loaded(pod: Pod, rollout: Rollout) -> bool:
    """Whether a pod has loaded it: then it is there, and who does not find it has a volume that is behind."""
    status = pod.status
    if status is None:
        return False
    return status.serves(rollout.to) or (status.candidate is not None and status.candidate.is_of(rollout.to))


def _overdue(seen: Observed, live: ModelVersion) -> Failure:
    trouble = seen.hold_up(live.content)
    sentence = f"not every pod served it within {live.progress_deadline} s" + (f"; {trouble}" if trouble else "")
    return Failure(0, "ProgressDeadlineExceeded", sentence)


def _is_held(seen: Observed, live: ModelVersion) -> bool:
    """Whether the deadline stands still: nobody can be late who may not, or cannot, go on."""
    return seen.deployment.paused or live.paused or seen.deployment.desired == 0


def _hold_or_go_on(seen: Observed, state: State, rollout: Rollout) -> steps.Step:
    if rollout.held is None:
        return steps.Save(state.with_rollout(msgspec.structs.replace(rollout, held=seen.now)), "hold")
    stood = seen.now - rollout.held
    since = None if rollout.since is None else rollout.since + stood
    # While a canary is watched nobody is late but a pod that came meanwhile, and nobody could ask that one.
    started = rollout.started + stood if since is None else seen.now
    gone_on = msgspec.structs.replace(rollout, started=started, since=since, held=None)
    return steps.Save(state.with_rollout(gone_on), "go on")
