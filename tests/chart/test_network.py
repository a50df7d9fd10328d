"""NetworkPolicies: who may reach whom, asked of the rendered policies by the API's semantics."""

import json

import pytest

from chart.reach import Labels, Outside, Party, Pod, matches, may_reach
from chart.rendering import Object, Objects, render, template

pytestmark = pytest.mark.needs("helm")

NAMESPACE = "models"
HTTP, GRPC, MANAGEMENT, REDIS, DNS = 8000, 50051, 8081, 6379, 53


def of_chart(component: str, release: str = "churn", namespace: str = NAMESPACE) -> Pod:
    labels = {
        "app.kubernetes.io/name": "modelroll",
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/component": component,
    }
    return Pod(namespace, labels)


SERVER, OPERATOR, TEST, VALKEY, WORKER = (of_chart(one) for one in ("server", "operator", "test", "valkey", "stream"))
OTHER_SERVER, OTHER_OPERATOR = of_chart("server", "risk"), of_chart("operator", "risk")
FOREIGN_OPERATOR = of_chart("operator", "risk", "elsewhere")
WORKERS = ("stream.enabled=true", "stream.input=sensors")
NEIGHBOUR = Pod(NAMESPACE, {"app": "web"})
STRANGER = Pod("elsewhere", {"app": "web"})
PROMETHEUS = Pod("monitoring", {"app.kubernetes.io/name": "prometheus"})
RESOLVER = Pod("kube-system", {"k8s-app": "kube-dns"})
API_SERVER = Outside("10.0.0.10")
INTERNET = Outside("203.0.113.7")


def test_the_parties_are_labelled_as_the_charts_pods_are() -> None:
    objects = render("valkey.enabled=true", *WORKERS, "stream.url=redis://redis")
    workers = ("churn-stream", WORKER)
    for name, pod in (("churn", SERVER), ("churn-operator", OPERATOR), ("churn-valkey", VALKEY), workers):
        labels = objects["Deployment", name]["spec"]["template"]["metadata"]["labels"]
        assert pod.labels.items() <= labels.items()
    assert TEST.labels.items() <= objects["Pod", "churn-test-predict"]["metadata"]["labels"].items()


@pytest.fixture(scope="module")
def objects() -> Objects:
    return render()


def test_everybody_may_ask_the_servers(objects: Objects) -> None:
    for client in (NEIGHBOUR, STRANGER, INTERNET, TEST):
        assert may_reach(objects, client, SERVER, HTTP)
        assert may_reach(objects, client, SERVER, GRPC)


@pytest.mark.parametrize(
    ("client", "let_in"),
    [
        (OPERATOR, True),
        (OTHER_OPERATOR, True),
        (PROMETHEUS, True),
        (TEST, True),
        (FOREIGN_OPERATOR, False),
        (NEIGHBOUR, False),
        (STRANGER, False),
        (SERVER, False),
        (OTHER_SERVER, False),
        (INTERNET, False),
    ],
)
def test_the_management_port_is_for_operators_and_prometheus(objects: Objects, client: Party, let_in: bool) -> None:
    assert may_reach(objects, client, SERVER, MANAGEMENT) is let_in


@pytest.mark.parametrize("target", [NEIGHBOUR, STRANGER, RESOLVER, INTERNET, API_SERVER, OPERATOR, OTHER_SERVER])
@pytest.mark.parametrize("port", [53, 80, 443, 6379, 6443, 8081])
def test_a_server_reaches_nobody(objects: Objects, target: Party, port: int) -> None:
    for protocol in ("TCP", "UDP"):
        assert not may_reach(objects, SERVER, target, port, protocol)


def test_the_operator_reaches_the_api_server_resolvers_and_management_ports_alone(objects: Objects) -> None:
    for target, port in ((API_SERVER, 443), (API_SERVER, 6443), (SERVER, MANAGEMENT), (NEIGHBOUR, MANAGEMENT)):
        assert may_reach(objects, OPERATOR, target, port), (target, port)
    assert may_reach(objects, OPERATOR, RESOLVER, DNS, "UDP"), "for kubernetes.default.svc"
    for target, port in ((SERVER, HTTP), (STRANGER, MANAGEMENT), (INTERNET, 80), (NEIGHBOUR, 5432)):
        assert not may_reach(objects, OPERATOR, target, port), (target, port)


