"""What the chart refuses: values that are wrong by themselves (the schema) and those that contradict each other."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.rendering import CHART, render, template
from hack.chart_values import Value, read_values

pytestmark = pytest.mark.needs("helm")

PUBLIC_KEY = "-----BEGIN PUBLIC KEY----- …"
SPREAD = '{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"ScheduleAnyway"}'
STREAM = ("stream.enabled=true", "stream.input=rows", "stream.url=redis://redis")
# What values are called that may be null: an amount of CPU or memory, a number that others decide, a security context.
NULLABLE = {
    "cpu",
    "memory",
    "replicas",
    "nodePort",
    "parallelism",
    "deadlineSeconds",
    "podSecurityContext",
    "securityContext",
}


@pytest.mark.parametrize(
    ("setting", "where"),
    [
        ("unknown=1", "'unknown' not allowed"),
        ("model.unknown=1", "/model"),
        ("operator.image.unknown=1", "/operator/image"),
        ("probes.readiness.unknown=1", "/probes/readiness"),
        ("autoscaling.behavior.unknown=1", "/autoscaling/behavior"),
        ("load=watch", "/load"),
        ("load=per-request", "/load"),
        ("artifactPolicy=none", "/artifactPolicy"),
        ("signing.publicKey=garbage", "/signing/publicKey"),
        ("signing.publicKey=-----BEGIN EC PRIVATE KEY-----", "/signing/publicKey"),
        ("signing.key=a", "/signing"),
        ("signing.publicKeySecret.key=", "/signing/publicKeySecret/key"),
        ("extraFields=drop", "/extraFields"),
        ("workers=0", "/workers"),
        ("workers=many", "/workers"),
        ("batching.maxSize=0", "/batching/maxSize"),
        ("batching.maxDelayMs=-1", "/batching/maxDelayMs"),
        ("cache.size=64M", "/cache/size"),
        ("cache.ttlSeconds=0", "/cache/ttlSeconds"),
        ("cache.url=http://redis", "/cache/url"),
        ("cache.keySecret.value=secret", "/cache/keySecret"),
        ("tls.secretName=Not_A_Name", "/tls/secretName"),
        ("tls.key=secret", "/tls"),
        ("auth.token=secret", "/auth"),
        ("model.path=/models/churn", "/model/path"),
        ("model.digest=0000", "/model/digest"),
        ("model.name=Churn/1", "/model/name"),
        ("image.digest=latest", "/image/digest"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("replicas=-1", "/replicas"),
        ("autoscaling.enabled=yes", "/autoscaling/enabled"),
        ("autoscaling.minReplicas=0", "/autoscaling/minReplicas"),
        ("rollout.maxSurge=0", "/rollout/maxSurge"),
        ("rollout.maxUnavailable=1", "/rollout"),
        ("service.type=ExternalName", "/service/type"),
        ("service.port=70000", "/service/port"),
        ("persistence.accessMode=ReadOnlyMany", "/persistence/accessMode"),
        ("persistence.size=big", "/persistence/size"),
        ("drain.delaySeconds=-1", "/drain/delaySeconds"),
        ("log.level=loud", "/log/level"),
        ("operator.replicas=0", "/operator/replicas"),
        ("commonLabels.a=1", "/commonLabels/a"),
        ('env=[{"name":"A","vlaue":"b"}]', "/env/0"),
        ('imagePullSecrets=["registry"]', "/imagePullSecrets/0"),
        ("tls=null", "missing property 'tls'"),
        ("resources.limits=null", "at '/resources': missing property 'limits'"),
        ("batch.defaults.resources=null", "at '/batch/defaults': missing property 'resources'"),
    ],
)
def test_the_schema_refuses(setting: str, where: str) -> None:
    result = template(setting)
    assert result.returncode != 0
    assert "schema" in result.stderr
    assert where in result.stderr


# By where the schema finds fault, each with what is wrong there.
WRONG_SHAPES: dict[str, str] = {
    "/resources/requests/memory": 'resources.requests={"memory":"384m"}',
    "/resources/limits/memory": 'resources.limits={"memory":"1 Gi"}',
    "/resources/requests/cpu": "resources.requests.cpu=-1",
    "/operator/resources/limits/cpu": "operator.resources.limits.cpu=2 CPUs",
    "/batch/defaults/resources/limits/memory": "batch.defaults.resources.limits.memory=2gb",
    "/batch/jobs/a/resources/limits/cpu": 'batch.jobs={"a":{"in":"a","out":"b","resources":{"limits":{"cpu":"lots"}}}}',
    "/tmpSizeLimit": "tmpSizeLimit=64 MB",
    "/image/repository": "image.repository=registry/server:1.0",
    "/operator/image/repository": "operator.image.repository=https://registry/operator",
    "/image/tag": "image.tag=1.0 ",
    "/priorityClassName": "priorityClassName=My Class",
    "/serviceAccount/name": "serviceAccount.name=My_Account",
    "/persistence/storageClassName": "persistence.storageClassName=Fast",
    "/cache/urlSecret/name": "cache.urlSecret.name=My Secret",
    "/cache/urlSecret/key": "cache.urlSecret.key=my key",
    "/commonLabels/team": "commonLabels.team=data science",
    "/podLabels": 'podLabels={"a b":"c"}',
    "/podAnnotations": 'podAnnotations={"a b":"c"}',
    "/nodeSelector/disk": "nodeSelector.disk=s s d",
    "/tolerations/0/operator": 'tolerations=[{"key":"gpu","operator":"Exist"}]',
    "/operator/tolerations/0/operator": 'operator.tolerations=[{"key":"gpu","operator":"Exists","value":"a"}]',
    "/valkey/tolerations/0/effect": 'valkey.tolerations=[{"key":"a","effect":"NoSchedule","tolerationSeconds":5}]',
    "/affinity": 'affinity={"nodeAfinity":{}}',
    "/topologySpreadConstraints/0/whenUnsatisfiable": (
        'topologySpreadConstraints=[{"maxSkew":1,"topologyKey":"a","whenUnsatisfiable":"Never"}]'
    ),
    "/env/0/name": 'env=[{"name":"A=B"}]',
    "/imagePullSecrets/0/name": 'imagePullSecrets=[{"name":""}]',
    "/autoscaling/behavior/scaleUp/policies/0/type": (
        'autoscaling.behavior={"scaleUp":{"policies":[{"type":"Pod","value":1,"periodSeconds":60}]}}'
    ),
    "/podDisruptionBudget/maxUnavailable": "podDisruptionBudget.maxUnavailable=150%",
    "/ingress/hosts/0": 'ingress.hosts=["10.0.0.1"]',
    "/networkPolicy/clients/0/podSelector": 'networkPolicy.clients=[{"podSelector":{"matchlabels":{}}}]',
    "/networkPolicy/management/0/ipBlock": 'networkPolicy.management=[{"ipBlock":{"cidr":"::/0","exept":[]}}]',
    "/networkPolicy/egress/0/ports/0/protocol": 'networkPolicy.egress=[{"ports":[{"port":1,"protocol":"tcp"}]}]',
    "/networkPolicy/egress/1/to/0": 'networkPolicy.egress[1]={"to":[{}]}',
    "/monitoring/rules/alertLabels": "monitoring.rules.alertLabels.a-b=c",
    "/monitoring/dashboard/labels/a": "monitoring.dashboard.labels.a=b c",
}


def test_what_kubernetes_would_not_take_is_refused_where_it_stands() -> None:
    said = template(*WRONG_SHAPES.values()).stderr
    found = set(re.findall(r"^ *- at '([^']*)'", said, re.MULTILINE))
    assert not WRONG_SHAPES.keys() - found, said


def leaves(value: Value) -> list[Value]:
    return [leaf for inner in value.values for leaf in leaves(inner)] if value.values else [value]


def nulls(paths: list[str]) -> str:
    """A values file with these values set to null."""
    values: dict[str, Any] = {}
    for path in paths:
        section = values
        for key in path.split(".")[:-1]:
            section = section.setdefault(key, {})
        section[path.rpartition(".")[2]] = None
    return yaml.safe_dump(values)


def test_each_value_is_refused_by_name_when_it_is_null_or_may_be_null(tmp_path: Path) -> None:
    paths = [leaf.path for value in read_values((CHART / "values.yaml").read_text()) for leaf in leaves(value)]
    file = tmp_path / "values.yaml"
    file.write_text(nulls(paths))
    said = template("model.path=null", values=file).stderr
    missing = re.findall(r"^ *- at '([^']*)': missing propert(?:y|ies) (.*)$", said, re.MULTILINE)
    refused = {f"{at}/{key}"[1:].replace("/", ".") for at, keys in missing for key in re.findall(r"'([^']*)'", keys)}
    taken = [path for path in paths if path not in refused]
    assert refused <= set(paths)
    assert {path.rpartition(".")[2] for path in taken} == NULLABLE, "values.yaml says of each what null means"
    file.write_text(nulls(taken))
    job = 'batch.jobs={"all":{"in":"s3://a","out":"s3://b.csv"}}'
    assert render("autoscaling.enabled=false", "valkey.enabled=true", *STREAM, job, values=file)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("cache.url=redis://redis", "cache.urlSecret.name=redis"), "cache.url and cache.urlSecret.name both say"),
        (("cache.size=64Mi", "cache.keySecret.name=redis"), "cache.keySecret.name signs what is in a Redis"),
        (("tls.clientCASecret.name=clients",), "without tls.secretName nothing is served over TLS"),
        (("tls.secretName=churn", "auth.tokensSecret.name=churn"), "the key of the certificate would be a token"),
        (("cache.url=redis://redis", 'env=[{"name":"CACHE_URL","value":"redis://other"}]'), "env has CACHE_URL"),
        (("artifactPolicy=signed",), "artifactPolicy is signed, and nothing says whose signatures count"),
        (("signing.publicKeySecret.name=keys",), "artifactPolicy is digest, under which no signature is looked at"),
        (("artifactPolicy=any", f"signing.publicKey={PUBLIC_KEY}"), "artifactPolicy is any, under which no signature"),
        (
            ("artifactPolicy=signed", "signing.publicKeySecret.name=keys", f"signing.publicKey={PUBLIC_KEY}"),
            "signing.publicKey and signing.publicKeySecret.name both say",
        ),
        (("persistence.existingClaim=m", "persistence.size=2Gi"), "persistence.existingClaim names a claim"),
        (("persistence.existingClaim=m", "persistence.accessMode=ReadWriteMany"), "persistence.accessMode would"),
        (("persistence.existingClaim=m", "persistence.storageClassName=fast"), "persistence.storageClassName would"),
        (("persistence.existingClaim=m", "persistence.annotations.a=b"), "persistence.annotations would"),
        (("replicas=3",), "replicas is set and the autoscaler is on"),
        (("replicas=0",), "replicas is set and the autoscaler is on"),
        (("autoscaling.minReplicas=11",), "autoscaling.minReplicas (11) is more than autoscaling.maxReplicas (10)"),
        (("resources.requests.cpu=null",), "percentage of resources.requests.cpu, which is not set"),
        (
            ("workers=auto", "autoscaling.enabled=false", "resources.requests.cpu=null"),
            "workers is auto, which follows",
        ),
        (
            ("resources.requests.cpu=2",),
            "target is 70% of resources.requests.cpu (2), and no pod gets there, as workers use one CPU each",
        ),
        (
            ("resources.requests.cpu=1500m",),
            "no pod gets there, as workers use one CPU each, and it has 1. Set workers=auto",
        ),
        (("workers=2", "resources.requests.cpu=3"), "as workers use one CPU each, and it has 2"),
        (
            ("workers=auto", "resources.requests.cpu=2", "resources.limits.cpu=1"),
            "no pod gets there, as resources.limits.cpu is 1.",
        ),
        (
            ("autoscaling.targetCPUUtilizationPercentage=150", "resources.limits.cpu=250m"),
            "target is 150% of resources.requests.cpu (250m), and no pod gets there",
        ),
        (
            ("autoscaling.enabled=false", "resources.requests.cpu=2", "resources.limits.cpu=1500m"),
            "resources.requests.cpu (2) is more than resources.limits.cpu (1500m)",
        ),
        (
            ("operator.resources.requests.memory=1Gi",),
            "operator.resources.requests.memory (1Gi) is more than operator.resources.limits.memory (256Mi)",
        ),
        (
            ("resources.requests.memory=2G",),
            "resources.requests.memory (2G) is more than resources.limits.memory (1Gi)",
        ),
        (
            ("resources.requests.memory=1.5Gi", "resources.limits.memory=1073741824"),
            "resources.requests.memory (1.5Gi) is more than resources.limits.memory (1073741824)",
        ),
        (
            ("batch.defaults.resources.limits.memory=512Mi",),
            "batch.defaults.resources.requests.memory (1Gi) is more than batch.defaults.resources.limits.memory",
        ),
        (("service.port=50051",), "service.port and service.grpcPort are both 50051"),
        (
            ("securityContext.runAsUser=0",),
            "has runAsUser 0 and runAsNonRoot true: the kubelet would start no container",
        ),
        (
            (f"topologySpreadConstraints=[{SPREAD},{SPREAD}]",),
            "topologySpreadConstraints has zone with ScheduleAnyway twice",
        ),
        (('env=[{"name":"A","value":"1"},{"name":"A","value":"2"}]',), "env has A twice"),
        (('env=[{"name":"A","value":"1","valueFrom":{"fieldRef":{}}}]',), "env has A with value and valueFrom"),
        (("service.nodePort=30080",), "service.nodePort is set and service.type is ClusterIP"),
        (("drain.delaySeconds=15",), "drain.terminationGracePeriodSeconds (60) is less than"),
        (("probes.readiness.periodSeconds=3",), "twice drain.delaySeconds + 17 for the readiness probe to notice"),
        (("drain.terminationGracePeriodSeconds=40",), "the kubelet would kill pods that still answer"),
        (('podAnnotations={"modelroll.dev/target":"{}"}',), "podAnnotations has modelroll.dev/target"),
        (('podAnnotations={"modelroll.dev/move":"{}"}',), "apply a ModelVersion"),
        (('podLabels={"modelroll.dev/model":"a"}',), "The label modelroll.dev/model is set by the chart"),
        (('podLabels={"app.kubernetes.io/instance":"a"}',), "The label app.kubernetes.io/instance is set"),
        (('commonLabels={"app.kubernetes.io/component":"a"}',), "The label app.kubernetes.io/component is set"),
        (('env=[{"name":"MODEL_PATH","value":"a"}]',), "env has MODEL_PATH"),
        (
            ("monitoring.scrape.enabled=true", "monitoring.scrape.interval=10s", "monitoring.scrape.timeout=1m"),
            "monitoring.scrape.timeout (1m) is more than monitoring.scrape.interval (10s)",
        ),
        (
            ("monitoring.scrape.enabled=true", "monitoring.scrape.interval=2m", "monitoring.rules.enabled=true"),
            "monitoring.rules.window (5m) is less than four times monitoring.scrape.interval (2m)",
        ),
        (("monitoring.rules.alertLabels.severity=page",), "monitoring.rules.alertLabels has severity"),
    ],
)
def test_a_contradiction_is_refused_with_a_sentence(settings: tuple[str, ...], sentence: str) -> None:
    result = template(*settings)
    assert result.returncode != 0
    assert sentence in result.stderr


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("", "model.path is required"),
        ("..", "it may have no '..' segment"),
        ("churn/../../etc", "it may have no '..' segment"),
    ],
)
def test_a_path_must_stay_on_the_claim(path: str, sentence: str) -> None:
    assert sentence in template(path=path).stderr


@pytest.mark.parametrize("path", ["model.pkl", "churn/1.2.0", "a..b/c", "..a"])
def test_a_path_on_the_claim_is_taken(path: str) -> None:
    assert template(path=path).returncode == 0


@pytest.mark.parametrize("release", ["1churn", "a.b"])
def test_a_release_that_cannot_name_a_service_is_refused(release: str) -> None:
    assert "cannot name a Service" in template(release=release).stderr
    assert template("fullnameOverride=churn", release=release).returncode == 0


@pytest.mark.parametrize("release", ["no", "null"])
def test_a_release_whose_name_is_no_text_in_yaml_is_refused(release: str) -> None:
    assert f'The release\'s name "{release}" is no text in YAML' in template(release=release).stderr


def test_the_chart_can_stand_within_another() -> None:
    assert template("global.anything=1").returncode == 0, "Helm hands `global` to every chart within another"


def test_lint_has_nothing_to_say() -> None:
    command = ["helm", "lint", "--strict", str(CHART), "--set", "model.path=churn/1.2.0"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert "WARNING" not in result.stdout
