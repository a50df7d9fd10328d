"""Does what `plan` decided: one function a step, each safe to repeat.

Owns the form of every write but status. A write that meets a newer object is refused by the API server (409), and the
actor looks again.
"""

import asyncio

from modelroll_operator import names, steps
from modelroll_operator.api import APPLY, MERGE, Api, ApiError, Json
from modelroll_operator.observe import Snapshot, is_owned
from modelroll_operator.observed import Deployment, Pod
from modelroll_operator.rollout import State
from modelroll_operator.status import StatusWriter

AT_ONCE = 32


class Hands:
    """Carries out steps."""

    def __init__(self, api: Api, status: StatusWriter) -> None:
        self._api = api
        self._status = status

    async def carry_out(self, step: steps.Step, snapshot: Snapshot) -> bool:
        """Do one step; whether anything was written.

        Raises:
            ApiError: The API server refused or did not answer.
        """
        deployment = snapshot.observed.deployment
        match step:
            case steps.Save(state, _) | steps.Close(state):
                await self._save(deployment, snapshot.config_map, state)
            case steps.ApplyTemplate(annotation):
                await self._apply_template(deployment, annotation)
            case steps.MovePods(pods, annotation):
                await self._move(pods, annotation)
            case steps.RecordFailure(version, attempt):
                await self._status.record(snapshot.versions[version.uid], attempt, snapshot.observed.now)
            case steps.Nothing() | steps.Wait():
                return False
        return True

    async def _save(self, deployment: Deployment, old: Json | None, state: State) -> None:
        name = names.config_map(deployment.name)
        owner = {"apiVersion": names.APPS, "kind": "Deployment", "name": deployment.name, "uid": deployment.uid}
        body: Json = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {names.MODEL_LABEL: deployment.model}, "ownerReferences": [owner]},
            "data": state.data(),
        }
        if old is not None and not is_owned(old, deployment.uid):
            # It is of an earlier Deployment of this name, and the garbage collector is about to take it.
            uid = {"preconditions": {"uid": old["metadata"]["uid"]}}
            await self._api.call("DELETE", self._api.core("configmaps", name), uid)
            old = None
        if old is None:
            await self._api.call("POST", self._api.core("configmaps"), body)
            return
        body["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        await self._api.call("PUT", self._api.core("configmaps", name), body)

    async def _apply_template(self, deployment: Deployment, annotation: str | None) -> None:
        # Leaving an owned field out of what is applied is how it is taken away.
        annotations = {} if annotation is None else {names.TARGET_ANNOTATION: annotation}
        body = {
            "apiVersion": names.APPS,
            "kind": "Deployment",
            "metadata": {"name": deployment.name, "resourceVersion": deployment.resource_version},
            "spec": {"template": {"metadata": {"annotations": annotations}}},
        }
        path = self._api.group(names.APPS, "deployments", deployment.name)
        await self._api.call("PATCH", path, body, query={"force": "true"}, content_type=APPLY)

    async def _move(self, pods: tuple[Pod, ...], annotation: str) -> None:
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(pod: Pod) -> None:
            body = {"metadata": {"uid": pod.uid, "annotations": {names.MOVE_ANNOTATION: annotation}}}
            try:
                async with slots:
                    await self._api.call("PATCH", self._api.core("pods", pod.name), body, content_type=MERGE)
            except ApiError as error:
                if error.status not in {404, 409}:  # gone, or another pod of that name: nothing to move
                    raise

        await asyncio.gather(*(one(pod) for pod in pods))
