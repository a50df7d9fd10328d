"""A rollout as its spans tell it: one for each step that is taken, and one for the whole."""

import contextlib
from contextlib import AbstractContextManager

from modelroll_operator import steps
from modelroll_operator.observed import Observed
from modelroll_operator.rollout import Rollout
from modelroll_operator.telemetry.traces import Attributes, Origin, Traces


def step(traces: Traces | None, step: steps.Step, seen: Observed) -> AbstractContextManager[None]:
    """The span of a step; none where nothing is done."""
    if traces is None or isinstance(step, steps.Nothing | steps.Wait):
        return contextlib.nullcontext()
    rollout = _of(step, seen)
    name = type(step).__name__
    found = {"modelroll.step": name, **_attributes(rollout, seen)}
    if isinstance(step, steps.Save):
        found["modelroll.why"] = step.why
        name = f"{name} {step.why}"
    elif isinstance(step, steps.RecordFailure):
        found["modelroll.reason"] = step.attempt.reason
        found["modelroll.message"] = step.attempt.message
    return traces.step(name, found, None if rollout is None else _origin(rollout))


def ended(traces: Traces | None, step: steps.Step, seen: Observed) -> None:
    """The span of a whole rollout, once nothing is left of it to do."""
    rollout = None if seen.state is None else seen.state.rollout
    if traces is None or rollout is None or not isinstance(step, steps.Close):
        return
    outcome, error = "succeeded", None
    if rollout.phase == "aborting":
        attempts = (one.attempt for one in seen.versions if one.uid == rollout.uid)
        of_it = (one for one in attempts if one is not None and one.key == rollout.key and one.outcome == "Failed")
        failed = next(of_it, None)
        outcome, error = ("called off", None) if failed is None else ("failed", failed.reason)
    traces.rollout(_origin(rollout), rollout.began, {**_attributes(rollout, seen), "modelroll.outcome": outcome}, error)


def _of(step: steps.Step, seen: Observed) -> Rollout | None:
    """The rollout that a step is part of, be it the one that begins with it."""
    under_way = None if seen.state is None else seen.state.rollout
    return step.state.rollout if under_way is None and isinstance(step, steps.Save) else under_way


def _origin(rollout: Rollout) -> Origin:
    return Origin.of(f"{rollout.uid} {rollout.id} {rollout.began.isoformat()}")


def _attributes(rollout: Rollout | None, seen: Observed) -> Attributes:
    found: dict[str, str | int] = {
        "modelroll.deployment": seen.deployment.name,
        "modelroll.model": seen.deployment.model,
    }
    if rollout is not None:
        found["modelroll.modelversion"] = rollout.name
        found["modelroll.version"] = rollout.to.version or ""
        found["modelroll.digest"] = rollout.to.digest or ""
        found["modelroll.strategy"] = rollout.strategy
        found["modelroll.revision"] = rollout.revision
    return {name: value for name, value in found.items() if value != ""}