def test_the_operator_is_asked_by_prometheus_alone(objects: Objects) -> None:
    asked = {one for one in (PROMETHEUS, NEIGHBOUR, STRANGER, SERVER) if may_reach(objects, one, OPERATOR, MANAGEMENT)}
    assert asked == {PROMETHEUS}
    closed = render("networkPolicy.management=[]")
    assert not may_reach(closed, PROMETHEUS, OPERATOR, MANAGEMENT)
    assert not may_reach(closed, PROMETHEUS, SERVER, MANAGEMENT)
    assert may_reach(closed, OPERATOR, SERVER, MANAGEMENT)


def test_clients_can_be_narrowed() -> None:
    objects = render('networkPolicy.clients=[{"podSelector":{}},{"ipBlock":{"cidr":"203.0.113.0/24"}}]')
    asked = [may_reach(objects, one, SERVER, HTTP) for one in (NEIGHBOUR, STRANGER, INTERNET, API_SERVER)]
    assert asked == [True, False, True, False]
    others = render('networkPolicy.clients=[{"podSelector":{"matchLabels":{"app":"shop"}}}]')
    assert [may_reach(others, one, SERVER, HTTP) for one in (TEST, NEIGHBOUR)] == [True, False]


def test_without_grpc_its_port_is_closed() -> None:
    assert not may_reach(render("grpc.enabled=false"), NEIGHBOUR, SERVER, GRPC)


@pytest.mark.parametrize(
    ("settings", "port"),
    [
        (("cache.url=redis://redis",), 6379),
        (("cache.url=redis://user:pa:ss@redis:7000/0",), 7000),
        (("cache.url=rediss://[fd00::1]:6380?db=1",), 6380),
        (("cache.urlSecret.name=redis",), 6379),
        (("cache.url=redis://redis:7000", "networkPolicy.cache.ports[0]=6379"), 6379),
    ],
)
def test_a_server_reaches_its_cache_and_resolvers(settings: tuple[str, ...], port: int) -> None:
    objects = render(*settings)
    assert may_reach(objects, SERVER, NEIGHBOUR, port)
    assert may_reach(objects, SERVER, RESOLVER, DNS, "UDP")
    assert may_reach(objects, SERVER, RESOLVER, DNS)
    for other in (80, 443, port + 1):
        assert not may_reach(objects, SERVER, NEIGHBOUR, other)


def test_the_cache_and_the_resolvers_can_be_named() -> None:
    objects = render(
        "cache.url=redis://redis",
        'networkPolicy.cache.to=[{"podSelector":{"matchLabels":{"app":"redis"}}}]',
        'networkPolicy.dns={"to":[{"namespaceSelector":{}}],"ports":[5353]}',
    )
    assert may_reach(objects, SERVER, Pod(NAMESPACE, {"app": "redis"}), REDIS)
    assert not may_reach(objects, SERVER, NEIGHBOUR, REDIS)
    assert may_reach(objects, SERVER, RESOLVER, 5353, "UDP")
    assert not may_reach(objects, SERVER, Outside("10.0.0.2"), 5353, "UDP")
    assert not may_reach(objects, SERVER, RESOLVER, DNS, "UDP")


def test_a_cache_over_a_socket_of_the_pod_opens_nothing() -> None:
    assert render("cache.url=unix:///run/redis.sock")["NetworkPolicy", "churn"]["spec"]["egress"] == []


def test_something_else_can_be_named() -> None:
    objects = render('networkPolicy.egress=[{"to":[{"podSelector":{}}],"ports":[{"port":4317}]}]')
    assert may_reach(objects, SERVER, NEIGHBOUR, 4317)
    assert may_reach(objects, SERVER, RESOLVER, DNS, "UDP")
    assert not may_reach(objects, SERVER, STRANGER, 4317)


def test_the_releases_own_valkey_is_reached_by_its_servers_alone() -> None:
    objects = render("valkey.enabled=true")
    assert may_reach(objects, SERVER, VALKEY, REDIS)
    assert may_reach(objects, SERVER, RESOLVER, DNS, "UDP")
    for other in (OTHER_SERVER, OPERATOR, NEIGHBOUR, STRANGER, PROMETHEUS, INTERNET):
        assert not may_reach(objects, other, VALKEY, REDIS)
    assert not may_reach(objects, SERVER, NEIGHBOUR, REDIS)
    assert not may_reach(objects, VALKEY, INTERNET, 443)


