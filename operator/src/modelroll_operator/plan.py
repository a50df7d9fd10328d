"""The one next step for one Deployment: protocol S4 to S9 as a pure function of what was observed.

Owns every decision of a rollout. Reads no clock, calls nobody, keeps nothing: what must be remembered is in the
ConfigMap.
"""

import hashlib
from collections import Counter
from datetime import timedelta

import msgspec

from modelroll_operator import liverule, observed, steps
from modelroll_operator import target as targets
from modelroll_operator.observed import Attempt, Failure, ModelVersion, Observed, Pod
from modelroll_operator.rollout import Memory, Rollout, State
from modelroll_operator.target import Target

ARTIFACT_GRACE = 30.0  # seconds that a push which is under way gets before a missing artifact is a failure


def plan(seen: Observed) -> steps.Step:
    """The next step; `Nothing` when all is as it should be."""
    if seen.state is None and _highest_revision(seen) > 0:
        return _recover(seen)
    state = seen.state or State()
    choice = liverule.choose(seen)
    if state.rollout is None:
        return _outrank(seen, state) or _at_rest(seen, state, choice)
    match state.rollout.phase:
        case "moving" | "applied":
            return _rolling(seen, state, state.rollout, choice)
        case "settled":
            return _outrank(seen, state) or _settling(seen, state, state.rollout)
        case "aborting":
            return _outrank(seen, state) or _aborting(seen, state, state.rollout)


# --- S4: revisions ---------------------------------------------------------------------------------------------------


def _highest_revision(seen: Observed) -> int:
    texts = [seen.deployment.template_target, *seen.past_targets]
    texts += [text for pod in seen.pods for text in (pod.target, pod.move)]
    read = (targets.decode(text) for text in texts)
    revisions = [target.revision for target in read if target is not None]
    for pod in seen.pods:
        if pod.status is not None:
            revisions += [pod.status.live_revision, pod.status.wanted_revision or 0]
    return max((one for one in revisions if one <= targets.HIGHEST_FOREIGN), default=0)


def _recover(seen: Observed) -> steps.Step:
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
    revision = _highest_revision(seen) + 1
    state = State(settled=targets.target(content, revision), memory=Memory(counter=revision))
    return steps.Save(state, "recover")


def _outrank(seen: Observed, state: State) -> steps.Step | None:
    """Unless pods are on their way elsewhere, what is settled stands above all: no undo or edit brings another back."""
    highest = _highest_revision(seen)
    settled = 0 if state.settled is None else state.settled.revision
    return None if settled >= highest else steps.Save(_settled_anew(seen, state, state.rollout), "outrank")


def _settled_anew(seen: Observed, state: State, rollout: Rollout | None) -> State:
    revision = max(state.memory.counter, _highest_revision(seen)) + 1
    return State(settled=targets.target(state.content, revision), memory=Memory(counter=revision, rollout=rollout))


# --- S5, S6: no rollout ----------------------------------------------------------------------------------------------


def _at_rest(seen: Observed, state: State, choice: liverule.Choice) -> steps.Step:
    live = choice.live
    if live is None or live.content == state.content:
        return _move_stragglers(seen, state) or steps.Nothing()
    if live.paused:
        return steps.Nothing("the ModelVersion is paused")
    if seen.deployment.paused:
        return steps.Nothing("the Deployment is paused")
    return _begin(seen, state, live)


def _begin(seen: Observed, state: State, live: ModelVersion) -> steps.Step:
    revision = max(state.memory.counter, _highest_revision(seen)) + 1
    key = liverule.key(live, seen.deployment.template_hash)
    rollout = Rollout(
        id=hashlib.sha256(f"{key}@{revision}".encode()).hexdigest()[:12],
        uid=live.uid,
        name=live.name,
        key=key,
        strategy=live.strategy,
        revision=revision,
        to=live.content,
        restore=seen.deployment.template_target,
        previous=state.content,
        baseline=not live.allow_schema_change,
        phase="moving",
        started=seen.now,
    )
    return steps.Save(State(settled=state.settled, memory=Memory(counter=revision, rollout=rollout)), "begin")


def _move_stragglers(seen: Observed, state: State) -> steps.Step | None:
    """Ready pods that serve anything else are asked, once each, to take what is settled."""
    if state.settled is None:
        return None
    settled = state.settled
    astray = tuple(pod for pod in seen.serving if _is_astray(pod, settled) and _moved_to(pod) < settled.revision)
    if not astray:
        return None
    move = targets.target(settled.content, settled.revision, attempt=f"settled/{settled.revision}")
    return steps.MovePods(astray, targets.encode(move))


def _is_astray(pod: Pod, settled: Target) -> bool:
    if pod.status is None:
        return False
    elsewhere = (pod.status.wanted_revision or 0) > settled.revision
    return not pod.serves(settled.content) or elsewhere


def _moved_to(pod: Pod) -> int:
    move = targets.decode(pod.move)
    return 0 if move is None else move.revision


# --- S7: moving pods -------------------------------------------------------------------------------------------------


def _rolling(seen: Observed, state: State, rollout: Rollout, choice: liverule.Choice) -> steps.Step:
    if choice.live is None or choice.live.content != rollout.to:
        return _abort(seen, state, rollout)
    live = choice.live
    if _is_held(seen, live) != (rollout.held is not None):
        return _hold_or_go_on(seen, state, rollout)
    if rollout.phase == "applied":
        return _applied(seen, state, rollout, live)
    if _is_overdue(seen, rollout, live):
        return _fail_attempt(seen, state, live, _overdue(seen, live))
    if seen.deployment.template_target != rollout.annotation:
        return steps.ApplyTemplate(rollout.annotation)
    return steps.Save(_in_phase(state, rollout, "applied"), "applied")


