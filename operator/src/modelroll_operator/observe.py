"""Reads one Deployment's surroundings: fresh lists from the API server, and what the pods say.

Owns how Kubernetes objects become the values of `observed`. Decides nothing, writes nothing.
"""

import hashlib
import json
from datetime import datetime

from modelroll_operator import canary, names
from modelroll_operator import rollout as rollouts
from modelroll_operator import target as targets
from modelroll_operator.api import Answer, Api, ApiError, Json
from modelroll_operator.lists import Lists, Objects
from modelroll_operator.observed import Attempt, Deployment, ModelVersion, Observed, Pod, PodStatus
from modelroll_operator.pods import Awaited, Listed, Pods, is_ready


class Snapshot:
    """Everything read for one Deployment at one moment.

    Attributes:
        observed: As values, for `plan`.
        config_map: The ConfigMap as it is, for the compare-and-swap; None when there is none.
        versions: The ModelVersions as they are, by uid, for their status.
    """

    def __init__(self, observed: Observed, config_map: Json | None, versions: dict[str, Json]) -> None:
        self.observed = observed
        self.config_map = config_map
        self.versions = versions


class Observer:
    """Makes snapshots."""

    def __init__(self, api: Api, lists: Lists, pods: Pods) -> None:
        self._api = api
        self._lists = lists
        self._pods = pods

    async def snapshot(self, name: str) -> Snapshot | None:
        """One Deployment's surroundings; None when it is gone or serves no model.

        Raises:
            ApiError: a read was refused or not answered.
        """
        answer = await self._lists.deployments()
        items = answer.body["items"]
        item = next((one for one in items if one["metadata"]["name"] == name), None)
        if item is None:
            return None
        model = item["metadata"]["labels"][names.MODEL_LABEL]
        siblings = sorted(
            one["metadata"]["name"] for one in items if one["metadata"]["labels"][names.MODEL_LABEL] == model
        )
        sets = await self._replica_sets(item)
        config_map = await self._config_map(name)
        state = None
        if config_map is not None and is_owned(config_map, item["metadata"]["uid"]):
            state = rollouts.read(config_map.get("data") or {})
        versions = [one for one in (await self._lists.model_versions()).body["items"] if one["spec"]["model"] == model]
        pods = await self._pods_of(item, {one["metadata"]["uid"] for one in sets}, state)
        observed = Observed(
            now=answer.date,
            deployment=deployment(item, model),
            siblings=tuple(siblings),
            state=state,
            pods=pods,
            past_targets=tuple(text for one in sets if (text := _template_target(one)) is not None),
            versions=tuple(model_version(one) for one in versions),
        )
        return Snapshot(observed, config_map, {one["metadata"]["uid"]: one for one in versions})

    async def _list(self, path: str, selector: str, shape: type) -> Answer:
        return await self._api.call("GET", path, query={"labelSelector": selector}, shape=shape)

    async def _replica_sets(self, deployment: Json) -> list[Json]:
        answer = await self._list(self._api.group(names.APPS, "replicasets"), _selector(deployment), Objects)
        return [one for one in answer.body["items"] if is_owned(one, deployment["metadata"]["uid"])]

    async def _config_map(self, deployment: str) -> Json | None:
        try:
            answer = await self._api.call("GET", self._api.core("configmaps", names.config_map(deployment)))
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return answer.body

    async def _pods_of(self, deployment: Json, owners: set[str], state: rollouts.State | None) -> tuple[Pod, ...]:
        answer = await self._list(self._api.core("pods"), _selector(deployment), Listed)
        owned = [
            pod
            for pod in answer.body["items"]
            if any(owner["uid"] in owners for owner in pod["metadata"].get("ownerReferences") or [])
            and pod["status"].get("phase") not in {"Succeeded", "Failed"}
        ]
        statuses = await self._pods.statuses((pod, awaited(pod["metadata"], state)) for pod in owned)
        return tuple(_pod(pod, statuses.get(pod["metadata"]["uid"])) for pod in owned)


def awaited(pod: Json, state: rollouts.State | None) -> Awaited:
    """What a pod of this metadata is on its way to: who was asked for nothing yet has nowhere to come to.

    In a rollout of a thousand pods, one at a time, that is one question a turn and not a thousand.
    """
    if state is None:
        return Awaited(None)
    told = targets.decode(_annotation(pod, names.MOVE_ANNOTATION))
    rollout = state.rollout
    if rollout is not None and rollout.phase in {"moving", "applied"}:
        born = targets.decode(_annotation(pod, names.TARGET_ANNOTATION))
        is_told = any(one is not None and one.revision == rollout.revision for one in (told, born))
        return Awaited(rollout.to, rollout.revision) if is_told else Awaited(None)
    is_from_here = told is not None and told.content == state.content
    return Awaited(state.content, told.revision if told is not None and is_from_here else 0)


