"""Ways in from outside: Ingress, the Gateway API's routes, and which pod a caller comes to."""

import json

import pytest

from chart.rendering import render, template

pytestmark = pytest.mark.needs("helm")

GATEWAY = ("gateway.enabled=true", 'gateway.parentRefs=[{"name":"public","namespace":"gateways"}]')
BOTH = (*GATEWAY, "gateway.hostnames[0]=churn.example.com", "gateway.grpc.enabled=true")
OTHERS = 'gateway.backends=[{"name":"churn-b","weight":10}]'


def test_nothing_leads_in_from_outside_by_default() -> None:
    assert not {"Ingress", "HTTPRoute", "GRPCRoute"} & {kind for kind, _ in render()}


def test_requests_go_to_any_pod_unless_an_address_is_to_keep_its_own() -> None:
    assert "sessionAffinity" not in render()["Service", "churn"]["spec"]
    objects = render("service.sessionAffinity=ClientIP", "service.sessionAffinityTimeoutSeconds=600")
    spec = objects["Service", "churn"]["spec"]
    assert spec["sessionAffinity"] == "ClientIP"
    assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 600}}
    for other in ("churn-grpc", "churn-management"):
        assert "sessionAffinity" not in objects["Service", other]["spec"]


def test_an_ingress_leads_to_the_port_of_http_alone() -> None:
    objects = render(
        "ingress.enabled=true",
        "ingress.className=nginx",
        'ingress.hosts=["churn.example.com","models.example.com"]',
        "ingress.path=/predict",
        "ingress.pathType=Exact",
        'ingress.annotations={"a":"b"}',
        'ingress.tls=[{"secretName":"churn-tls","hosts":["churn.example.com"]}]',
    )
    ingress = objects["Ingress", "churn"]
    assert ingress["metadata"]["annotations"] == {"a": "b"}
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["tls"] == [{"secretName": "churn-tls", "hosts": ["churn.example.com"]}]
    assert [one["host"] for one in ingress["spec"]["rules"]] == ["churn.example.com", "models.example.com"]
    for rule in ingress["spec"]["rules"]:
        (path,) = rule["http"]["paths"]
        assert (path["path"], path["pathType"]) == ("/predict", "Exact")
        assert path["backend"]["service"] == {"name": "churn", "port": {"name": "http"}}
    assert "http" in {port["name"] for port in objects["Service", "churn"]["spec"]["ports"]}


def test_an_ingress_without_hosts_is_for_any() -> None:
    (rule,) = render("ingress.enabled=true")["Ingress", "churn"]["spec"]["rules"]
    assert set(rule) == {"http"}


def test_a_route_leads_to_the_port_of_http() -> None:
    objects = render(*GATEWAY, 'gateway.annotations={"a":"b"}', "gateway.path=/v2", "service.port=80")
    route = objects["HTTPRoute", "churn"]
    assert ("GRPCRoute", "churn") not in objects
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert route["metadata"]["annotations"] == {"a": "b"}
    assert route["spec"]["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
    assert "hostnames" not in route["spec"]
    (rule,) = route["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/v2"}}]
    assert rule["backendRefs"] == [{"name": "churn", "port": 80, "weight": 100}]


def test_two_releases_share_the_requests_by_weight() -> None:
    backends = [
        {"name": "churn-b", "weight": 10},
        {"name": "churn-c", "namespace": "other", "port": 80, "grpcPort": 81, "weight": 0},
    ]
    objects = render(
        *BOTH,
        "gateway.weight=90",
        "gateway.grpc.hostnames[0]=grpc.example.com",
        f"gateway.backends={json.dumps(backends)}",
    )
    (http,) = objects["HTTPRoute", "churn"]["spec"]["rules"]
    assert http["backendRefs"] == [
        {"name": "churn", "port": 8000, "weight": 90},
        {"name": "churn-b", "port": 8000, "weight": 10},
        {"name": "churn-c", "namespace": "other", "port": 80, "weight": 0},
    ]
    grpc = objects["GRPCRoute", "churn"]["spec"]
    assert grpc["hostnames"] == ["grpc.example.com"]
    assert grpc["rules"][0]["backendRefs"] == [
        {"name": "churn", "port": 50051, "weight": 90},
        {"name": "churn-b", "port": 50051, "weight": 10},
        {"name": "churn-c", "namespace": "other", "port": 81, "weight": 0},
    ]


def test_a_weight_of_nothing_is_a_weight() -> None:
    (rule,) = render(*GATEWAY, "gateway.weight=0", OTHERS)["HTTPRoute", "churn"]["spec"]["rules"]
    assert [one["weight"] for one in rule["backendRefs"]] == [0, 10]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("gateway.enabled=true",), "gateway.parentRefs names no Gateway"),
        ((*GATEWAY, "gateway.weight=0"), "are 0: a Gateway answers each request with an error"),
        (
            (*GATEWAY, 'gateway.backends=[{"name":"churn","weight":1}]'),
            "gateway.backends has churn, the Service of this",
        ),
        (("gateway.grpc.enabled=true",), "gateway.enabled, which is false"),
        ((*BOTH, "gateway.grpc.hostnames[0]=b.example.com", "grpc.enabled=false"), "and grpc.enabled is false"),
        (BOTH, "needs gateway.hostnames and gateway.grpc.hostnames"),
        (
            (*BOTH, "gateway.grpc.hostnames[0]=churn.example.com"),
            "has churn.example.com and gateway.grpc.hostnames has churn.example.com, and on one listener",
        ),
        ((*BOTH, 'gateway.grpc.hostnames=["*.example.com"]'), "gateway.grpc.hostnames has *.example.com"),
        (
            (*BOTH, "gateway.hostnames[0]=*.example.com", "gateway.grpc.hostnames[0]=a.b.example.com"),
            "gateway.grpc.hostnames has a.b.example.com",
        ),
        (
            ("ingress.enabled=true", 'ingress.hosts=["a.b"]', 'ingress.tls=[{"secretName":"t","hosts":["c.d"]}]'),
            "ingress.tls has the host c.d, which ingress.hosts has not",
        ),
        (("ingress.enabled=true", "ingress.path=predict"), "/ingress/path"),
        (("ingress.enabled=true", "ingress.path=/a//b"), 'ingress.path "/a//b" is none that requests can begin with'),
        ((*GATEWAY, "gateway.path=/a/../b"), 'gateway.path "/a/../b" is none'),
        (("ingress.enabled=true", "ingress.hosts[0]=https://a.b"), "/ingress/hosts"),
        ((*GATEWAY, 'gateway.backends=[{"name":"b"}]'), "missing property 'weight'"),
        ((*GATEWAY, "gateway.sessionPersistence.type=Cookie"), "'sessionPersistence' not allowed"),
        (("service.sessionAffinity=Cookie",), "/service/sessionAffinity"),
        (("service.sessionAffinityTimeoutSeconds=86401",), "/service/sessionAffinityTimeoutSeconds"),
    ],
)
def test_a_contradiction_is_refused_with_a_sentence(settings: tuple[str, ...], sentence: str) -> None:
    result = template(*settings)
    assert result.returncode != 0
    assert sentence in result.stderr


def test_a_service_of_the_same_name_elsewhere_is_another() -> None:
    elsewhere = 'gateway.backends=[{"name":"churn","namespace":"other","weight":1}]'
    assert template(*GATEWAY, elsewhere).returncode == 0
