"""A stand-in for kubelet and pods on a real API server: pods that no scheduler takes come up and answer `/status`.

Owns what a node would do for them: an address, the mounted ConfigMap, readiness. The controllers and the operator are
the real ones. Every pod has an address of its own in 127.1.0.0/16, and one listener answers for all.
"""

import asyncio
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from modelroll_operator import observed, rollout
from modelroll_operator.api import Api, ApiError
from modelroll_operator.names import MOVE_ANNOTATION, TARGET_ANNOTATION
from simulation.pod import SimulatedPod

STEP = 0.1  # seconds
STRATEGIC = "application/strategic-merge-patch+json"
Json = dict[str, Any]


def deployment(name: str, model: str, port: int, replicas: int = 2) -> Json:
    """A Deployment whose pods are left to the stand-in."""
    labels = {"app": name}
    container = {"name": "server", "image": "none", "ports": [{"name": "management", "containerPort": port}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"modelroll.dev/model": model}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"schedulerName": "nobody", "containers": [container]},
            },
        },
    }


class Kubelet:
    """Looks after the pods of one namespace, in a thread of its own, until it is closed.

    Attributes:
        port: Where the pods' `/status` is answered.
        failing: Versions that do not pass their gates, with the reason; may be changed while it runs.
        silent: Names of pods that accept connections and never answer: they are not Ready, and do nothing either.
    """

    def __init__(self, namespace: str, failing: Mapping[str, str]) -> None:
        self.namespace = namespace
        self.failing = dict(failing)
        self.silent: set[str] = set()
        self.port = 0
        self._pods: dict[str, SimulatedPod] = {}
        self._uids: dict[str, str] = {}  # by address
        self._names: dict[str, str] = {}
        self._started = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(60), "the stand-in does not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(60)

    async def _run(self) -> None:
        app = web.Application()
        app.add_routes([web.get("/status", self._status)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "0.0.0.0", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        api = await Api.connect(self.namespace)
        self._started.set()
        while not self._stop.is_set():
            try:
                await self._look_after(api)
            except ApiError as error:
                if error.status not in {404, 409}:  # a pod that is gone meanwhile
                    raise
            await asyncio.sleep(STEP)
        await api.close()
        await runner.cleanup()

    async def _look_after(self, api: Api) -> None:
        pods = (await api.call("GET", api.core("pods"))).body["items"]
        maps = (await api.call("GET", api.core("configmaps"))).body["items"]
        settled = {one["metadata"]["name"]: (one.get("data") or {}).get(rollout.SETTLED) for one in maps}
        listed = {pod["metadata"]["uid"] for pod in pods}
        self._pods = {uid: pod for uid, pod in self._pods.items() if uid in listed}
        for pod in pods:
            await self._step(api, pod, settled.get(f"{pod['metadata']['labels']['app']}-target"))

    async def _step(self, api: Api, pod: Json, settled: str | None) -> None:
        metadata = pod["metadata"]
        annotations = metadata.get("annotations") or {}
        uid, name = metadata["uid"], metadata["name"]
        simulated = self._pods.setdefault(uid, SimulatedPod(name, annotations.get(TARGET_ANNOTATION)))
        simulated.move = annotations.get(MOVE_ANNOTATION)
        is_silent = name in self.silent
        if not is_silent:
            simulated.step(settled, self.failing)
        address = pod["status"].get("podIP") or self._address(uid, name)
        conditions = pod["status"].get("conditions") or []
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
        is_ready = simulated.ready and not is_silent
        if "podIP" in pod["status"] and ready == is_ready:
            return
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": str(is_ready)}],
        }
        await api.call("PATCH", api.core("pods", name, "status"), {"status": status}, content_type=STRATEGIC)

    def _address(self, uid: str, name: str) -> str:
        number = len(self._uids) + 1
        address = f"127.1.{number // 250}.{number % 250 + 1}"
        self._uids[address], self._names[address] = uid, name
        return address

    async def _status(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        address = request.transport.get_extra_info("sockname")[0]
        if self._names.get(address) in self.silent:
            await asyncio.sleep(3600)
        pod = self._pods.get(self._uids.get(address, ""))
        said = None if pod is None else pod.status()
        if said is None:
            return web.Response(status=503)
        return web.json_response(document(self._names[address], self._uids[address], said))


def document(name: str, uid: str, said: observed.PodStatus) -> Json:
    """`/status` of a pod that says `said`."""
    live = None
    if said.live is not None:
        live = {
            "version": said.live.version,
            "path": said.live.path,
            "digest": said.live.digest,
            "revision": said.live_revision,
            "env": said.live.env,
        }
    failure = None
    if said.failure is not None:
        found = said.failure
        failure = {"revision": found.revision, "reason": found.reason, "message": found.message}
    wanted = None if said.wanted_revision is None else {"revision": said.wanted_revision}
    return {"pod": {"name": name, "uid": uid}, "live": live, "wanted": wanted, "failure": failure}
