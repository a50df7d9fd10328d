"""Whom a ModelVersion concerns: the Deployments of its model, or nobody's."""

import asyncio
from typing import Any

import aiohttp

from modelroll_operator.api import Answer, Api, ApiError
from modelroll_operator.metrics import Metrics
from modelroll_operator.supervisor import Supervisor
from simulation import kubelet, values


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
    metrics = Metrics()
    async with aiohttp.ClientSession() as session:
        running = asyncio.create_task(Supervisor(api, session, metrics).run())
        async with asyncio.timeout(60):
            await api.all_told.wait()
        running.cancel()
    assert set(api.told) == {"b", "c"}
    assert _stalled(metrics) == {"a", "b", "c"}
    assert _refused(metrics) == {"422"}


class Forbidding(Api):
    """An API server that lets nobody list anything."""

    def __init__(self) -> None:
        self.namespace = "ns"
        self.asked = 0
        self.asked_again = asyncio.Event()

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None, **_: Any) -> Answer:
        self.asked += 1
        if self.asked > 1:
            self.asked_again.set()
        raise ApiError(403, "deployments is forbidden")


async def test_what_the_api_server_refuses_before_there_is_any_actor_is_counted() -> None:
    api = Forbidding()
    metrics = Metrics()
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        running = asyncio.create_task(Supervisor(api, session, metrics).run())
        await api.asked_again.wait()
        running.cancel()
    assert _refused(metrics) == {"403"}


def _refused(metrics: Metrics) -> set[str]:
    """The statuses of the calls that were counted as failed."""
    (family,) = metrics.api_errors.collect()
    return {one.labels["status"] for one in family.samples if one.name.endswith("_total") and one.value}


def _stalled(metrics: Metrics) -> set[str]:
    """The ModelVersions that Prometheus is told are stalled for want of a Deployment."""
    (family,) = (one for one in metrics.registry.collect() if one.name == "modelroll_modelversion_condition")
    wanted = {"type": "Stalled", "reason": "DeploymentNotFound"}
    return {one.labels["modelversion"] for one in family.samples if wanted.items() <= one.labels.items()}


class Two(Api):
    """An API server with a Deployment of each of two models, and nothing else."""

    def __init__(self) -> None:
        self.namespace = "ns"
        self.looks = {"a": 0, "b": 0}
        self.looked = asyncio.Condition()

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None, **_: Any) -> Answer:
        assert (method, body) == ("GET", None), "there is nothing to be said"
        name = path.rpartition("/")[2]
        if name == "deployments":
            return Answer({"items": [_serving("a"), _serving("b")]}, values.NOW)
        if name.endswith("-target"):
            async with self.looked:
                self.looks[name.removesuffix("-target")] += 1
                self.looked.notify_all()
            raise ApiError(404, "no such ConfigMap")
        return Answer({"items": []}, values.NOW)


def _serving(name: str) -> dict[str, Any]:
    item = kubelet.deployment(name, name, 8081)
    item["metadata"] |= {"uid": name, "resourceVersion": "1", "generation": 1}
    return item


async def test_a_version_concerns_the_deployments_of_its_model_alone() -> None:
    api = Two()
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        supervisor = Supervisor(api, session, Metrics())
        running = asyncio.create_task(supervisor.run())
        async with api.looked:
            await api.looked.wait_for(lambda: all(api.looks.values()))
            before = dict(api.looks)
        for generation in range(3):
            async with api.looked:
                seen = api.looks["a"]
                supervisor.ask(_of_a(generation))
                await api.looked.wait_for(lambda seen=seen: api.looks["a"] > seen)  # type: ignore[misc]
        running.cancel()
    assert api.looks["b"] == before["b"]


async def test_a_status_that_was_written_is_no_reason_to_look() -> None:
    api = Two()
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        supervisor = Supervisor(api, session, Metrics())
        running = asyncio.create_task(supervisor.run())
        async with api.looked:
            await api.looked.wait_for(lambda: all(api.looks.values()))
            before = api.looks["a"]
            supervisor.ask(_of_a(1))
            await api.looked.wait_for(lambda: api.looks["a"] == before + 1)
        for number in range(50):
            supervisor.ask(_of_a(1) | {"status": {"canary": {"rows": number}}})
        supervisor.touch("b")
        async with api.looked:
            await api.looked.wait_for(lambda: api.looks["b"] > 1)
        assert api.looks["a"] == before + 1
        async with api.looked:
            supervisor.ask(_of_a(1), is_there=False)
            await api.looked.wait_for(lambda: api.looks["a"] == before + 2)
        running.cancel()


def _of_a(generation: int) -> dict[str, Any]:
    item = _orphan("x") | {"spec": {"model": "a", "version": "1.0.0", "path": "a/1.0.0"}}
    item["metadata"]["generation"] = generation
    return item
