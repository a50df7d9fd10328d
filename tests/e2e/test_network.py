"""On a cluster: answers are in the release's own Valkey, and every connection is one that the policies allow.

No network here enforces policies. What can be known all the same is that nothing the release does would be denied: the
node's connection table has who really talked to whom, and the policies are asked about each.
"""

import json
import os

import pytest

from chart.reach import Outside, Party, Pod, may_reach
from harness import flows, valkey_image
from harness.cluster import Object
from harness.release import CHURN, NAME, Release, fresh
from harness.waiting import wait_until

pytestmark = pytest.mark.needs("cluster", "helm", "kubectl", "redis")

COUNT = "import os, redis; print(redis.Redis.from_url(os.environ['CACHE_URL']).dbsize())"
# Where a devcluster's resolver really listens: policies see the port behind the Service.
RESOLVER = 1053


def test_a_release_with_a_cache_stays_within_its_policies() -> None:
    image = valkey_image.settings()
    before = flows.seen() if on_our_node() else set()
    with fresh("network") as release:
        pods = flows.Pods(release.namespace)
        release.push(CHURN)
        release.install(
            **{"autoscaling.enabled": "false", "replicas": "1"},
            **{"valkey.enabled": "true", "valkey.resources.requests.memory": "64Mi"},
            **({"networkPolicy.dns.ports": f"[{RESOLVER}]"} if on_our_node() else {}),
            **image,
        )
        release.apply_version("1.2.0")
        release.wait_ready(1)
        release.wait_live("1.2.0")
        release.namespace.kubectl("rollout", "status", f"deployment/{NAME}-valkey", "--timeout=60s")
        pods.look()

        predict(release)
        wait_until(lambda: answers(release) > 0, 30, what="an answer in Valkey")
        made = secret(release)
        release.upgrade(log__level="warning")
        release.wait_ready(1)
        release.wait_live("1.2.0")
        assert secret(release) == made
        assert answers(release) > 0, "Valkey was not touched by the upgrade, and the new pod has its password"

        pods.look()
        if on_our_node():
            assert_all_allowed(release, flows.seen() - before, pods)


def assert_all_allowed(release: Release, made: set[flows.Flow], pods: flows.Pods) -> None:
    found = json.loads(release.namespace.kubectl("get", "networkpolicies", "--output=json"))["items"]
    policies = {("NetworkPolicy", one["metadata"]["name"]): one for one in found}

    def party(address: str) -> Party:
        labels = pods.labels.get(address)
        return Outside(address) if labels is None else Pod(release.namespace.name, labels)

    def component(one: Party) -> str:
        return one.labels["app.kubernetes.io/component"] if isinstance(one, Pod) else "outside"

    seen = set()
    for flow in made:
        source, target = party(flow.source), party(flow.target)
        if not isinstance(source, Pod):
            continue  # the kubelet, and the API server on behalf of the test: both are on the node
        assert may_reach(policies, source, target, flow.port, flow.protocol), (component(source), flow)
        seen.add((component(source), component(target), flow.port))
    assert seen >= {
        ("operator", "outside", 6443),
        ("operator", "server", 8081),
        ("server", "outside", RESOLVER),
        ("server", "valkey", 6379),
    }


def on_our_node() -> bool:
    return os.environ["CLUSTER"] == "devcluster"


def predict(release: Release) -> None:
    (pod,) = release.pods()
    path = f"/api/v1/namespaces/{release.namespace.name}/pods/{pod['metadata']['name']}:8000/proxy/predict"
    manifest = json.loads((CHURN / "1.2.0" / "modelroll.json").read_text())
    row = {one["name"]: one["example"] for one in manifest["inputs"]}
    answer = json.loads(release.namespace.kubectl("create", "--raw", path, "--filename=-", given=json.dumps(row)))
    assert answer["model_version"] == "1.2.0"


def answers(release: Release) -> int:
    """How many are in the Redis that the servers are told of, as one of their pods sees it."""
    (pod,) = release.pods()
    return int(release.namespace.kubectl("exec", pod["metadata"]["name"], "--", "python3", "-c", COUNT))


def secret(release: Release) -> Object:
    found: Object = json.loads(release.namespace.kubectl("get", "secret", f"{NAME}-valkey", "--output=json"))["data"]
    return found
