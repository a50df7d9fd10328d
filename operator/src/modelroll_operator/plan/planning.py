"""Which phase a Deployment is in, and how a rollout begins: protocol S5 and S6."""

import hashlib

from modelroll_operator import liverule, steps
from modelroll_operator.observed import ModelVersion, Observed
from modelroll_operator.plan import ending, moving, revisions, stragglers
from modelroll_operator.rollout import Memory, Rollout, State


def plan(seen: Observed) -> steps.Step:
    """The next step; `Nothing` when all is as it should be."""
    if seen.state is None and revisions.highest(seen) > 0:
        return revisions.recover(seen)
    state = seen.state or State()
    choice = liverule.choose(seen)
    if state.rollout is None:
        return revisions.outrank(seen, state) or _at_rest(seen, state, choice)
    match state.rollout.phase:
        case "moving" | "applied":
            return moving.step(seen, state, state.rollout, choice)
        case "settled":
            return revisions.outrank(seen, state) or ending.settle(seen, state, state.rollout)
        case "aborting":
            return revisions.outrank(seen, state) or ending.undo(seen, state, state.rollout)


def _at_rest(seen: Observed, state: State, choice: liverule.Choice) -> steps.Step:
    live = choice.live
    if live is None or live.content == state.content:
        return stragglers.move(seen, state) or steps.Nothing()
    if live.paused:
        return steps.Nothing("the ModelVersion is paused")
    if seen.deployment.paused:
        return steps.Nothing("the Deployment is paused")
    return _begin(seen, state, live)


def _begin(seen: Observed, state: State, live: ModelVersion) -> steps.Step:
    revision = revisions.fresh(seen, state)
    key = liverule.key(live, seen.deployment.template_hash)
    is_back = liverule.is_back(live, state.content)  # it was judged when it came, and its callers know it
    rollout = Rollout(
        id=hashlib.sha256(f"{key}@{revision}".encode()).hexdigest()[:12],
        uid=live.uid,
        name=live.name,
        key=key,
        strategy="InPlace" if live.strategy == "InPlace" else "RollingUpdate",  # the rule chooses no other
        revision=revision,
        to=live.content,
        restore=seen.deployment.template_target,
        previous=state.content,
        baseline=not (live.allow_schema_change or is_back),
        phase="moving",
        back=is_back,
        stage=None if live.canary is None or live.strategy != "InPlace" or is_back else 0,
        began=seen.now,
        started=seen.now,
    )
    return steps.Save(State(settled=state.settled, memory=Memory(counter=revision, rollout=rollout)), "begin")
