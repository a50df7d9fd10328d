"""How a rollout ends: settled (protocol S8), or failed or called off and undone (S9)."""

from modelroll_operator import liverule, steps
from modelroll_operator import target as targets
from modelroll_operator.observed import Attempt, Failure, ModelVersion, Observed
from modelroll_operator.plan import revisions, stragglers
from modelroll_operator.rollout import Memory, Rollout, State


def done(state: State, rollout: Rollout) -> steps.Step:
    """All pods have come to it: it is what is settled."""
    memory = state.with_phase("settled").memory
    return steps.Save(State(settled=targets.target(rollout.to, rollout.revision), memory=memory), "settle")


def settle(seen: Observed, state: State, rollout: Rollout) -> steps.Step:
    """Until nobody can answer with anything else, and the ModelVersion says Live."""
    moves = stragglers.move(seen, state)
    if moves is not None:
        return moves
    # A version that is no longer for this Deployment gets its status from nobody here, and one whose status is refused
    # from nobody at all: that is not waited for.
    mine = (one for one in seen.versions if liverule.resolved(one, seen.siblings, seen.deployment.name))
    mine = (one for one in mine if one.uid not in seen.untold)
    version = next((one for one in mine if one.uid == rollout.uid and not one.deleting), None)
    if version is not None and version.content == rollout.to and not version.live:
        return steps.Wait("the ModelVersion's status does not say Live yet")
    return _close(seen, state)


def fail(seen: Observed, live: ModelVersion, failure: Failure) -> steps.Step:
    """First write down that it failed; the live rule then chooses another, and that is what calls this one off."""
    key = liverule.key(live, seen.deployment.template_hash)
    return steps.RecordFailure(live, Attempt(key, "Failed", failure.reason, failure.message))


def fail_attempt(seen: Observed, state: State, rollout: Rollout, live: ModelVersion, failure: Failure) -> steps.Step:
    """As `fail`, unless what is asked for has changed since: that was not tried yet, and begins anew."""
    if rollout.key != liverule.key(live, seen.deployment.template_hash):
        return abort(seen, state)
    return fail(seen, live, failure)


def abort(seen: Observed, state: State) -> steps.Step:
    """A fresh revision for what was settled: from here on nobody can take `to` any more."""
    return steps.Save(revisions.settled_anew(seen, state, state.with_phase("aborting").rollout), "abort")


def undo(seen: Observed, state: State, rollout: Rollout) -> steps.Step:
    """Bring back the template, then the pods."""
    if rollout.strategy == "RollingUpdate" and seen.deployment.template_target == rollout.annotation:
        return steps.ApplyTemplate(rollout.restore)
    return stragglers.move(seen, state) or _close(seen, state)


def _close(seen: Observed, state: State) -> steps.Step:
    if seen.outgoing:
        return steps.Wait(f"pods may still answer with something else: {', '.join(pod.name for pod in seen.outgoing)}")
    return steps.Close(State(settled=state.settled, memory=Memory(counter=state.memory.counter)))
