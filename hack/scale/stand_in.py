"""The pods of one namespace, as far as the operator asks them: `/status`, on each pod's own address.

Owns when a pod notices what was written for it, and how long a load takes. What it makes of that is `simulation.pod`'s:
the server's own rules. Who makes pods and says that they are Ready are the controllers and kwok.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))  # the pod that decides is the tests' own

from harness import faulty_api
from modelroll_operator import names, rollout
from simulation.kubelet import document
from simulation.pod import SimulatedPod

NOTICES_AFTER = 0.2  # seconds until a pod sees what was written to it: measured on a real kubelet
Json = dict[str, Any]


class Pods:
    """All pods of a namespace, by uid and by address.

    Args:
        load_seconds: From seeing a version to serving it.
        app_label: The pods' label with the name of their Deployment.
    """

    def __init__(self, load_seconds: float, app_label: str = "app") -> None:
        self.reads = 0
        self._load_seconds = load_seconds
        self._app_label = app_label
        self._pods: dict[str, SimulatedPod] = {}
        self._addresses: dict[str, str] = {}
        self._settled: dict[str, str | None] = {}

    def config_map(self, item: Json) -> None:
        """A ConfigMap is there, or changed. Pods look at it when they themselves are written to, as on a real node."""
        name = item["metadata"]["name"]
        self._settled[name] = (item.get("data") or {}).get(rollout.SETTLED)

    def pod(self, item: Json) -> None:
        """A pod is there, or changed. One that no node has yet sees nothing."""
        metadata = item["metadata"]
        uid, annotations = metadata["uid"], metadata.get("annotations") or {}
        if "nodeName" not in item["spec"]:
            return
        if "podIP" in item["status"]:
            self._addresses[item["status"]["podIP"]] = uid
        known = self._pods.get(uid)
        move = annotations.get(names.MOVE_ANNOTATION)
        if known is None:
            known = SimulatedPod(metadata["name"], annotations.get(names.TARGET_ANNOTATION), lagging=True)
            self._pods[uid] = known
        elif known.move == move:
            return
        known.move = move
        settled = names.config_map(metadata["labels"][self._app_label])
        asyncio.get_running_loop().call_later(NOTICES_AFTER, self._step, uid, settled)

    def gone(self, item: Json) -> None:
        """A pod is gone."""
        self._pods.pop(item["metadata"]["uid"], None)

    def _step(self, uid: str, settled: str) -> None:
        pod = self._pods.get(uid)
        if pod is None:
            return
        while pod.step(self._settled.get(settled), {}):
            if pod.loading is not None:
                asyncio.get_running_loop().call_later(self._load_seconds, self._step, uid, settled)
                return

    async def status(self, request: web.Request) -> web.Response:
        """`/status` of the pod whose address was asked."""
        assert request.transport is not None
        self.reads += 1
        uid = self._addresses.get(request.transport.get_extra_info("sockname")[0], "")
        pod = self._pods.get(uid)
        said = None if pod is None else pod.status()
        if pod is None or said is None:
            return web.Response(status=503)
        return web.json_response(document(pod.name, uid, said))


async def serve(namespace: str, load_seconds: float) -> None:
    """Answer until stdin ends. The first line on stdout is the port; each on stdin gets the number of reads."""
    pods = Pods(load_seconds)
    app = web.Application()
    app.add_routes([web.get("/status", pods.status)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 0, backlog=1024).start()  # noqa: S104  pods are all of 127.1.0.0/16
    print(runner.addresses[0][1], flush=True)
    url, tls = faulty_api.admin()
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(ssl=tls), timeout=timeout) as session:
        path = f"/api/v1/namespaces/{namespace}"
        async with asyncio.TaskGroup() as group:
            group.create_task(_follow(session, f"{path}/configmaps", pods.config_map, lambda _: None))
            group.create_task(_follow(session, f"{path}/pods", pods.pod, pods.gone))
            group.create_task(_answer_counts(pods))


async def _follow(session: aiohttp.ClientSession, path: str, changed: Any, gone: Any) -> None:
    """List, then watch. A watch that is cut is begun anew from a list: what went missing meanwhile just stays known."""
    while True:
        async with session.get(path) as answer:
            found = await answer.json()
        for item in found["items"]:
            changed(item)
        query = {"watch": "1", "resourceVersion": found["metadata"]["resourceVersion"]}
        async with session.get(path, params=query, read_bufsize=2**24) as events:
            async for line in events.content:
                event = json.loads(line)
                match event["type"]:
                    case "ADDED" | "MODIFIED":
                        changed(event["object"])
                    case "DELETED":
                        gone(event["object"])
                    case _:
                        break


async def _answer_counts(pods: Pods) -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        print(pods.reads, flush=True)
    sys.exit(0)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], float(sys.argv[2])))
