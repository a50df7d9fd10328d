"""Routes of the Gateway API, the chart's and the examples', before a real API server that has its CRDs."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from chart.rendering import ROOT, Object, render

pytestmark = [pytest.mark.needs(part) for part in ("cluster", "helm", "kubectl", "go")]

EXAMPLES = ROOT / "k8s" / "gateway"
KINDS = ("gatewayclasses", "gateways", "grpcroutes", "httproutes")
GATEWAY = (
    "gateway.enabled=true",
    'gateway.parentRefs=[{"name":"public","namespace":"gateways","sectionName":"https"}]',
)


def kubectl(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["kubectl", *arguments], input=given, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def crds() -> list[Path]:
    """Those of the standard channel, at the version that hack/gateway-api pins."""
    command = ["go", "mod", "download", "-json", "sigs.k8s.io/gateway-api"]
    said = subprocess.run(command, cwd=ROOT / "hack/gateway-api", check=False, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    folder = Path(json.loads(said.stdout)["Dir"]) / "config/crd/standard"
    return [folder / f"gateway.networking.k8s.io_{kind}.yaml" for kind in KINDS]


@pytest.fixture(scope="module")
def namespace(crds: list[Path]) -> Iterator[str]:
    """A namespace on a cluster that knows routes; what was not there before is taken away again."""
    names = [f"crd/{kind}.gateway.networking.k8s.io" for kind in KINDS]
    missing = [
        (name, path)
        for name, path in zip(names, crds, strict=True)
        if kubectl("get", name, "--ignore-not-found", "-o", "name").stdout == ""
    ]
    for _, path in missing:
        made = kubectl("apply", "--server-side", "-f", str(path))
        assert made.returncode == 0, made.stderr
    name = f"gateway-{uuid.uuid4().hex[:8]}"
    made = kubectl("create", "namespace", name)
    assert made.returncode == 0, made.stderr
    kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")
    if missing:
        kubectl("delete", "--wait=false", *(name for name, _ in missing))


def dry_run(namespace: str, objects: list[Object]) -> subprocess.CompletedProcess[str]:
    # Strict: a field that the CRDs of the channel do not know is an error and not a warning.
    command = ("--namespace", namespace, "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
    return kubectl(*command, given=yaml.safe_dump_all(objects))


def routes(namespace: str, *settings: str) -> list[Object]:
    objects = render(*GATEWAY, *settings, namespace=namespace)
    return [one for (kind, _), one in objects.items() if kind in {"HTTPRoute", "GRPCRoute"}]


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("gateway.hostnames=[]", 'gateway.annotations={"a":"b"}', "gateway.path=/predict"),
        (
            'gateway.hostnames=["*.example.com"]',
            "gateway.weight=0",
            'gateway.backends=[{"name":"b","namespace":"other","port":80,"weight":1000000}]',
            "gateway.grpc.enabled=true",
            "gateway.grpc.hostnames[0]=grpc.example.org",
        ),
    ],
)
def test_the_api_server_takes_the_charts_routes(namespace: str, settings: tuple[str, ...]) -> None:
    objects = routes(namespace, *settings)
    result = dry_run(namespace, objects)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == len(objects) == (2 if "gateway.grpc.enabled=true" in settings else 1)


def test_the_api_server_refuses_what_is_not_in_the_standard_channel(namespace: str) -> None:
    (route,) = routes(namespace)
    route["spec"]["rules"][0]["sessionPersistence"] = {"type": "Cookie"}
    assert "sessionPersistence" in dry_run(namespace, [route]).stderr


def test_the_api_server_takes_the_examples(namespace: str) -> None:
    documents = [
        one for name in ("gateway", "routes") for one in yaml.safe_load_all((EXAMPLES / f"{name}.yaml").read_text())
    ]
    objects = [
        one | {"metadata": one["metadata"] | {"namespace": namespace}}
        for one in documents
        if one["kind"] != "Namespace"
    ]
    result = dry_run(namespace, objects)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 3
