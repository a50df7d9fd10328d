"""What stands in for a thousand pods says what a pod says, and what the operator asks is counted."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from hack.scale import stand_in
from hack.scale.calls import Calls
from modelroll_operator import target as targets
from modelroll_operator.names import MOVE_ANNOTATION
from modelroll_operator.observed import PodStatus
from modelroll_operator.pods import Awaited, Pods
from simulation import values

Json = dict[str, Any]
ADDRESS = "127.1.0.7"
NOTHING = Awaited(None)


class Node:
    """The stand-in, with one pod of the Deployment churn."""

    def __init__(self, pods: stand_in.Pods, port: int, session: aiohttp.ClientSession) -> None:
        self.pods = pods
        self._session = session
        self._port = port

    def place(self, uid: str, move: str | None = None, **spec: str) -> Json:
        """The pod is there, or changed."""
        container = {"name": "server", "ports": [{"name": "management", "containerPort": self._port}]}
        item = {
            "metadata": {
                "name": f"churn-{uid}",
                "uid": uid,
                "labels": {"app": "churn"},
                "annotations": {} if move is None else {MOVE_ANNOTATION: move},
            },
            "spec": {"containers": [container], **spec},
            "status": {"phase": "Running", "podIP": ADDRESS},
        }
        self.pods.pod(item)
        return item

    async def says(self, item: Json) -> PodStatus | None:
        """What the operator reads of it."""
        return (await Pods(self._session).statuses([(item, NOTHING)])).get(item["metadata"]["uid"])

    async def comes_to(self, item: Json, version: str) -> PodStatus:
        """Wait until it serves that version."""
        async with asyncio.timeout(60):
            while True:
                said = await self.says(item)
                if said is not None and said.serves(values.content(version)):
                    return said
                await asyncio.sleep(0)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    pods = stand_in.Pods(load_seconds=0.05)
    app = web.Application()
    app.add_routes([web.get("/status", pods.status)])
    runner = web.AppRunner(app)
    async with contextlib.AsyncExitStack() as up:
        await runner.setup()
        up.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, ADDRESS, 0).start()
        session = await up.enter_async_context(aiohttp.ClientSession())
        yield Node(pods, runner.addresses[0][1], session)


def _config_map(version: str, revision: int) -> Json:
    settled = targets.encode(targets.target(values.content(version), revision))
    return {"metadata": {"name": "churn-target"}, "data": {"settled": settled}}


async def test_a_pod_comes_up_on_what_is_settled_and_goes_where_it_is_asked_to(node: Node) -> None:
    node.pods.config_map(_config_map("1.2.0", 7))
    pod = node.place("a", nodeName="kwok-0")
    assert (await node.comes_to(pod, "1.2.0")).live_revision == 7

    asked = targets.target(values.content("2.0.0"), 8, attempt="x")
    pod = node.place("a", targets.encode(asked), nodeName="kwok-0")
    assert (await node.comes_to(pod, "2.0.0")).live_revision == 8


async def test_a_pod_without_a_node_and_one_that_is_gone_say_nothing(node: Node) -> None:
    node.pods.config_map(_config_map("1.2.0", 7))
    pod = node.place("a")
    assert await node.says(pod) is None
    pod = node.place("a", nodeName="kwok-0")
    await node.comes_to(pod, "1.2.0")
    node.pods.gone(pod)
    assert await node.says(pod) is None


async def test_an_address_is_of_the_pod_that_had_it_last(node: Node) -> None:
    node.pods.config_map(_config_map("1.2.0", 7))
    first = node.place("a", nodeName="kwok-0")
    await node.comes_to(first, "1.2.0")
    second = node.place("b", nodeName="kwok-0")
    await node.comes_to(second, "1.2.0")
    assert await node.says(first) is None


async def test_each_question_is_counted(node: Node) -> None:
    pod = node.place("a", nodeName="kwok-0")
    for _ in range(3):
        await node.says(pod)
    assert node.pods.reads == 3


def _event(verb: str, **about: str) -> str:
    return json.dumps({"verb": verb, "objectRef": about}) + "\n"


def test_calls_are_counted_from_the_log_since_the_last_look(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    calls = Calls(log)
    assert not calls.since_last()
    log.write_text(
        _event("list", resource="pods") * 2 + _event("patch", resource="modelversions", subresource="status")
    )
    assert calls.since_last() == {"list pods": 2, "patch modelversions/status": 1}
    with log.open("a") as more:
        more.write(_event("list", resource="pods") + '{"verb": "half a li')
    assert calls.since_last() == {"list pods": 1}
    assert not calls.since_last()
