"""Who asks which pod: each nginx of k8s/nginx in front of real pods, and gRPC clients that take turns.

What a pod was asked is its own word, `prediction_total`. docs/traffic.md says what these tests hold.
"""

import http.client
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from harness import api
from harness.calls import Calls
from harness.cluster import Object
from harness.nginx import Nginx, looks_up_names
from harness.readiness import is_ready
from harness.release import CHURN, NAME, SERVERS, Release
from harness.traffic import under_load
from harness.waiting import wait_until

pytestmark = pytest.mark.needs("cluster", "helm", "kubectl", "node", "nginx")

ROW = json.loads((CHURN / "row.json").read_text())
NEXT = "churn-next"
COUNTED = re.compile(r"^prediction_total\{.*\} ([0-9.e+]+)$", re.MULTILINE)


def test_round_robin_is_even(release: Release, tmp_path: Path) -> None:
    with nginx(release, tmp_path, "round-robin") as front, counted(release) as asked:
        for _ in range(10):
            ask(front, 9)
    assert sorted(asked.values()) == [30, 30, 30]


def test_least_connections_spares_pods_that_are_occupied(release: Release, tmp_path: Path) -> None:
    with nginx(release, tmp_path, "least-connections") as front, ExitStack() as streams:
        with counted(release) as occupied:
            for _ in range(2):
                streams.enter_context(stream(front))
        with counted(release) as asked:
            ask(front, 30)
    assert sorted(occupied.values()) == [0, 1, 1]
    (free,) = (pod for pod, count in occupied.items() if count == 0)
    assert asked == {**dict.fromkeys(occupied, 0), free: 30}


def test_the_same_address_asks_the_same_pod_as_long_as_it_is_there(release: Release, tmp_path: Path) -> None:
    # They differ in their last number alone, as the addresses of pods on one node do.
    clients = [f"127.0.0.{number}" for number in range(1, 41)]
    with nginx(release, tmp_path / "before", "ip-hash") as front:
        chosen = pods_of(release, front, clients)
        assert pods_of(release, front, clients[:10]).items() <= chosen.items()
    pods = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in ready(release)}
    assert set(chosen.values()) == set(pods)
    gone = min(pods)
    left = {f"{NAME}-pods": [address for pod, address in sorted(pods.items()) if pod != gone]}
    with nginx(release, tmp_path / "after", "ip-hash", names=left) as front:
        then = pods_of(release, front, clients)
    assert {client: pod for client, pod in chosen.items() if pod != gone}.items() <= then.items()


def test_grpc_clients_take_turns_over_all_pods(release: Release) -> None:
    with calls(release) as client:
        with counted(release) as found:
            # Connections come one after the other.
            wait_until(lambda: client.once() and all(asked(release)[pod] for pod in found), what="all three are asked")
        with counted(release) as turns:
            for _ in range(30):
                client.once()
    assert sorted(turns.values()) == [10, 10, 10]


def test_a_rollout_by_new_pods_fails_no_request(release: Release, tmp_path: Path) -> None:
    # An nginx that has to be told of new addresses closes connections that clients keep, as soon as they are idle.
    kept = (True, False) if looks_up_names() else (False, False)
    with nginx(release, tmp_path, "round-robin") as front, front.following(), calls(release) as client:
        client.begin()
        with under_load(release.namespace, url=as_pods_see(release, front), kept=kept) as traffic:
            roll(release, {"type": "RollingUpdate"})
            before = asked(release)
            wait_until(lambda: all(count > before[pod] for pod, count in asked(release).items()), what="all are asked")
    traffic.assert_flawless()
    assert set(traffic.verdict.by_version) == {"1.2.0", "2.0.0"}
    assert client.failed == []
    assert set(client.versions) == {"1.2.0", "2.0.0"}


def test_a_rollout_in_place_fails_no_request(release: Release, tmp_path: Path) -> None:
    with nginx(release, tmp_path, "least-connections") as front, calls(release) as client:  # no address changes
        client.begin()
        with under_load(release.namespace, url=as_pods_see(release, front)) as traffic:
            roll(release, {"type": "InPlace", "maxParallel": 3})
    traffic.assert_flawless()
    assert set(traffic.verdict.by_version) == {"1.2.0", "2.0.0"}
    assert client.failed == []
    assert set(client.versions) == {"1.2.0", "2.0.0"}


def test_weights_are_of_releases_whatever_their_pods(release: Release, tmp_path: Path) -> None:
    with beside(release), nginx(release, tmp_path, "weighted") as front, counted(release) as ours:
        ask(front, 80)
        theirs = sum(asked(release, instance=NEXT).values())
    assert (sum(ours.values()), theirs) == (60, 20)