def _selector(deployment: Json) -> str:
    labels: dict[str, str] = deployment["spec"]["selector"].get("matchLabels") or {}
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def is_owned(item: Json, uid: str) -> bool:
    """Whether the object of this uid owns `item`."""
    return any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences") or [])


def _annotation(metadata: Json, name: str) -> str | None:
    value = (metadata.get("annotations") or {}).get(name)
    return value if isinstance(value, str) else None


def _template_target(item: Json) -> str | None:
    return _annotation(item["spec"]["template"].get("metadata") or {}, names.TARGET_ANNOTATION)


def deployment(item: Json, model: str) -> Deployment:
    """A Deployment as `observed` has it."""
    metadata, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    template = json.dumps(spec["template"]["spec"], sort_keys=True).encode()
    return Deployment(
        name=metadata["name"],
        uid=metadata["uid"],
        model=model,
        resource_version=metadata["resourceVersion"],
        generation=metadata["generation"],
        observed_generation=status.get("observedGeneration", 0),
        paused=spec.get("paused", False),
        desired=spec.get("replicas", 1),
        replicas=status.get("replicas", 0),
        updated=status.get("updatedReplicas", 0),
        available=status.get("availableReplicas", 0),
        template_target=_template_target(item),
        template_hash=hashlib.sha256(template).hexdigest()[:16],
        refusal=refusal(status),
    )


def refusal(status: Json) -> str:
    """Why no pod could be made for a Deployment of this status; empty where one could."""
    for condition in status.get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return f"{condition.get('reason', 'ReplicaFailure')}: {condition.get('message', '')}"
    return ""


def _pod(item: Json, status: PodStatus | None) -> Pod:
    metadata = item["metadata"]
    deleted = metadata.get("deletionTimestamp")
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        ready=is_ready(item),
        terminating=deleted is not None,
        gone_by=None if deleted is None else datetime.fromisoformat(deleted),
        target=_annotation(metadata, names.TARGET_ANNOTATION),
        move=_annotation(metadata, names.MOVE_ANNOTATION),
        started=_started(item["status"]),
        placed="nodeName" in item["spec"],
        hindrance=hindrance(item["status"]),
        status=status,
    )


def _started(status: Json) -> datetime | None:
    times = [one.get("state", {}).get("running", {}).get("startedAt") for one in status.get("containerStatuses") or []]
    return datetime.fromisoformat(max(times)) if times and all(times) else None


def hindrance(status: Json) -> str | None:
    """Why a pod of this status does not run: it has no node, or its container waits for what is no matter of course."""
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition.get('reason', 'Unschedulable')}: {condition.get('message', '')}"
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        reason = container.get("state", {}).get("waiting", {}).get("reason")
        if reason not in {None, "ContainerCreating", "PodInitializing"}:
            return f"{container['name']} is in {reason}"
    return None


def _asks(spec: Json) -> str:
    what = {name: value for name, value in spec.items() if name not in {"paused", "withdrawn"}}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def model_version(item: Json) -> ModelVersion:
    """A ModelVersion as `observed` has it."""
    metadata, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    strategy, attempt = spec.get("strategy") or {}, status.get("attempt")
    live = any(
        one["type"] == "Live" and one["status"] == "True" and one.get("observedGeneration") == metadata["generation"]
        for one in status.get("conditions") or []
    )
    return ModelVersion(
        name=metadata["name"],
        uid=metadata["uid"],
        asks=_asks(spec),
        deleting=metadata.get("deletionTimestamp") is not None,
        model=spec["model"],
        version=spec["version"],
        path=spec["path"],
        digest=spec.get("digest"),
        deployment=spec.get("deployment"),
        strategy=strategy.get("type", "RollingUpdate"),
        progress_deadline=strategy.get("progressDeadlineSeconds", 300),
        max_parallel=strategy.get("maxParallel", 1),
        canary=canary.read(strategy.get("canary")),
        allow_schema_change=strategy.get("allowSchemaChange", False),
        paused=spec.get("paused", False),
        withdrawn=spec.get("withdrawn", False),
        retry=_annotation(metadata, names.RETRY_ANNOTATION) or "",
        attempt=None
        if attempt is None
        else Attempt(attempt["key"], attempt["outcome"], attempt.get("reason", ""), attempt.get("message", "")),
        live=live,
    )
