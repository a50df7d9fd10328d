"""A real API server takes every object of the chart, where the restricted Pod Security Standard is enforced."""

import subprocess
import uuid
from collections.abc import Iterator

import pytest
import yaml

from chart.rendering import ROOT, render

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("helm"), pytest.mark.needs("kubectl")]


def kubectl(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["kubectl", *arguments], input=given, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    name = f"chart-{uuid.uuid4().hex[:8]}"
    made = kubectl("create", "namespace", name)
    assert made.returncode == 0, made.stderr
    standard = ("pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted")
    kubectl("label", "namespace", name, *standard)
    # A dry run makes nothing, and the API server takes a pod only when its account is there.
    apply(
        name, yaml.safe_dump_all(one for (kind, _), one in render().items() if kind == "ServiceAccount"), manager="test"
    )
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("persistence.existingClaim=models", "autoscaling.enabled=false", "replicas=3"),
        ("service.type=LoadBalancer", "rollout.maxSurge=50%", "podDisruptionBudget.maxUnavailable=50%"),
        ("operator.enabled=false", 'autoscaling.behavior={"scaleDown":{"stabilizationWindowSeconds":15}}'),
        ("topologySpreadConstraints=[]", "tolerations=[]", 'podAnnotations={"a":"b"}', "load=lazy"),
        (
            "valkey.enabled=true",
            "service.sessionAffinity=ClientIP",
            "ingress.enabled=true",
            'ingress.hosts=["*.example.com"]',
            'ingress.tls=[{"secretName":"a","hosts":["*.example.com"]}]',
            'networkPolicy.clients=[{"podSelector":{}},{"ipBlock":{"cidr":"10.0.0.0/8"}}]',
            'networkPolicy.egress=[{"ports":[{"port":4317}]}]',
            'networkPolicy.apiServer.to=[{"ipBlock":{"cidr":"10.0.0.1/32"}}]',
        ),
        (
            'tolerations=[{"key":"a","value":"b"},{"operator":"Exists","effect":"NoExecute","tolerationSeconds":5}]',
            (
                'affinity={"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":'
                '[{"matchExpressions":[{"key":"a","operator":"Exists"}]}]}}}'
            ),
            (
                'autoscaling.behavior={"scaleUp":{"selectPolicy":"Min","policies":'
                '[{"type":"Percent","value":50,"periodSeconds":1800}]}}'
            ),
            (
                'networkPolicy.clients=[{"podSelector":{"matchExpressions":[{"key":"a","operator":"NotIn","values":["b"]}]}},'
                '{"ipBlock":{"cidr":"10.0.0.0/8","except":["10.1.0.0/16"]}},'
                '{"ipBlock":{"cidr":"fd00::/8","except":["fdff:ffff::/32"]}}]'
            ),
            'networkPolicy.egress=[{"ports":[{"port":8000,"endPort":8100,"protocol":"SCTP"},{"port":"https"}]}]',
            'env=[{"name":"a.b-C","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}]',
            'commonLabels={"example.com/team":"a_B.c","empty":""}',
            "podSecurityContext.runAsUser=null",
            "resources.requests.memory=1.5G",
            "resources.limits.memory=1610612736",
            (
                'batch.jobs={"nightly":{"in":"s3://a","out":"s3://b/$(JOB_NAME).csv","schedule":"0 22-23,0 ? 2-Mar *",'
                '"timeZone":"America/Argentina/Buenos_Aires","resources":{"limits":{"cpu":1.5}}}}'
            ),
        ),
    ],
)
def test_the_api_server_takes_every_object(namespace: str, settings: tuple[str, ...]) -> None:
    objects = list(render(*settings, namespace=namespace).values())
    # Strict: a field that the API does not know is an error and not a warning.
    command = ("--namespace", namespace, "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
    result = kubectl(*command, given=yaml.safe_dump_all(objects))
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr, "a pod that the namespace's standard would refuse"
    assert len(result.stdout.splitlines()) == len(objects)


def test_the_api_server_takes_nginx(namespace: str) -> None:
    dry_run = ("apply", "--server-side", "--dry-run=server", "--validate=strict")
    result = kubectl("--namespace", namespace, *dry_run, "-k", str(ROOT / "k8s" / "nginx" / "least-connections"))
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr, "a pod that the namespace's standard would refuse"


def test_the_api_server_takes_the_kustomize_base() -> None:
    result = kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "-k", str(ROOT / "k8s" / "base")
    )
    assert result.returncode == 0, result.stderr


def test_turning_the_autoscaler_on_loses_no_pod_after_the_handover(namespace: str) -> None:
    """The README's hand-over: a second manager holds `replicas`, so that the chart may let go of it."""
    with_replicas = deployment("autoscaling.enabled=false", "replicas=3", namespace=namespace)
    without = deployment(namespace=namespace)
    apply(namespace, with_replicas, manager="helm")
    apply(namespace, without, manager="helm")
    assert replicas(namespace) == "1", "the hand-over is not needed any more: take it out of the README"
    apply(namespace, with_replicas, manager="helm")
    apply(namespace, handover(), manager="autoscaler-handover")
    apply(namespace, without, manager="helm")
    assert replicas(namespace) == "3"
    kubectl("--namespace", namespace, "delete", "deployment", "churn")


def handover() -> str:
    """The document that the README hands to kubectl."""
    lines = (ROOT / "charts" / "modelroll" / "README.md").read_text().splitlines()
    (document,) = [line.strip() for line in lines if line.strip().startswith('{"apiVersion":"apps/v1"')]
    return document


def deployment(*settings: str, namespace: str) -> str:
    # No node has this label: what the test is about is the object, not pods.
    rendered = render(*settings, "nodeSelector.nowhere=here", namespace=namespace)["Deployment", "churn"]
    return yaml.safe_dump(rendered)


def apply(namespace: str, document: str, *, manager: str) -> None:
    command = ("--namespace", namespace, "apply", "--server-side", f"--field-manager={manager}", "--validate=false")
    result = kubectl(*command, "-f", "-", given=document)
    assert result.returncode == 0, result.stderr


def replicas(namespace: str) -> str:
    return kubectl("--namespace", namespace, "get", "deployment", "churn", "-o", "jsonpath={.spec.replicas}").stdout
