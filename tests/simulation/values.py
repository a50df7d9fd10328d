"""Makes values of `observed` with everything filled in that a test does not care about."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from modelroll_operator import target as targets
from modelroll_operator.observed import Deployment, ModelVersion, Observed, Pod, PodStatus
from modelroll_operator.rollout import State
from modelroll_operator.target import Content

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def content(version: str) -> Content:
    """The content of a version, wherever no test says otherwise."""
    return Content(version=version, path=f"churn/{version}")


def model_version(version: str, **changes: Any) -> ModelVersion:
    """A ModelVersion of `version`."""
    values: dict[str, Any] = {
        "name": f"churn-{version}",
        "uid": f"uid-{version}",
        "asks": "1",
        "deleting": False,
        "model": "churn",
        "version": version,
        "path": f"churn/{version}",
        "digest": None,
        "deployment": None,
        "strategy": "RollingUpdate",
        "max_parallel": 1,
        "canary": None,
        "progress_deadline": 300,
        "allow_schema_change": False,
        "paused": False,
        "withdrawn": False,
        "retry": "",
        "attempt": None,
        "live": False,
    }
    return ModelVersion(**(values | changes))


def deployment(template: str | None = None, replicas: int = 2, **changes: Any) -> Deployment:
    """A Deployment whose controller has nothing left to do."""
    values: dict[str, Any] = {
        "name": "churn",
        "uid": "deployment-uid",
        "model": "churn",
        "resource_version": "1",
        "generation": 1,
        "observed_generation": 1,
        "paused": False,
        "desired": replicas,
        "replicas": replicas,
        "updated": replicas,
        "available": replicas,
        "template_target": template,
        "template_hash": "template",
        "refusal": "",
    }
    return Deployment(**(values | changes))


def serving(live: Content, revision: int, **changes: Any) -> PodStatus:
    """What a pod says that serves `live`."""
    said = (
        msgspec.structs.replace(content("0.0.1"), env=True) if live.env else live
    )  # a pod names what it found on MODEL_PATH
    values: dict[str, Any] = {
        "live": said,
        "live_revision": revision,
        "wanted_revision": revision,
        "failure": None,
    }
    return PodStatus(**(values | changes))


def pod(name: str, status: PodStatus | None, **changes: Any) -> Pod:
    """A Ready pod that says `status`."""
    values: dict[str, Any] = {
        "name": name,
        "uid": f"uid-{name}",
        "created": NOW,
        "ready": True,
        "terminating": False,
        "gone_by": None,
        "target": None,
        "move": None,
        "started": None,
        "placed": True,
        "hindrance": None,
        "status": status,
    }
    return Pod(**(values | changes))


def pods_serving(live: Content, revision: int, count: int = 2, **changes: Any) -> tuple[Pod, ...]:
    """Ready pods that all serve `live`."""
    return tuple(pod(f"p{i}", serving(live, revision), **changes) for i in range(count))


def observed(
    versions: Iterable[ModelVersion] = (), state: State | None = None, pods: Iterable[Pod] = (), **changes: Any
) -> Observed:
    """One Deployment's surroundings."""
    values: dict[str, Any] = {
        "now": NOW,
        "deployment": deployment(),
        "siblings": ("churn",),
        "state": state,
        "pods": tuple(pods),
        "past_targets": (),
        "versions": tuple(versions),
    }
    return Observed(**(values | changes))


def settled_at(version: str | None, revision: int, **changes: Any) -> State:
    """A state in which `version` (None: what MODEL_PATH says) is settled."""
    held = targets.ENV if version is None else content(version)
    state = State(settled=targets.target(held, revision))
    memory = msgspec.structs.replace(state.memory, **({"counter": revision} | changes))
    return State(settled=state.settled, memory=memory)