def _applied(seen: Observed, state: State, rollout: Rollout, live: ModelVersion) -> steps.Step:
    if seen.deployment.template_target != rollout.annotation:
        sentence = "the pod template's annotation was changed by somebody else, as by kubectl rollout undo"
        return _fail(seen, live, Failure(rollout.revision, "TemplateChanged", sentence))
    failure = _failure(seen, rollout)
    if failure is not None:
        return _fail_attempt(seen, state, live, failure)
    if _is_done(seen, rollout):
        settled = targets.target(rollout.to, rollout.revision)
        memory = _in_phase(state, rollout, "settled").memory
        return steps.Save(State(settled=settled, memory=memory), "settle")
    if _is_overdue(seen, rollout, live):
        return _fail_attempt(seen, state, live, _overdue(seen, live))
    if seen.deployment.desired == 0:
        return steps.Wait("the Deployment is scaled to nothing; a pod must check the version first")
    return steps.Wait("pods are being replaced")


def _in_phase(state: State, rollout: Rollout, phase: str) -> State:
    return _with(state, msgspec.structs.replace(rollout, phase=phase))


def _with(state: State, rollout: Rollout) -> State:
    return State(settled=state.settled, memory=Memory(counter=state.memory.counter, rollout=rollout))


def _is_done(seen: Observed, rollout: Rollout) -> bool:
    # With no pod at all nobody has checked the version: it is not settled on nobody's word.
    return (
        seen.deployment.complete
        and seen.deployment.desired > 0
        and bool(seen.serving)
        and all(
            pod.serves(rollout.to) and pod.status is not None and pod.status.live_revision >= rollout.revision
            for pod in seen.serving
        )
    )


def _failure(seen: Observed, rollout: Rollout) -> Failure | None:
    """What a pod says that ends the attempt now, before its deadline."""
    for pod in seen.pods:
        failure = None if pod.status is None else pod.status.failure
        if failure is None or failure.revision != rollout.revision or pod.terminating:
            continue
        # From the pod's birth on: a volume may show one node later what another has seen for long.
        waited = seen.now - max(rollout.started, pod.created)
        passing = failure.reason in observed.PASSING_REASONS
        if failure.reason in observed.FINAL_REASONS or (passing and waited > timedelta(seconds=ARTIFACT_GRACE)):
            return failure
    return None


def _is_overdue(seen: Observed, rollout: Rollout, live: ModelVersion) -> bool:
    return rollout.held is None and seen.now - rollout.started > timedelta(seconds=live.progress_deadline)


def _is_held(seen: Observed, live: ModelVersion) -> bool:
    """Whether the deadline stands still: nobody can be late who may not, or cannot, go on."""
    return seen.deployment.paused or live.paused or seen.deployment.desired == 0


def _hold_or_go_on(seen: Observed, state: State, rollout: Rollout) -> steps.Step:
    if rollout.held is None:
        return steps.Save(_with(state, msgspec.structs.replace(rollout, held=seen.now)), "hold")
    started = rollout.started + (seen.now - rollout.held)
    return steps.Save(_with(state, msgspec.structs.replace(rollout, started=started, held=None)), "go on")


def _overdue(seen: Observed, live: ModelVersion) -> Failure:
    trouble = seen.hold_up(live.content)
    sentence = f"not every pod served it within {live.progress_deadline} s" + (f"; {trouble}" if trouble else "")
    return Failure(0, "ProgressDeadlineExceeded", sentence)


# --- S9: calling off -------------------------------------------------------------------------------------------------


def _fail(seen: Observed, live: ModelVersion, failure: Failure) -> steps.Step:
    """First write down that it failed; the live rule then chooses another, and that is what calls this one off."""
    key = liverule.key(live, seen.deployment.template_hash)
    return steps.RecordFailure(live, Attempt(key, "Failed", failure.reason, failure.message))


def _fail_attempt(seen: Observed, state: State, live: ModelVersion, failure: Failure) -> steps.Step:
    """As `_fail`, unless what is asked for has changed since: that was not tried yet, and begins anew."""
    rollout = state.rollout
    assert rollout is not None
    if rollout.key != liverule.key(live, seen.deployment.template_hash):
        return _abort(seen, state, rollout)
    return _fail(seen, live, failure)


def _abort(seen: Observed, state: State, rollout: Rollout) -> steps.Step:
    """A fresh revision for what was settled: from here on nobody can take `to` any more."""
    aborting = _in_phase(state, rollout, "aborting").memory.rollout
    return steps.Save(_settled_anew(seen, state, aborting), "abort")


def _aborting(seen: Observed, state: State, rollout: Rollout) -> steps.Step:
    if seen.deployment.template_target == rollout.annotation:
        return steps.ApplyTemplate(rollout.restore)
    return _move_stragglers(seen, state) or _close(seen, state)


# --- S8: settling ----------------------------------------------------------------------------------------------------


def _settling(seen: Observed, state: State, rollout: Rollout) -> steps.Step:
    moves = _move_stragglers(seen, state)
    if moves is not None:
        return moves
    # A version that is no longer for this Deployment gets its status from nobody here: that is not waited for.
    mine = (one for one in seen.versions if liverule.resolved(one, seen.siblings, seen.deployment.name))
    version = next((one for one in mine if one.uid == rollout.uid and not one.deleting), None)
    if version is not None and version.content == rollout.to and not version.live:
        return steps.Wait("the ModelVersion's status does not say Live yet")
    return _close(seen, state)


def _close(seen: Observed, state: State) -> steps.Step:
    if seen.outgoing:
        return steps.Wait(f"pods may still answer with something else: {', '.join(pod.name for pod in seen.outgoing)}")
    return steps.Close(State(settled=state.settled, memory=Memory(counter=state.memory.counter)))