@pytest.mark.parametrize(
    ("settings", "ports"),
    [
        (("stream.url=redis://redis",), (6379,)),
        (("stream.url=kafka+ssl://one:9093\\,two:9094",), (9093, 9094)),
        (("stream.url=tls://nats",), (4222,)),
        (("stream.url=nats://one:9093\\,nats://two:9094",), (9093, 9094)),
        (("stream.urlSecret.name=broker",), (6379, 9092, 4222)),
        (("stream.url=kafka://one", "networkPolicy.broker.ports[0]=19092"), (19092,)),
    ],
)
def test_a_stream_worker_reaches_its_broker_and_is_asked_by_prometheus(
    settings: tuple[str, ...], ports: tuple[int, ...]
) -> None:
    objects = render(*WORKERS, *settings)
    for port in (4222, 6379, 9092, 9093, 9094, 19092):
        assert may_reach(objects, WORKER, NEIGHBOUR, port) is (port in ports)
        assert not may_reach(objects, SERVER, NEIGHBOUR, port)
    assert may_reach(objects, WORKER, RESOLVER, DNS, "UDP")
    assert may_reach(objects, PROMETHEUS, WORKER, MANAGEMENT)
    for other in (NEIGHBOUR, STRANGER, OPERATOR, INTERNET):
        assert not may_reach(objects, other, WORKER, MANAGEMENT)


def test_a_stream_worker_reaches_the_releases_own_valkey() -> None:
    objects = render(*WORKERS, "stream.url=nats://nats", "valkey.enabled=true")
    assert may_reach(objects, WORKER, VALKEY, REDIS)


@pytest.mark.parametrize(
    ("settings", "port"),
    [
        (("tracing.endpoint=http://collector:4318",), 4318),
        (("tracing.endpoint=https://collector/otlp",), 443),
        (("tracing.endpoint=http://collector", "networkPolicy.tracing.ports[0]=14318"), 14318),
    ],
)
def test_servers_and_operators_reach_the_collector_of_traces(settings: tuple[str, ...], port: int) -> None:
    objects = render(*settings)
    for sender in (SERVER, OPERATOR):
        assert may_reach(objects, sender, STRANGER, port)
        assert not may_reach(objects, sender, STRANGER, port + 1)
    assert may_reach(objects, SERVER, RESOLVER, DNS, "UDP")


def test_where_the_api_server_is_can_be_named() -> None:
    objects = render('networkPolicy.apiServer={"to":[{"ipBlock":{"cidr":"10.0.0.10/32"}}],"ports":[16443]}')
    assert may_reach(objects, OPERATOR, API_SERVER, 16443)
    assert not may_reach(objects, OPERATOR, INTERNET, 16443)
    assert not may_reach(objects, OPERATOR, API_SERVER, 443)


def test_it_can_be_left_out() -> None:
    assert not [name for kind, name in render("networkPolicy.enabled=false") if kind == "NetworkPolicy"]
    without = render("operator.enabled=false")
    assert [name for kind, name in without if kind == "NetworkPolicy"] == ["churn"]


def test_scraping_that_is_let_in_nowhere_is_refused() -> None:
    result = template("monitoring.scrape.enabled=true", "networkPolicy.management=[]")
    assert "networkPolicy.management lets nobody in" in result.stderr


@pytest.mark.parametrize(
    ("setting", "where"),
    [
        ("networkPolicy.clients=[{}]", "/networkPolicy/clients"),
        ('networkPolicy.management=[{"ip":"10.0.0.1"}]', "/networkPolicy/management"),
        ("networkPolicy.dns.ports=[]", "/networkPolicy/dns/ports"),
        ("networkPolicy.apiServer.ports[0]=https", "/networkPolicy/apiServer/ports"),
    ],
)
def test_what_is_no_peer_or_port_is_refused(setting: str, where: str) -> None:
    assert where in template(setting).stderr


def policy(spec: Object) -> Objects:
    return {("NetworkPolicy", "one"): {"metadata": {"name": "one"}, "spec": spec}}


