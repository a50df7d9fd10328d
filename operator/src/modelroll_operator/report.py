"""What a ModelVersion's status ought to say: a pure function of what was observed.

Owns conditions, their reasons and their sentences. `status` writes what this returns, and nothing else writes status.
Reconciling, Degraded, Stalled and Conflict are there only while true, as kstatus has it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from modelroll_operator import canary, liverule
from modelroll_operator.observed import ModelVersion, Observed
from modelroll_operator.plan import stages
from modelroll_operator.rollout import Rollout, State

WHILE_TRUE = frozenset({"Reconciling", "Degraded", "Stalled", "Conflict"})


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, without its times."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PodCounts:
    """Pods of a Deployment, as one ModelVersion sees them.

    Attributes:
        desired: How many there shall be.
        updated: How many serve it and are Ready.
        ready: How many are Ready.
    """

    desired: int
    updated: int
    ready: int


@dataclass(frozen=True, slots=True)
class CanaryStatus:
    """How a candidate does, over all pods.

    Attributes:
        stage: Which, from 1.
        stages: How many there are.
        percent: Of the requests that it answers.
        requests: That were answered by it, or compared.
        rows: Of these.
        error_rate: Share of them that it raised on.
        disagreement: Share of those compared that it predicts differently.
        latency_ratio: Its computing time to the live version's; None while nothing was compared.
    """

    stage: int
    stages: int
    percent: float
    requests: int
    rows: int
    error_rate: float
    disagreement: float
    latency_ratio: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """What is to be said of one ModelVersion.

    Attributes:
        conditions: All of them; a type that is absent is to be absent.
        pods: None where it has no Deployment.
        served_digest: What the pods report for it; None when nobody serves it.
        succeeded: The key under which it went live, when it is live.
        revision: The revision that it is settled at, when it is live.
        canary: How it does as a candidate; None while it is none: what was said last stays.
    """

    conditions: tuple[Condition, ...]
    pods: PodCounts | None = None
    served_digest: str | None = None
    succeeded: str | None = None
    revision: int | None = None
    canary: CanaryStatus | None = None


@dataclass(frozen=True, slots=True)
class _Stand:
    """Where a version stands, in one word and one sentence, and the condition that says so beside Ready."""

    ready: str
    reason: str
    message: str
    beside: str | None = None


def report(seen: Observed, version: ModelVersion) -> Report:
    """What to say of one ModelVersion that is for this Deployment."""
    state = seen.state or State()
    is_settled = state.content == version.content
    closing = state.rollout is None or state.rollout.phase == "settled"
    live = is_settled and closing
    stand = _stand(seen, version, state, live=live)
    serving = [pod for pod in seen.serving if pod.serves(version.content)]
    verified = bool(serving)
    digests = _digests(seen, version)
    rolled_out = live and len(serving) == len(seen.serving) and verified
    conditions = [
        Condition("Ready", stand.ready, stand.reason, stand.message),
        Condition(
            "Live", _word(is_settled), "Live" if is_settled else stand.reason, _live_message(seen, live=is_settled)
        ),
        Condition("Verified", *_verified(stand, verified=verified)),
        Condition(
            "RolledOut",
            _word(rolled_out),
            "Live" if rolled_out else stand.reason,
            _counted(seen, version, len(serving), state),
        ),
    ]
    if stand.beside is not None:
        conditions.append(Condition(stand.beside, "True", stand.reason, stand.message))
    return Report(
        conditions=tuple(conditions),
        pods=PodCounts(seen.deployment.desired, len(serving), len(seen.serving)),
        served_digest=digests.pop() if len(digests) == 1 else None,
        succeeded=liverule.key(version, seen.deployment.template_hash) if live else None,
        revision=state.settled.revision if live and state.settled is not None else None,
        canary=_canary(seen, version, state.rollout),
    )


def present(version: ModelVersion, said: Report) -> Iterator[tuple[str, ...]]:
    """What `Metrics.conditions` is told: the conditions that are there only while true."""
    for condition in said.conditions:
        if condition.type in WHILE_TRUE:
            yield version.name, version.model, version.version, condition.type, condition.reason


def _digests(seen: Observed, version: ModelVersion) -> set[str]:
    """What the pods that serve a version say that its bytes hash to."""
    serving = (pod.status for pod in seen.serving if pod.serves(version.content))
    lives = (status.live for status in serving if status is not None)
    return {live.digest for live in lives if live is not None and live.digest is not None}


def unresolved(version: ModelVersion, siblings: tuple[str, ...]) -> Report:
    """What to say of one ModelVersion that is for no Deployment."""
    if version.deployment is not None:
        reason = "DeploymentNotFound"
        message = f"no Deployment {version.deployment} is labelled modelroll.dev/model={version.model}"
    elif siblings:
        reason = "DeploymentAmbiguous"
        message = f"several Deployments serve {version.model}: {', '.join(siblings)}; name one in spec.deployment"
    else:
        reason = "DeploymentNotFound"
        message = f"no Deployment is labelled modelroll.dev/model={version.model}"
    return Report(
        conditions=(
            Condition("Ready", "False", reason, message),
            Condition("Live", "False", reason, message),
            Condition("Verified", "Unknown", reason, message),
            Condition("RolledOut", "False", reason, message),
            Condition("Stalled", "True", reason, message),
        )
    )


def _stand(seen: Observed, version: ModelVersion, state: State, *, live: bool) -> _Stand:
    choice = liverule.choose(seen)
    rollout = state.rollout
    if version.withdrawn:
        kept = f"; still served: apply a ModelVersion of {version.model} for the version to go back to"
        sentence = "taken out by spec.withdrawn" + (kept if live else "")
        return _Stand("False", "Withdrawn", sentence)
    if version.strategy not in liverule.STRATEGIES:
        sentence = f"this operator rolls by {' and '.join(sorted(liverule.STRATEGIES))}, not by {version.strategy}"
        return _Stand("False", "StrategyUnsupported", sentence, "Stalled")
    if liverule.failed(version, seen.deployment.template_hash) and version.attempt is not None:
        return _Stand("False", version.attempt.reason, version.attempt.message, "Stalled")
    if version.version in liverule.conflicts(liverule.candidates(seen)):
        sentence = (
            f"another ModelVersion of {version.model} has the version {version.version} too; withdraw or delete one"
        )
        return _Stand("False", "Conflict", sentence, "Conflict")
    if live or (rollout is not None and rollout.phase == "aborting" and state.content == version.content):
        return _answering(seen, version, rollout, live=live)
    if rollout is not None and rollout.to == version.content and rollout.phase in {"moving", "applied"}:
        return _moving(seen, version, rollout)
    if choice.live is not None and choice.live.uid == version.uid:
        return _waiting(seen, version)
    return _superseded(choice, version)


def _answering(seen: Observed, version: ModelVersion, rollout: Rollout | None, *, live: bool) -> _Stand:
    """It is settled: as the end of a rollout, or because the one to another version is being undone."""
    serving = any(pod.serves(version.content) for pod in seen.serving)
    if seen.deployment.desired > 0 and not serving:
        waits = seen.hold_up(version.content)
        return _Stand("False", "Degraded", "no Ready pod serves it" + (f": {waits}" if waits else ""), "Degraded")
    digests = _digests(seen, version)
    if len(digests) > 1:
        sentence = f"pods answer from different bytes at {version.path}: {', '.join(sorted(digests))}"
        return _Stand("False", "DigestsDiffer", f"{sentence}; say in spec.digest which is meant", "Degraded")
    if not live and rollout is not None:
        sentence = f"{version.version} answers; the rollout to {rollout.to.version} is being undone"
        return _Stand("True", "Live", sentence)
    fault = seen.fault(version.content)
    if fault:
        return _Stand("False", "Degraded", f"it answers, but not from every pod: {fault}", "Degraded")
    return _Stand("True", "Live", f"every new pod serves {version.version}")


def _moving(seen: Observed, version: ModelVersion, rollout: Rollout) -> _Stand:
    if _is_in_stage(version, rollout) and stages.is_watching(rollout):
        return _in_stage(seen, version, rollout)
    trouble = seen.hold_up(version.content)
    sentence = f"pods are moving to {version.version}" + (f"; {trouble}" if trouble else "")
    return _Stand("False", "Progressing", sentence, "Reconciling")


def _is_in_stage(version: ModelVersion, rollout: Rollout) -> bool:
    is_this = rollout.to == version.content and rollout.phase == "moving"
    return is_this and stages.asked(rollout, version) is not None


def _in_stage(seen: Observed, version: ModelVersion, rollout: Rollout) -> _Stand:
    wanted = stages.asked(rollout, version)
    assert wanted is not None
    assert rollout.stage is not None
    found = stages.judged(seen, rollout, wanted)
    sentence = canary.sentence(wanted, rollout.stage, stages.numbers(seen, rollout))
    reason = "CanaryInconclusive" if found.reason == "CanaryInconclusive" else "Canary"
    return _Stand("False", reason, f"{sentence}; {found.message}" if found.message else sentence, "Reconciling")


def _canary(seen: Observed, version: ModelVersion, rollout: Rollout | None) -> CanaryStatus | None:
    if rollout is None or not _is_in_stage(version, rollout):
        return None
    wanted = stages.asked(rollout, version)
    assert wanted is not None
    assert rollout.stage is not None
    numbers = stages.numbers(seen, rollout)
    ratio = numbers.latency_ratio
    return CanaryStatus(
        stage=rollout.stage + 1,
        stages=len(wanted.stages),
        percent=wanted.stages[rollout.stage].percent,
        requests=numbers.requests,
        rows=numbers.rows,
        error_rate=round(numbers.error_rate, 4),
        disagreement=round(numbers.disagreement, 4),
        latency_ratio=None if ratio is None else round(ratio, 2),
    )


def _waiting(seen: Observed, version: ModelVersion) -> _Stand:
    if version.paused:
        return _Stand("False", "Paused", "spec.paused is true; no rollout begins until it is false")
    if seen.deployment.paused:
        return _Stand("False", "DeploymentPaused", "the Deployment is paused; kubectl rollout resume lets it go on")
    if (seen.state or State()).rollout is None:
        return _Stand("False", "Pending", "its rollout begins now", "Reconciling")
    sentence = "its rollout begins when the one before it has ended"
    mute = [pod.name for pod in seen.outgoing if pod.ready and pod.status is None]
    if mute:
        silent = f"Ready, but nobody answers for /status, so what they serve is not known: {', '.join(mute)}"
        return _Stand("False", "PodsUnreadable", f"{sentence}; {silent}", "Reconciling")
    leaving = ", ".join(pod.name for pod in seen.outgoing)
    return _Stand("False", "Pending", sentence + (f"; leaving: {leaving}" if leaving else ""), "Reconciling")


def _superseded(choice: liverule.Choice, version: ModelVersion) -> _Stand:
    if choice.live is None:
        return _Stand("True", "Superseded", "two ModelVersions of one higher version are in conflict")
    return _Stand("True", "Superseded", f"{choice.live.version} goes before {version.version}")


def _verified(stand: _Stand, *, verified: bool) -> tuple[str, str, str]:
    if verified:
        return "True", "Served", "pods report its path and digest as what they serve"
    if stand.beside == "Stalled":
        return "False", stand.reason, stand.message
    return "Unknown", stand.reason, "no pod serves it at the moment"


def _counted(seen: Observed, version: ModelVersion, serving: int, state: State) -> str:
    sentence = f"{serving} of {seen.deployment.desired} pods serve it"
    trouble = seen.hold_up(version.content) if state.content == version.content else ""
    return f"{sentence}; {trouble}" if trouble else sentence


def _live_message(seen: Observed, *, live: bool) -> str:
    if live:
        return "this is what answers"
    content = (seen.state or State()).content
    return "what MODEL_PATH names answers" if content.env else f"{content.version} answers"


def _word(value: bool) -> str:
    return "True" if value else "False"