@contextmanager
def nginx(
    release: Release, directory: Path, strategy: str, *, names: Mapping[str, Sequence[str]] | None = None
) -> Iterator[Nginx]:
    directory.mkdir(exist_ok=True)
    found = (lambda: addresses(release)) if names is None else (lambda: names)
    with Nginx(directory, strategy, release.namespace.name, nameserver(), found) as one:
        yield one


def addresses(release: Release) -> Mapping[str, Sequence[str]]:
    """What the names of Services stand for: their own addresses, and for churn-pods those of the Ready pods."""
    services = api.several(release.namespace.name, "services")
    own = {one["metadata"]["name"]: [one["spec"]["clusterIP"]] for one in services}
    return own | {f"{NAME}-pods": sorted(pod["status"]["podIP"] for pod in ready(release))}


def answers(address: str) -> bool:
    """Whether a Service leads to a pod already: the node hears of a Ready pod a moment later."""
    with suppress(httpx.TransportError):
        return httpx.get(f"http://{address}:8000/health").is_success
    return False


@contextmanager
def beside(release: Release) -> Iterator[None]:
    """A second release of the same model, with one pod, that no operator moves."""
    release.install(
        name=NEXT,
        model__name=NAME,
        operator__enabled="false",
        autoscaling__enabled="false",
        replicas="1",
        model__path="churn/2.0.0",
        model__digest=release.digests["2.0.0"],
    )
    try:
        wait_until(lambda: answers(addresses(release)[NEXT][0]), what="the second release answers")
        yield
    finally:
        release.namespace.helm("uninstall", NEXT)


@contextmanager
def calls(release: Release) -> Iterator[Calls]:
    name = f"{NAME}-grpc.{release.namespace.name}.svc.cluster.local"
    with Calls(f"dns://{nameserver()}:53/{name}:50051", ROW) as client:
        yield client


@contextmanager
def counted(release: Release) -> Iterator[dict[str, int]]:
    """How many requests each pod is sent in the block; known after it."""
    before, found = asked(release), dict[str, int]()
    found |= dict.fromkeys(before, 0)
    yield found
    found |= {pod: count - before[pod] for pod, count in asked(release).items()}


def asked(release: Release, instance: str = NAME) -> dict[str, int]:
    """How many requests each Ready pod was ever sent."""
    names = [pod["metadata"]["name"] for pod in ready(release, instance)]
    return {name: predictions(api.said(release.namespace.name, name, 8081, "metrics")) for name in names}


def predictions(metrics: str | None) -> int:
    assert metrics is not None, "a Ready pod does not answer"
    return sum(int(float(count)) for count in COUNTED.findall(metrics))


def ready(release: Release, instance: str = NAME) -> list[Object]:
    found = release.namespace.items("pods", selector=SERVERS.replace(f"instance={NAME}", f"instance={instance}"))
    return [pod for pod in found if is_ready(pod)]


def ask(front: Nginx, count: int, source: str = "127.0.0.1") -> None:
    """So many requests one after the other, each by a connection of its own, from an address of this machine."""
    limits = httpx.Limits(max_keepalive_connections=0)
    transport = httpx.HTTPTransport(local_address=source, limits=limits, verify=False)  # of plain HTTP
    with httpx.Client(base_url=f"http://127.0.0.1:{front.port}", transport=transport) as client:
        for _ in range(count):
            client.post("/predict", json=ROW).raise_for_status()


def pods_of(release: Release, front: Nginx, clients: Sequence[str]) -> dict[str, str]:
    """The pod that each address is given."""
    chosen = {}
    before = asked(release)
    for client in clients:
        ask(front, 1, client)
        after = asked(release)
        (chosen[client],) = (pod for pod, count in after.items() if count != before[pod])
        before = after
    return chosen


@contextmanager
def stream(front: Nginx) -> Iterator[None]:
    """A stream that stays open, after its first answer."""
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=20)
    with closing(connection):
        connection.putrequest("POST", "/predict/stream")
        connection.putheader("Content-Type", "application/x-ndjson")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        line = json.dumps(ROW).encode() + b"\n"
        connection.send(b"%x\r\n%s\r\n" % (len(line), line))
        assert "prediction" in json.loads(connection.getresponse().readline())
        yield


def as_pods_see(release: Release, front: Nginx) -> str:
    return f"http://{release.pods()[0]['status']['hostIP']}:{front.port}"


def nameserver() -> str:
    service = api.one("kube-system", "service", "kube-dns")
    assert service is not None, "there is no DNS"
    return str(service["spec"]["clusterIP"])


def roll(release: Release, strategy: Mapping[str, object]) -> None:
    """From the version that is live to the other one."""
    if release.settled()["version"] == "1.2.0":
        release.apply_version("2.0.0", strategy=strategy, withdrawn=False)
        release.wait_live("2.0.0", 120)
    else:
        release.apply_version("1.2.0", strategy=strategy)
        release.change("2.0.0", withdrawn=True)
        release.wait_live("1.2.0", 120)
    release.wait_ready(3)