BLOCK = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
SELECTOR = {"podSelector": {"matchLabels": {"app": "shop"}}}


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        *(
            (f'networkPolicy.clients=[{{"ipBlock":{{"cidr":"{cidr}"}}}}]', "networkPolicy.clients has an ipBlock with")
            for cidr in ("anywhere", "10.0.0.0", "10.0.0.0/33", "10.0.0.256/8", "fd00::/129", "fd00/8", "1::2::3/16")
        ),
        *(
            (
                f'networkPolicy.dns.to=[{{"ipBlock":{{"cidr":"{cidr}","except":["{part}"]}}}}]',
                f"dns.to has an ipBlock of {cidr} with except {part}, which must be a smaller block within it",
            )
            for cidr, part in (
                ("10.0.0.0/8", "11.0.0.0/16"),
                ("10.0.0.0/8", "10.0.0.0/8"),
                ("10.1.0.0/16", "10.0.0.0/8"),
                ("fd00::/15", "fd02::/16"),
                ("::/0", "10.0.0.0/8"),
            )
        ),
        (
            'networkPolicy.egress=[{"ports":[{"port":443,"endPort":80}]}]',
            "networkPolicy.egress[0].ports has an endPort (80) that is less than its port (443)",
        ),
        ('networkPolicy.clients=[{"ipBlock":{}}]', "with no cidr, which is no CIDR"),
        ('networkPolicy.dns.to=[{"ipBlock":{"cidr":"10.0.0.0/8","except":["10"]}}]', "dns.to has an ipBlock with 10,"),
        (
            'networkPolicy.egress=[{"to":[{"ipBlock":{"cidr":"x"}}]}]',
            "networkPolicy.egress[0].to has an ipBlock with x",
        ),
        (f"networkPolicy.apiServer.to={json.dumps([BLOCK | SELECTOR])}", "make two peers of it"),
        ("cache.url=redis://redis:99999/0", 'cache.url has the port "99999"'),
        ("cache.url=rediss://:secret@redis:port", 'cache.url has the port "port"'),
        (r"stream.url=kafka://one:9092\,two:0", 'stream.url has the port "0"'),
        ("stream.url=nats://[fd00::1]:70000", 'stream.url has the port "70000"'),
        ("tracing.endpoint=http://otel:4318x/v1", 'tracing.endpoint has the port "4318x"'),
    ],
)
def test_an_address_that_is_none_is_refused_with_a_sentence(setting: str, sentence: str) -> None:
    result = template(setting)
    assert result.returncode != 0
    assert sentence in result.stderr


def test_addresses_as_kubernetes_takes_them_are_taken() -> None:
    cidrs = ("0.0.0.0/0", "::/0", "fd00:1::/64", "::ffff:10.0.0.0/104", "1:2:3:4:5:6:7:8/128")
    peers = [BLOCK, SELECTOR, *({"ipBlock": {"cidr": one}} for one in cidrs)]
    peers += [{"ipBlock": {"cidr": "fd00::/15", "except": ["fd01::/16"]}}]
    settings = (
        f"networkPolicy.clients={json.dumps(peers)}",
        f"networkPolicy.egress={json.dumps([{'to': peers}, {'ports': [{'port': 5432}]}])}",
        "cache.url=redis://:$(PASSWORD)@redis:$(REDIS_PORT)/0",
        "tracing.endpoint=https://[fd00::1]:4318",
        "stream.url=tls://nats:65535",
    )
    result = template(*settings)
    assert result.returncode == 0, result.stderr


def test_the_semantics_of_the_api() -> None:
    """What the questions above rest on: rules add up, both sides must agree, and an empty list is not an absent one."""
    everybody: Object = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
    assert may_reach(policy(everybody), INTERNET, SERVER, 1)
    assert not may_reach(policy(everybody | {"ingress": []}), INTERNET, SERVER, 1)
    assert may_reach(policy(everybody | {"ingress": []}), SERVER, INTERNET, 1), "only what is named is isolated"
    block = {"cidr": "203.0.113.0/24", "except": ["203.0.113.7/32"]}
    assert not may_reach(policy(everybody | {"ingress": [{"from": [{"ipBlock": block}]}]}), INTERNET, SERVER, 1)
    assert may_reach(policy(everybody | {"ingress": [{"ports": [{"port": 1, "endPort": 9}]}]}), NEIGHBOUR, SERVER, 5)
    assert not may_reach(policy({"podSelector": {}, "egress": []}), SERVER, INTERNET, 1), "types follow from the rules"
    assert not may_reach(policy({"podSelector": {}, "egress": []}), SERVER, NEIGHBOUR, 1)


@pytest.mark.parametrize(
    ("selector", "labels", "matched"),
    [
        ({}, {}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, {"a": "1"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
    ],
)
def test_a_selector_matches_labels(selector: Object, labels: Labels, matched: bool) -> None:
    assert matches(selector, labels) is matched
