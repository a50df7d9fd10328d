"""Who answers for ModelVersions that are for no Deployment."""

import asyncio
from typing import Any

import aiohttp

from modelroll_operator.api import Answer, Api, ApiError
from modelroll_operator.metrics import Metrics
from modelroll_operator.supervisor import Supervisor
from simulation import values


class Orphans(Api):
    """An API server with ModelVersions and no Deployment; it does not take the status of the first."""

    def __init__(self) -> None:
        self.namespace = "ns"
        self.told: list[str] = []
        self.all_told = asyncio.Event()

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None, **_: Any) -> Answer:
        if method == "GET":
            items = [] if path.endswith("/deployments") else [_orphan("a"), _orphan("b"), _orphan("c")]
            return Answer({"items": items}, values.NOW)
        if path.endswith("/a/status"):
            raise ApiError(422, "status.conditions: Too many")
        if path.endswith("/status"):
            self.told.append(path.split("/")[-2])
            if "c" in self.told:
                self.all_told.set()
        return Answer({}, values.NOW)


def _orphan(name: str) -> dict[str, Any]:
    metadata = {"name": name, "uid": name, "generation": 1, "resourceVersion": "1"}
    return {"metadata": metadata, "spec": {"model": "churn", "version": "1.0.0", "path": "churn/1.0.0"}}


async def test_an_orphan_whose_status_is_refused_holds_up_no_other() -> None:
    api = Orphans()
    async with aiohttp.ClientSession() as session:
        running = asyncio.create_task(Supervisor(api, session, Metrics()).run())
        async with asyncio.timeout(20):
            await api.all_told.wait()
        running.cancel()
    assert set(api.told) == {"b", "c"}
