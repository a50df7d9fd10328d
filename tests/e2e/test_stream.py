"""Stream workers on a cluster: each event is answered though a worker is killed, and new versions are followed.

The Redis runs where the tests do, at the address by which pods reach that machine.
"""

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import brokers
from harness.cluster import Object
from harness.release import CHURN, Release, fresh
from harness.waiting import wait_until
from stream_process import INPUT, OUTPUT, settled

pytestmark = pytest.mark.needs("cluster", "helm", "kubectl", "redis")

WORKERS = "app.kubernetes.io/component=stream"
BURST = 500  # events at once, one after the other: the workers always have some in work
IN_PLACE = {"type": "InPlace"}


def _own_address(node: Object) -> str:
    """The address of this machine that the cluster's node is reached from, and so is reached at."""
    (there,) = [one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unconnected:
        unconnected.connect((there, 9))
        found: str = unconnected.getsockname()[0]
    return found


class Redis(brokers.Redis):
    """One that pods reach, too."""

    def __init__(self, directory: Path, address: str) -> None:
        self.address = address
        super().__init__(directory, "--bind", "127.0.0.1", address, "--protected-mode", "no")


@pytest.fixture(scope="module")
def redis(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """Where the workers read."""
    nodes = json.loads(release.namespace.kubectl("get", "nodes", "--output=json"))
    found = Redis(tmp_path_factory.mktemp("redis"), _own_address(nodes["items"][0]))
    yield found
    found.kill()


@pytest.fixture(scope="module")
def release() -> Iterator[Release]:
    """A namespace with both versions on its claim."""
    with fresh("stream") as one:
        one.push(CHURN)
        yield one


def _ready(release: Release) -> list[str]:
    """The workers that read events."""
    return [
        pod["metadata"]["name"]
        for pod in release.namespace.items("pods", selector=WORKERS)
        if {"type": "Ready", "status": "True"}.items()
        <= next((one for one in pod["status"].get("conditions", []) if one["type"] == "Ready"), {}).items()
    ]


async def _kill_when_answered(release: Release, redis: Redis) -> int:
    """Kill one worker once some events are answered; how many were."""
    async with redis.client() as client:
        while (answered := int(await client.xlen(OUTPUT))) < BURST:  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.05)
    await asyncio.to_thread(release.namespace.kill, (await asyncio.to_thread(_ready, release))[0])
    return answered


async def test_no_event_is_lost_with_a_worker_that_is_killed_and_new_versions_are_followed(
    release: Release, redis: Redis
) -> None:
    stream = {
        "enabled": "true",
        "url": f"redis://{redis.address}:{redis.port}/0",
        "input": INPUT,
        "replicas": "2",
        "claimAfterSeconds": "6",
        "resources.requests.cpu": "50m",
        "resources.requests.memory": "200Mi",
    }
    settings = {f"stream__{name}": value for name, value in stream.items()}
    release.install(autoscaling__enabled="false", replicas="1", **settings)
    release.apply_version("1.2.0", strategy=IN_PLACE)
    await asyncio.to_thread(wait_until, lambda: len(_ready(release)) == 2, 90, what="two workers")
    body = (CHURN / "row.json").read_bytes()
    ids: list[str] = []
    killing = asyncio.create_task(_kill_when_answered(release, redis))
    while not killing.done():
        some = [f"event-{len(ids) + number}" for number in range(BURST)]
        await redis.produce(INPUT, [(one, body) for one in some])
        ids += some
    answered = await killing
    found = await settled(redis, ids)
    print(f"killed after {answered} of {len(ids)}: {len(found.lost(ids))} lost, {found.doubled()} doubled")  # noqa: T201
    assert found.lost(ids) == []
    assert found.doubled() == 0

    release.wait_live("1.2.0")
    release.apply_version("2.0.0", strategy=IN_PLACE)
    release.wait_live("2.0.0")
    # A kubelet looks into ConfigMaps once a minute or so, and at once where the pod changes.
    release.namespace.kubectl("annotate", "pods", f"--selector={WORKERS}", "example.com/look=again")

    def served() -> set[str]:
        statuses = [release.status_of(pod) for pod in _ready(release)]
        return {one["live"]["version"] for one in statuses if one.get("live")}

    await asyncio.to_thread(wait_until, lambda: served() == {"2.0.0"}, 100, what="workers on 2.0.0")
    await redis.produce(INPUT, [("after", body)])
    ((answer,),) = ((await settled(redis, ["after"])).answers["after"],)
    assert answer["model_version"] == "2.0.0"
    assert release.rollout() is None
