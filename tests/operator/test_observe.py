"""What is read out of Kubernetes' own words, by whose clock, and which pods are asked for theirs."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from modelroll_operator import steps
from modelroll_operator.api import Answer, Api, Json
from modelroll_operator.lists import Lists
from modelroll_operator.observe import Observer, deployment, hindrance, model_version, refusal
from modelroll_operator.observed import Observed
from modelroll_operator.plan import plan
from modelroll_operator.pods import Pods
from modelroll_operator.rollout import State
from simulation import kubelet, values


def _waiting(reason: str) -> dict[str, Any]:
    return {"name": "server", "state": {"waiting": {"reason": reason, "message": "back-off 10s"}}}


NOWHERE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, None),
        ({"conditions": None, "containerStatuses": None}, None),
        ({"conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}]}, None),
        ({"conditions": [NOWHERE]}, "Unschedulable: 0/1 nodes are available"),
        ({"containerStatuses": [_waiting("ContainerCreating")]}, None),
        ({"containerStatuses": [_waiting("ImagePullBackOff")]}, "server is in ImagePullBackOff"),
        ({"initContainerStatuses": [_waiting("CrashLoopBackOff")]}, "server is in CrashLoopBackOff"),
        ({"containerStatuses": [{"name": "server", "state": {"running": {}}}]}, None),
    ],
)
def test_what_keeps_a_pod_from_running(status: dict[str, Any], expected: str | None) -> None:
    assert hindrance(status) == expected


def test_a_quota_that_allows_no_pod_is_read_from_the_deployment() -> None:
    quota = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: compute"}
    assert refusal({"conditions": [{"type": "Available", "status": "True"}, quota]}) == (
        "FailedCreate: exceeded quota: compute"
    )
    assert refusal({"conditions": [quota | {"status": "False"}]}) == refusal({"conditions": None}) == refusal({}) == ""


def test_what_refuses_pods_is_part_of_a_deployment() -> None:
    item = kubelet.deployment("churn", "churn", 8081)
    item["metadata"] |= {"uid": "u", "resourceVersion": "1", "generation": 1}
    assert deployment(item, "churn").refusal == ""
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    assert deployment(item | {"status": {"conditions": [failure]}}, "churn").refusal == "FailedCreate: exceeded quota"


def _asks(**spec: Any) -> str:
    whole = {"model": "churn", "version": "2.0.0", "path": "churn/2.0.0"} | spec
    return model_version({"metadata": {"name": "churn", "uid": "u", "generation": 1}, "spec": whole}).asks


def test_what_a_version_asks_for_is_not_when() -> None:
    assert _asks() == _asks(paused=True) == _asks(withdrawn=True)
    assert len({_asks(), _asks(path="elsewhere"), _asks(strategy={"type": "InPlace"}), _asks(digest="sha256:0")}) == 4


# --- one look after the other ---


class One(Api):
    """An API server with one Deployment, its pods, and a rollout; its clock is set by hand."""

    def __init__(self, state: State, *, port: int = 8081, pods: int = 0) -> None:
        self.namespace = "ns"
        self.date = datetime.now(UTC)
        self.config_map: Json = {"metadata": {"ownerReferences": [{"uid": "d"}]}, "data": state.data()}
        self.pods = [_pod_of(f"p{number}", f"127.1.1.{number + 1}") for number in range(pods)]
        self.deployment = kubelet.deployment("churn", "churn", port, replicas=pods or 2)
        self.deployment["metadata"] |= {"uid": "d", "resourceVersion": "1", "generation": 1}
        for pod in self.pods:
            pod["spec"] = self.deployment["spec"]["template"]["spec"]

    async def call(self, method: str, path: str, body: Json | None = None, **_: Any) -> Answer:
        assert (method, body) == ("GET", None), "who looks writes nothing"
        owned: Json = {"uid": "set", "ownerReferences": [{"uid": "d"}]}
        spec = {"model": "churn", "version": "2.0.0", "path": "churn/2.0.0", "strategy": {"type": "InPlace"}}
        version = {"metadata": {"name": "churn-2.0.0", "uid": "uid-2.0.0", "generation": 1}, "spec": spec}
        made: Json = {"metadata": owned, "spec": {"template": {"metadata": {}}}}
        items: dict[str, list[Json]] = {
            "deployments": [self.deployment],
            "replicasets": [made],
            "pods": self.pods,
            "modelversions": [version],
        }
        name = path.rpartition("/")[2]
        return Answer(self.config_map if name == "churn-target" else {"items": items[name]}, self.date)


def _pod_of(name: str, address: str) -> Json:
    metadata: Json = {"name": name, "uid": name, "ownerReferences": [{"uid": "set"}]}
    metadata |= {"creationTimestamp": "2026-01-01T00:00:00Z", "annotations": {}}
    conditions = [{"type": "Ready", "status": "True"}]
    return {"metadata": metadata, "status": {"phase": "Running", "podIP": address, "conditions": conditions}}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as one:
        yield one


async def _seen(observer: Observer) -> Observed:
    snapshot = await observer.snapshot("churn")
    assert snapshot is not None
    return snapshot.observed


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(hours=-1)], ids=["ahead", "behind"])
async def test_deadlines_go_by_the_clock_of_the_api_server(session: aiohttp.ClientSession, ahead: timedelta) -> None:
    api = One(values.settled_at("1.0.0", 7))
    api.date += ahead
    observer = Observer(api, Lists(api), Pods(session))
    seen = await _seen(observer)
    begun = plan(seen)
    assert isinstance(begun, steps.Save)
    assert begun.state.rollout is not None
    assert begun.state.rollout.began == api.date
    api.config_map["data"] = begun.state.data()
    deadline = timedelta(seconds=seen.versions[0].progress_deadline)
    api.date += deadline
    assert isinstance(plan(await _seen(observer)), steps.Wait)
    api.date += timedelta(seconds=1)
    late = plan(await _seen(observer))
    assert isinstance(late, steps.RecordFailure)
    assert late.attempt.reason == "ProgressDeadlineExceeded"


async def test_pods_that_have_nothing_new_to_say_are_asked_once(session: aiohttp.ClientSession) -> None:
    asked: list[str] = []

    async def status(request: web.Request) -> web.Response:
        assert request.transport is not None
        address = request.transport.get_extra_info("sockname")[0]
        name = next(pod["metadata"]["name"] for pod in api.pods if pod["status"]["podIP"] == address)
        asked.append(name)
        return web.json_response(kubelet.document(name, name, values.serving(values.content("2.0.0"), 7)))

    app = web.Application()
    app.add_routes([web.get("/status", status)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 0).start()
    api = One(values.settled_at("2.0.0", 7), port=runner.addresses[0][1], pods=5)
    observer = Observer(api, Lists(api), Pods(session))
    try:
        for _ in range(4):
            assert plan(await _seen(observer)) == steps.Nothing()
        assert sorted(asked) == ["p0", "p1", "p2", "p3", "p4"]
        api.pods[3]["status"]["containerStatuses"] = [{"restartCount": 1}]
        for _ in range(4):
            await _seen(observer)
        assert sorted(asked) == ["p0", "p1", "p2", "p3", "p3", "p4"], "who changed is asked, and no other"
    finally:
        await runner.cleanup()
