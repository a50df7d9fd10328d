"""RollingUpdate: the Deployment controller replaces the pods, because their template names the target."""

from datetime import datetime

from modelroll_operator import steps
from modelroll_operator.observed import Failure, ModelVersion, Observed
from modelroll_operator.rollout import Rollout, State


def is_begun(rollout: Rollout) -> bool:
    """Whether pods may have heard of it."""
    return rollout.phase == "applied"


def interference(seen: Observed, rollout: Rollout) -> Failure | None:
    """What somebody else did that ends it."""
    if seen.deployment.template_target == rollout.annotation:
        return None
    sentence = "the pod template's annotation was changed by somebody else, as by kubectl rollout undo"
    return Failure(rollout.revision, "TemplateChanged", sentence)


def failure(seen: Observed, rollout: Rollout, live: ModelVersion) -> Failure | None:
    """Nothing: a pod that is Ready has passed its gates."""
    del seen, rollout, live
    return None


def waits_since(seen: Observed, rollout: Rollout) -> datetime:
    """From the beginning on."""
    del seen
    return rollout.started


def is_done(seen: Observed, rollout: Rollout) -> bool:
    """Whether all pods are new, Ready and serve it; with no pod at all nobody has checked it, and it is not done."""
    arrived = bool(seen.serving) and all(pod.has_arrived(rollout.to, rollout.revision) for pod in seen.serving)
    return arrived and seen.deployment.complete and seen.deployment.desired > 0


def step(seen: Observed, state: State, rollout: Rollout, live: ModelVersion) -> steps.Step:
    """Give the template its annotation, remember that it has it, and let the controller work."""
    del live  # its maxParallel is the Deployment's maxSurge here
    if rollout.phase == "moving":
        if seen.deployment.template_target != rollout.annotation:
            return steps.ApplyTemplate(rollout.annotation)
        return steps.Save(state.with_phase("applied"), "applied")
    if seen.deployment.desired == 0:
        return steps.Wait("the Deployment is scaled to nothing; a pod must check the version first")
    return steps.Wait("pods are being replaced")
