"""Deployments, their pods and versions, as a person applies them; and when a version is live.

Owns what is asked of the API server on the way. Knows nothing of how any of it is measured.
"""

import asyncio
import json
from typing import Any

from modelroll_operator import names
from modelroll_operator.api import Api, ApiError

POLL_SECONDS = 0.1
AT_ONCE = 32
Json = dict[str, Any]


class Fleet:
    """So many Deployments of one size, each with a model of its own."""

    def __init__(self, api: Api, deployments: int, pods: int, port: int) -> None:
        self.names = [f"m{number:03d}" for number in range(deployments)]
        self.pods = pods
        self._api = api
        self._port = port

    async def create(self) -> None:
        """Make the Deployments, and wait until every pod is Ready."""
        path = self._api.group(names.APPS, "deployments")
        await _all(self._api.call("POST", path, _deployment(name, self.pods, self._port)) for name in self.names)
        await self._wait_until_available()

    async def _wait_until_available(self) -> None:
        async with asyncio.timeout(600):
            while True:
                items = (await self._api.call("GET", self._api.group(names.APPS, "deployments"))).body["items"]
                if all(one.get("status", {}).get("availableReplicas", 0) == self.pods for one in items):
                    return
                await asyncio.sleep(1)

    async def delete(self) -> None:
        """Delete them and their versions, and wait until no pod is left."""
        for path in (self._api.group(names.GROUP, names.PLURAL), self._api.group(names.APPS, "deployments")):
            await self._api.call("DELETE", path)
        async with asyncio.timeout(600):
            while True:
                left = await self._api.call("GET", self._api.core("pods"), query={"limit": "1"})
                if not left.body["items"]:
                    return
                await asyncio.sleep(1)

    async def apply(self, version: str, strategy: Json, models: list[str] | None = None) -> None:
        """Apply a version of each model, or of these."""
        path = self._api.group(names.GROUP, names.PLURAL)
        await _all(
            self._api.call("POST", path, _model_version(name, version, strategy)) for name in models or self.names
        )

    async def wait_live(self, version: str, seconds: float, models: list[str] | None = None) -> None:
        """Wait until that version is live, of each model or of these, and nothing is under way.

        Raises:
            TimeoutError: It took longer.
        """
        left = list(models or self.names)
        async with asyncio.timeout(seconds):
            while left:
                # One after the other: who is looked at last has been live for longest.
                if await self._is_live(left[0], version):
                    left.pop(0)
                else:
                    await asyncio.sleep(POLL_SECONDS)

    async def _is_live(self, model: str, version: str) -> bool:
        try:
            item = await self._api.call("GET", self._api.group(names.GROUP, names.PLURAL, f"{model}-{version}"))
            memory = await self._api.call("GET", self._api.core("configmaps", names.config_map(model)))
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        conditions = (item.body.get("status") or {}).get("conditions") or []
        is_live = any(one["type"] == "Live" and one["status"] == "True" for one in conditions)
        return is_live and "rollout" not in json.loads(memory.body["data"]["operator"])


async def _all(calls: Any) -> None:
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(call: Any) -> None:
        async with slots:
            await call

    await asyncio.gather(*(one(call) for call in calls))


def _deployment(name: str, pods: int, port: int) -> Json:
    labels = {"app": name}
    container = {"name": "server", "image": "none", "ports": [{"name": "management", "containerPort": port}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {names.MODEL_LABEL: name}},
        "spec": {
            "replicas": pods,
            "selector": {"matchLabels": labels},
            "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def _model_version(model: str, version: str, strategy: Json) -> Json:
    return {
        "apiVersion": names.GROUP,
        "kind": "ModelVersion",
        "metadata": {"name": f"{model}-{version}"},
        "spec": {"model": model, "version": version, "path": f"{model}/{version}", "strategy": strategy},
    }
